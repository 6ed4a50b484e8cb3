"""What may go wrong where a program submits: forks, exits, kills, disks, other daemons, what it says."""

from __future__ import annotations

import signal
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.submit_kit import TIMEOUT, Daemon, ended, free_port, listening, program


@pytest.fixture
def daemon() -> Iterator[Daemon]:
    with listening() as server:
        yield server


def test_a_forked_child_that_ends_as_programs_do_takes_nothing_of_its_parent(tmp_path: Path) -> None:
    port = free_port()
    code = """
import os, signal
submit_event("a.b", "parent")
child = os.fork()
if child == 0:
    raise SystemExit
os.waitpid(child, 0)
submit_event("a.b", "parent again")
os.kill(os.getpid(), signal.SIGKILL)
"""
    process = program(code, tmp_path, port)
    process.communicate(timeout=TIMEOUT)
    assert process.returncode == -signal.SIGKILL
    with listening(port) as daemon:
        ended(program('submit_event("a.b", "next")\nimport sensord.submit; sensord.submit.flush(20)', tmp_path, port))
        assert daemon.messages == ["parent", "parent again", "next"]


def test_a_child_that_lives_on_does_not_keep_what_its_dead_parent_submitted(tmp_path: Path) -> None:
    port = free_port()
    code = """
import os, sys, time
submit_event("a.b", "parent")
if os.fork() == 0:
    print("child", flush=True)
    sys.stdin.readline()
os._exit(0)
"""
    process = program(code, tmp_path, port)
    assert process.stdout is not None
    assert process.stdout.readline() == "child\n"
    process.wait(TIMEOUT)
    with listening(port) as daemon:
        ended(program('submit_event("a.b", "next")\nimport sensord.submit; sensord.submit.flush(20)', tmp_path, port))
        assert daemon.messages == ["parent", "next"]
    process.communicate("go\n", timeout=TIMEOUT)


@pytest.mark.parametrize("way", ["fork", "spawn", "forkserver"])
def test_a_process_of_multiprocessing_sends_before_it_ends(daemon: Daemon, tmp_path: Path, way: str) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import multiprocessing, sys\nfrom sensord import submit_event\n"
        'def work():\n    submit_event("a.b", "from a worker")\n'
        'if __name__ == "__main__":\n'
        "    one = multiprocessing.get_context(sys.argv[1]).Process(target=work)\n    one.start()\n    one.join()\n"
    )
    code = f"import subprocess, sys; subprocess.run([sys.executable, {str(script)!r}, {way!r}], check=True)"
    ended(program(code, tmp_path / "spool", daemon.port))
    daemon.until(1)
    assert daemon.messages == ["from a worker"]


def test_a_program_that_ends_without_pythons_exit_can_wait_for_its_events(daemon: Daemon, tmp_path: Path) -> None:
    code = """
import os, sensord.submit
submit_event("a.b", "said")
print(sensord.submit.flush(20), flush=True)
os._exit(0)
"""
    out, _ = ended(program(code, tmp_path, daemon.port))
    assert (out, daemon.messages) == ("True\n", ["said"])


def test_nobody_waits_for_a_daemon_that_is_known_to_be_away(tmp_path: Path) -> None:
    code = """
import sensord.submit
submit_event("a.b", "said")
sensord.submit.flush(20)
for _ in range(1000):
    submit_event("a.b", "said")
    assert not sensord.submit.flush(20)
print("went on")
"""
    out, _ = ended(program(code, tmp_path, free_port()))
    assert out == "went on\n"


def test_what_is_said_while_the_program_ends_is_kept(tmp_path: Path) -> None:
    port = free_port()
    code = """
import atexit, sensord.submit
atexit.unregister(sensord.submit._close)
atexit.register(lambda: submit_event("a.b", "last words"))
atexit.register(sensord.submit._close)
submit_event("a.b", "first words")
"""
    ended(program(code, tmp_path, port))
    with listening(port) as daemon:
        ended(program('submit_event("a.b", "next")\nimport sensord.submit; sensord.submit.flush(20)', tmp_path, port))
        assert daemon.messages == ["first words", "last words", "next"]


def test_where_the_disk_is_full_events_go_through_memory_in_order_and_once(tmp_path: Path) -> None:
    port = free_port()
    code = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
for number in range(50):
    submit_event("a.b", str(number))
