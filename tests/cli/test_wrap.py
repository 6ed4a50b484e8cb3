"""`sensord wrap`: a command runs as if it stood there alone, and what became of it is told."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.submit_kit import TIMEOUT, Daemon, ended, free_port, listening, program

SENSORD = Path(sys.executable).with_name("sensord")


@pytest.fixture(scope="module")
def server() -> Iterator[Daemon]:
    with listening() as one:
        yield one


class Shell:
    """A folder without a configuration, and a daemon's end of the wire."""

    def __init__(self, folder: Path, server: Daemon) -> None:
        self.folder, self.server = folder, server
        self.known = len(server.events)
        kept = {name: value for name, value in os.environ.items() if not name.startswith("SENSORD")}
        self.env = {**kept, "SENSORD_SPOOL": str(folder / "spool"), "SENSORD_URL": server.url, "SENSORD_TOKEN": "t0"}

    def argv(self, *words: str) -> list[str]:
        return [str(SENSORD), "wrap", "--topic", "cron.backup", *words]

    def wrap(self, *words: str, **options: Any) -> subprocess.CompletedProcess[bytes]:
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        return subprocess.run(self.argv(*words), cwd=self.folder, env=self.env, timeout=TIMEOUT, check=False, **options)

    def start(self, *words: str, **options: Any) -> subprocess.Popen[bytes]:
        return subprocess.Popen(self.argv(*words), cwd=self.folder, env=self.env, **options)

    def told(self) -> list[dict[str, Any]]:
        return self.server.events[self.known :]


@pytest.fixture
def shell(tmp_path: Path, server: Daemon) -> Shell:
    return Shell(tmp_path, server)


def test_a_failure_is_told_with_its_exit_code_its_time_and_its_last_lines(shell: Shell) -> None:
    script = "for number in $(seq 40); do echo line $number; done; echo no space left >&2; exit 3"
    done = shell.wrap("--job", "backup", "--", "sh", "-c", script, stderr=subprocess.STDOUT)
    assert done.returncode == 3
    (event,) = shell.told()
    assert (event["topic"], event["type"], event["severity"]) == ("cron.backup", "command.failed", "error")
    assert event["message"].startswith("backup failed with exit code 3 after ")
    data = event["data"]
    assert (data["job"], data["exit_code"], data["host"]) == ("backup", 3, os.uname().nodename)
    assert 0 < data["duration"] < TIMEOUT
    assert data["lines"] == [*(f"line {number}" for number in range(22, 41)), "no space left"]
    assert shell.server.tokens == {"Bearer t0"}


def test_a_success_is_told_unless_only_failures_are(shell: Shell) -> None:
    assert shell.wrap("true").returncode == 0
    assert shell.wrap("--on", "failure", "--", "true").returncode == 0
    assert shell.wrap("--on", "failure", "--lines", "0", "--", "sh", "-c", "echo x; exit 1").returncode == 1
    good, bad = shell.told()
    assert (good["type"], good["severity"], good["data"]["job"]) == ("command.succeeded", "info", "true")
    assert (bad["type"], bad["data"]["lines"]) == ("command.failed", [])


@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        (["sh", "-c", "kill -KILL $$"], 137, "was ended by SIGKILL"),
        (["./no-such-command"], 127, "could not be started: No such file or directory"),
        (["/etc"], 126, "could not be started: Permission denied"),
    ],
)
def test_the_exit_code_is_what_a_shell_would_say(shell: Shell, command: list[str], code: int, said: str) -> None:
    assert shell.wrap("--", *command).returncode == code
    (event,) = shell.told()
    assert said in event["message"]


def test_output_comes_through_as_it_is_each_stream_where_it_belongs(shell: Shell) -> None:
    (shell.folder / "bytes").write_bytes(bytes(range(256)) * 8000)
    done = shell.wrap("--", "sh", "-c", "cat bytes; cat bytes bytes >&2; cat", input=b"what is \xff typed")
    assert done.stdout == bytes(range(256)) * 8000 + b"what is \xff typed"
    assert done.stderr == bytes(range(256)) * 16000


def test_what_goes_to_one_place_keeps_its_order(shell: Shell) -> None:
    code = "import os\nfor n in range(3000): os.write(1 + n % 2, b'%d\\n' % n)"
    done = shell.wrap("--", sys.executable, "-c", code, stderr=subprocess.STDOUT)
    assert done.stdout == b"".join(b"%d\n" % number for number in range(3000))


def read_until(terminal: int, enough: Callable[[bytes], bool], said: bytes = b"") -> bytes:
    while not enough(said):
        assert select.select([terminal], [], [], TIMEOUT)[0], said
        said += os.read(terminal, 1000)
    return said


def test_a_terminal_stays_a_terminal_and_what_is_typed_arrives_once(shell: Shell) -> None:
    code = (
        "import os, signal\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})\n"
        "print([os.isatty(n) for n in (0, 1, 2)], flush=True)\n"
        "signal.sigwait({signal.SIGINT})\nprint('interrupted', flush=True)\n"
        "print(input(), signal.sigpending(), flush=True)\n"
    )
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(shell.folder)
        os.execve(SENSORD, shell.argv("--", sys.executable, "-c", code), shell.env)
    try:
        said = read_until(terminal, lambda said: b"[True, True, True]" in said)
        os.write(terminal, b"\x03")
        said = read_until(terminal, lambda said: b"interrupted" in said, said)
        os.write(terminal, b"typed\n")
        read_until(terminal, lambda said: b"typed set()" in said, said)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    except BaseException:
        os.kill(pid, signal.SIGKILL)
        raise
    finally:
        os.close(terminal)
    assert shell.told()[0]["data"]["lines"] == []


