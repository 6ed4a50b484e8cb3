"""What programs of the daemon's user could not send is taken in by the daemon, without any of them running again."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from sensord.spool_taking import addresses, take
from tests.cli.project import SECRET, Project
from tests.submit_kit import TIMEOUT, ended, free_port, listening, program

HUNDREDS = 'for number in range(450): submit_event("a.b", str(number))'


@pytest.fixture
def spool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "spool"
    monkeypatch.setenv("SENSORD_SPOOL", str(folder))
    return folder


def killed(code: str, spool: Path, port: int) -> None:
    process = program(f'{code}\nprint("said", flush=True)\nimport time; time.sleep(60)', spool, port)
    assert process.stdout is not None
    assert process.stdout.readline() == "said\n"
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=TIMEOUT)


def test_what_dead_programs_left_is_taken_in_order_and_once(spool: Path) -> None:
    port = free_port()
    killed(HUNDREDS, spool, port)
    ended(program('submit_event("a.b", "after")', spool, port, SENSORD_URL=f"http://localhost:{port}"))
    with listening(port) as daemon:
        assert take(daemon.url, "own-token") == 2
        assert daemon.messages == [*map(str, range(450)), "after"]
        assert daemon.tokens == {"Bearer own-token"}
        assert list(spool.iterdir()) == []
        assert take(daemon.url, "own-token") == 0


def test_what_was_sent_in_part_before_is_not_doubled(spool: Path) -> None:
    port = free_port()
    killed(HUNDREDS, spool, port)
    with listening(port) as daemon:
        daemon.status = 503
        with pytest.raises(OSError, match="503"):
            take(daemon.url, None)
        (file,) = spool.iterdir()
        left = file.read_bytes()
        daemon.status = 202
        take(daemon.url, None)
        file.write_bytes(left)  # As after a crash between the last answer and the removal.
        take(daemon.url, None)
        assert daemon.messages == [*map(str, range(450))]


def test_what_a_living_program_holds_is_its_own_to_send(spool: Path) -> None:
    port = free_port()
    process = program(
        'submit_event("a.b", "mine")\nprint("said", flush=True)\nimport sys; sys.stdin.readline()', spool, port
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "said\n"
    assert take(f"http://127.0.0.1:{port}", None) == 0, "nobody was asked: it would have been refused"
    process.communicate("go\n", timeout=TIMEOUT)
    assert len(list(spool.iterdir())) == 1


def test_what_waits_for_another_daemon_or_lies_where_others_may_write_is_left(spool: Path) -> None:
    port = free_port()
    killed('submit_event("a.b", "elsewhere")', spool, free_port())
    with listening(port) as daemon:
        assert take(daemon.url, None) == 0
        killed('submit_event("a.b", "here")', spool, port + 0)
        spool.chmod(0o777)
        assert take(daemon.url, None) == 0
        spool.chmod(0o700)
    assert addresses("http://10.0.0.7:8300") == {"http://10.0.0.7:8300"}


def test_a_daemon_takes_it_in_when_it_starts(tmp_path: Path, spool: Path) -> None:
    port = free_port()
    killed('for number in range(3): submit_event("bp.houses.oks", str(number))', spool, port)
    (tmp_path / "project").mkdir()
    project = Project(tmp_path / "project")
    file = project.folder / "sensord.yaml"
    file.write_text(file.read_text().replace("port: 0", f"port: {port}"))
    project.start()
    try:
        there = "/api/events?order=oldest&type=message"
        project.until(lambda: len(project.get(there)["items"]) == 3)
        assert [event["message"] for event in project.get(there)["items"]] == ["0", "1", "2"]
        project.until(lambda: not list(spool.iterdir()))
    finally:
        project.stop()
    assert SECRET not in (project.folder / "daemon.log").read_text()