print("said", flush=True)
sys.stdin.readline()
import sensord.submit; sensord.submit.flush(20)
submit_event("a.b", "50")
"""
    process = program(code, tmp_path, port)
    assert process.stdout is not None
    assert process.stdout.readline() == "said\n"
    with listening(port) as daemon:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
        daemon.until(51)
        _, err = process.communicate(timeout=TIMEOUT)
        assert daemon.messages == [str(number) for number in range(51)]
        assert "events wait in memory" in err
        assert list(tmp_path.iterdir()) == []


def test_events_for_one_address_are_not_sent_to_another(tmp_path: Path) -> None:
    ended(program('submit_event("a.b", "for the other daemon")', tmp_path, free_port()))
    with listening() as daemon:
        code = 'submit_event("a.b", "for this one")\nimport sensord.submit; sensord.submit.flush(20)'
        ended(program(code, tmp_path, daemon.port))
        assert daemon.messages == ["for this one"]
    assert len(list(tmp_path.iterdir())) == 1


def test_a_program_may_submit_to_two_daemons(daemon: Daemon, tmp_path: Path) -> None:
    with listening() as other:
        code = f'submit_event("a.b", "here")\nsubmit_event("a.b", "there", url={other.url!r}, token="theirs")'
        ended(program(code, tmp_path, daemon.port))
        daemon.until(1)
        other.until(1)
        assert (daemon.messages, other.messages, other.tokens) == (["here"], ["there"], {"Bearer theirs"})


def test_a_spoilt_file_in_the_spool_keeps_nothing_else_back(tmp_path: Path) -> None:
    port = free_port()
    ended(program('submit_event("a.b", "one")\nsubmit_event("a.b", "two")', tmp_path, port))
    (file,) = tmp_path.iterdir()
    first, second = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(first + b"\xff\xfe{]\n" + b"\0" * 5000 + b"\n\n" + second + b'{"half a li')
    with listening(port) as daemon:
        code = 'submit_event("a.b", "next")\nimport sensord.submit; sensord.submit.flush(20)'
        ended(program(code, tmp_path, port))
        assert daemon.messages == ["one", "two", "next"]
        assert list(tmp_path.iterdir()) == []


def test_whatever_is_said_can_be_taken(daemon: Daemon, tmp_path: Path) -> None:
    code = r"""
circle = {}
circle["self"] = circle
class Rude:
    def __str__(self): raise RuntimeError("no")
for data in (float("nan"), {(1, 2): "x"}, circle, {"a": "b\0c"}, {"path": "\udce9"}, object(), [b"x", {1}]):
    submit_event("a.b", "half \udce9 and \0", data=data)
submit_event("a.b", "rude", data=Rude())
submit_event("a.b", "x" * 200_000)
print("went on")
"""
    out, err = ended(program(code, tmp_path, daemon.port))
    assert out == "went on\n"
    daemon.until(8)
    assert daemon.messages[-1] == "x" * 100_000
    assert len(daemon.messages) == 8
    assert err.count("is dropped") == 1
    assert "RuntimeError: no" in err


@pytest.mark.parametrize("url", ["http://127.0.0.1:nonsense", "http://[", "no address at all", "http://a..b"])
def test_an_address_that_is_none_is_told_of_once_and_breaks_nobody(tmp_path: Path, url: str) -> None:
    code = 'submit_event("a.b")\nsubmit_event("a.b")\nimport sensord.submit; sensord.submit.flush(5)\nprint("went on")'
    out, err = ended(program(code, tmp_path, 0, SENSORD_URL=url, SENSORD_TOKEN="planted-token"))
    assert out == "went on\n"
    assert "Traceback" not in err
    assert "planted-token" not in err


def test_a_token_that_cannot_be_sent_is_not_shown(daemon: Daemon, tmp_path: Path) -> None:
    code = 'submit_event("a.b")\nimport sensord.submit; sensord.submit.flush(5)'
    _, err = ended(program(code, tmp_path, daemon.port, SENSORD_TOKEN="planted-token\nwith-a-break"))
    assert "cannot be used (ValueError)" in err
    assert "planted-token" not in err


def killed_programs(tmp_path: Path, port: int, *, programs: int, events: int) -> None:
    """Programs that submit at once into one spool, each killed while it goes on submitting."""
    code = f"""
import sys
for number in range(1_000_000):
    submit_event("a.b", str(number), source=sys.argv[0] + {{name!r}})
    if number == {events}:
        print("enough", flush=True)
"""
    running = [program(code.replace("{name!r}", repr(str(name))), tmp_path, port) for name in range(programs)]
    for process in running:
        assert process.stdout is not None
        assert process.stdout.readline() == "enough\n"
    for process in running:
        process.kill()
        process.communicate(timeout=TIMEOUT)


def test_several_killed_programs_lose_nothing_that_they_submitted_and_double_nothing(tmp_path: Path) -> None:
    port, events = free_port(), 300
    killed_programs(tmp_path, port, programs=3, events=events)
    with listening(port) as daemon:
        code = 'submit_event("a.b", "next")\nimport sensord.submit; sensord.submit.flush(60)'
        ended(program(code, tmp_path, port))
        of: defaultdict[str, list[int]] = defaultdict(list)
        for event in daemon.events[:-1]:
            of[event["source"]].append(int(event["message"]))
        assert len(of) == 3
        for numbers in of.values():
            assert len(numbers) > events
            assert numbers == list(range(len(numbers)))
        assert list(tmp_path.iterdir()) == []