def test_signals_that_are_sent_to_it_reach_the_command(shell: Shell) -> None:
    script = "trap 'echo stopping; exit 7' TERM; trap 'echo again' USR1; echo ready; while :; do read line; done"
    process = shell.start("--", "bash", "-c", script, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(signal.SIGUSR1)
    assert process.stdin is not None
    process.stdin.write(b"\n")
    process.stdin.flush()
    assert process.stdout.readline() == b"again\n"
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(b"\n", timeout=TIMEOUT)
    assert (out, process.returncode) == (b"stopping\n", 7)
    assert shell.told()[0]["data"]["lines"][-1] == "stopping"


def test_a_signal_that_is_ignored_stays_ignored(shell: Shell) -> None:
    argv = ["nohup", *shell.argv("--", "sh", "-c", "kill -HUP $PPID; kill -HUP $$; echo alive")]
    done = subprocess.run(argv, cwd=shell.folder, env=shell.env, capture_output=True, timeout=TIMEOUT, check=False)
    assert (done.stdout, done.returncode) == (b"alive\n", 0)


def test_what_a_command_leaves_in_the_background_is_not_waited_for_and_can_still_write(shell: Shell) -> None:
    os.mkfifo(shell.folder / "go")
    process = shell.start("--", "sh", "-c", "(cat go) & echo ended", stdout=subprocess.PIPE)
    assert process.wait(TIMEOUT) == 0
    assert process.stdout is not None
    assert process.stdout.readline() == b"ended\n"
    (shell.folder / "go").write_text("late")
    assert process.stdout.read() == b"late"
    process.stdout.close()


def test_where_nobody_reads_on_the_command_ends_as_it_would(shell: Shell) -> None:
    read, write = os.pipe()
    process = shell.start("--", "yes", stdout=write)
    os.close(write)
    assert os.read(read, 2) == b"y\n"
    os.close(read)
    assert process.wait(TIMEOUT) == 128 + signal.SIGPIPE


def test_files_that_are_open_are_open_for_the_command(shell: Shell) -> None:
    with (shell.folder / "lock").open("w") as lock:
        done = shell.wrap("--", "bash", "-c", f"echo held >&{lock.fileno()}", pass_fds=[lock.fileno()])
    assert done.returncode == 0
    assert (shell.folder / "lock").read_text() == "held\n"


def test_with_the_daemon_away_and_a_broken_configuration_it_is_told_later(shell: Shell) -> None:
    port = free_port()
    shell.env["SENSORD_URL"] = f"http://127.0.0.1:{port}"
    (shell.folder / "sensord.yaml").write_text("{ this is none")
    done = shell.wrap("--", "sh", "-c", "echo out; exit 5")
    assert (done.returncode, done.stdout, done.stderr) == (5, b"out\n", b"")
    with listening(port) as daemon:
        code = 'submit_event("a.b", "next")\nimport sensord.submit; sensord.submit.flush(20)'
        ended(program(code, shell.folder / "spool", port))
        assert [event["type"] for event in daemon.events] == ["command.failed", "message"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--topic", "not a topic", "--", "touch", "made"], b"--topic"),
        (["--on", "sometimes", "--", "touch", "made"], b"--on"),
        ([], b"there is no command"),
        (["--lines", "many", "--", "touch", "made"], b"--lines"),
        (["--topik", "x", "touch", "made"], b"--topik"),
    ],
)
def test_wrong_words_are_told_of_before_anything_runs(shell: Shell, words: list[str], said: bytes) -> None:
    done = shell.wrap(*words)
    assert done.returncode == 2
    assert said in done.stderr
    assert not (shell.folder / "made").exists()


def test_it_loads_nothing_that_it_does_not_need(shell: Shell) -> None:
    code = """
import sys
sys.argv = ["sensord", "wrap", "--topic", "a.b", "true"]
from sensord.__main__ import main
try:
    main()
except SystemExit as end:
    assert not end.code
heavy = {"typer", "aiohttp", "sqlalchemy", "sqlmodel", "pydantic", "anyio", "yaml", "jinja2", "rich", "asyncio"}
print(sorted(heavy & set(sys.modules)))
"""
    argv = [sys.executable, "-c", code]
    done = subprocess.run(argv, env=shell.env, capture_output=True, timeout=TIMEOUT, check=False)
    assert done.stdout == b"[]\n", done.stderr


def test_it_is_a_command_among_the_others(shell: Shell) -> None:
    code = "from sensord.cli import main; main()"
    for words in (["-c", "nowhere.yaml", "wrap", "--topic=cron.other", "--", "sh", "-c", "exit 4"], ["--help"]):
        argv = [sys.executable, "-c", code, *words]
        done = subprocess.run(argv, env=shell.env, capture_output=True, timeout=TIMEOUT, check=False)
        assert (done.returncode, b"wrap" in done.stdout) == ((4, False) if "wrap" in words else (0, True))
    assert shell.told()[0]["topic"] == "cron.other"
