"""Who may talk to the supervisor and see what is its own: other versions, strangers, other users."""

from __future__ import annotations

import json
import shutil
import socket
import stat
import subprocess
import sys
from pathlib import Path

import anyio
import pytest

from notifiers.clock import SYSTEM
from sensord.launchers import command_supervisor
from tests.launchers.command_kit import (
    adopted,
    commands,
    ended,
    gate,
    job,
    launched,
    new_run,
    open_gate,
)


async def test_a_supervisor_of_another_version_is_replaced_in_place_and_its_jobs_keep_their_exit_codes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    state, through = tmp_path / "state", gate(tmp_path)
    old = tmp_path / "old"
    old.mkdir()
    state.mkdir()
    source = Path(command_supervisor.__file__)
    for path in source.parent.glob("command_*.py"):
        shutil.copy(path, old)
    text = (old / source.name).read_text()
    assert "\nVERSION = 1\n" in text
    (old / source.name).write_text(text.replace("\nVERSION = 1\n", "\nVERSION = 0\n"))
    words = [sys.executable, "-I", "-S", "-E", str(old / source.name), str(state), "5"]
    assert (await anyio.run_process(words, stdin=subprocess.DEVNULL)).returncode == 0
    run = new_run()
    with socket.socket(socket.AF_UNIX) as link:
        link.connect(str(state / "supervisor.sock"))
        start = {"op": "start", "token": run.token, "day": f"{run.requested_at:%Y-%m-%d}", "cwd": "/", "config": "{}"}
        how: dict[str, object] = {"argv": ["/bin/sh", "-c", f"read x < {through}; exit 6"], "env": {}, "timeout": None}
        limits = {"grace": 1.0, "limit": 1 << 20}
        link.sendall(json.dumps({"op": "hello", "version": 0, "env": {}}).encode() + b"\n")
        link.sendall(json.dumps(start | how | limits).encode() + b"\n")
        heard = b""
        while b'"started":1' not in heard:
            heard += link.recv(65536)
    hello = json.loads(heard.split(b"\n")[0])
    async with commands(state) as opened:
        assert opened.supervisor_pid == hello["pid"], "the same process goes on with other code"
        assert "supervisor_replaced" in caplog.text
        await open_gate(through)
        assert (await adopted(opened, run)).error == "exit code 6"


async def test_a_state_folder_may_have_a_long_path(tmp_path: Path) -> None:
    state = tmp_path / ("long" * 30) / ("path" * 30)
    async with commands(state) as opened:
        assert (await ended(job(opened, "true"), new_run())).status == "succeeded"


async def test_only_this_user_may_open_what_it_makes(tmp_path: Path) -> None:
    state = tmp_path / "state"
    async with commands(state) as opened:
        await ended(job(opened, "sh", "-c", "umask; echo"), new_run())
        paths = [state, *state.rglob("*")]
        assert len(paths) >= 7
        for path in paths:
            assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
        assert stat.S_ISSOCK((state / "supervisor.sock").stat().st_mode)


async def test_who_speaks_another_language_or_names_other_places_is_hung_up_on(tmp_path: Path) -> None:
    state = tmp_path / "state"
    run = new_run()
    start: dict[str, object] = {
        "op": "start",
        "argv": ["/bin/touch", str(tmp_path / "PWN")],
        "env": {},
        "cwd": "/",
        "config": "{}",
    }
    start |= {"timeout": None, "grace": 1, "limit": 1}
    hostile: list[object] = [
        "no json at all",
        [1],
        {},
        start | {"token": "../../../../../../../../../../tmp/x.1", "day": "2026-11-21"},
        start | {"token": run.token, "day": "../../../.."},
        start | {"token": run.token + "\n", "day": "2026-11-21"},
        start | {"token": run.token, "day": "2026-11-21", "argv": []},
        start | {"token": run.token, "day": "2026-11-21", "grace": "soon"},
    ]
    async with commands(state) as opened:
        for message in hostile:
            text = message if isinstance(message, str) else json.dumps(message)
            async with await anyio.connect_unix(state / "supervisor.sock") as link:
                await link.send(text.encode() + b"\n")
                with anyio.fail_after(10), pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)):
                    await link.receive()
        assert (await ended(job(opened, "true"), new_run())).status == "succeeded"
    assert not (tmp_path / "PWN").exists()


def canary_in_processes(canary: bytes, files: tuple[str, ...]) -> list[str]:
    found = []
    for entry in Path("/proc").iterdir():
        for name in files:
            try:
                if entry.name.isdecimal() and canary in (entry / name).read_bytes():
                    found.append(f"{(entry / 'comm').read_text().strip()}: {name}")
            except OSError:
                continue
    return found


async def test_a_secret_of_the_daemon_is_in_no_process_and_one_of_a_job_in_no_argument_or_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    canary, password = f"canary-{SYSTEM.new_id()}", f"password-{SYSTEM.new_id()}"
    monkeypatch.setenv("SENSORD_TOKEN", canary)
    monkeypatch.setenv("TELEGRAM_TOKEN", canary)
    state, through = tmp_path / "state", gate(tmp_path)
    async with commands(state) as opened:
        launcher = job(opened, "sh", "-c", f"read x < {through}; env", env={"PGPASSWORD": password})
        run = new_run()
        async with launched(launcher, run):
            assert canary_in_processes(canary.encode(), ("cmdline", "environ")) == []
            assert canary_in_processes(password.encode(), ("cmdline",)) == []
            assert canary_in_processes(password.encode(), ("environ",)) == ["sh: environ"]
            await open_gate(through)
        for path in state.rglob("*"):
            if path.is_file():
                data = path.read_bytes()
                assert canary.encode() not in data, path
                assert password.encode() not in data or path.suffix == ".log", path
