"""The daemon's process: what it promises, the signals it heeds, the order in which it ends."""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio

from sensord import interpreter
from sensord.app import App, open_app
from sensord.config import Config
from sensord.launchers.command_process import start_tick
from sensord.launchers.command_starting import SupervisorUnavailableError
from sensord.ledger.engine import DatabaseInUse, DatabaseUnusable
from sensord.ledger.looking import promises
from sensord.ledger.schema import SchemaError
from sensord.logs import setup_logging
from sensord.secrets import redact
from sensord.web.api import serve

log = logging.getLogger("sensord")

_END_SECONDS = 20.0  # More than the drain of messages and the server's last answers take together.


def run_daemon(config: Config) -> int:
    """Run until a signal ends it. The exit code: 0 after a signal, 1 where it could not start, said in a line."""
    setup_logging(config.log.level, config.log.format)
    interpreter.tune()
    code = 0
    try:
        anyio.run(_live, config)
    except* (DatabaseInUse, DatabaseUnusable, SchemaError, SupervisorUnavailableError, OSError) as group:
        for error in _leaves(group):
            log.error("daemon.cannot_run", extra={"reason": redact(str(error))})  # noqa: TRY400 - a sentence, not a traceback
        code = 1
    return code


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for one in error.exceptions:
            yield from _leaves(one)
    else:
        yield error


async def _live(config: Config) -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(_heed, group.cancel_scope)
        # What is opened first is closed last: the API stops answering first, so that nothing is accepted any more;
        # then sensing, running and telling stop, each after the commit it is in; then the ledger commits what was
        # handed over, and closes. Jobs are in their supervisor's hands and go on.
        async with open_app(config) as app, anyio.create_task_group() as work:
            await work.start(app.run)
            async with serve(app) as url:
                with _noted(config.state, url):
                    log.info("daemon.ready", extra={"url": url, **await app.database.read(promises), **_counts(app)})
                    _notify("READY=1")
                    interpreter.settle()
                    work.start_soon(app.chats.run, name="chats")  # It loads much, for which nobody needs to wait.
                    work.start_soon(_take_spooled, app, url, name="spool")
                    try:
                        await anyio.sleep_forever()
                    finally:
                        _notify("STOPPING=1")
                        app.ready = False
            work.cancel_scope.cancel()


async def _take_spooled(app: App, url: str) -> None:
    """Take in what programs of our user could not send while we were away."""
    from sensord.spool_taking import keep_taking

    token = app.config.http.token
    await keep_taking(url, None if token is None else token.get_secret_value(), app.clock)


async def _heed(scope: anyio.CancelScope) -> None:
    """The first signal ends it in order; a second one ends it at once."""
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for number in signals:
            log.info("daemon.ending", extra={"signal": signal.Signals(number).name})
            break
    # Whatever hangs (a channel, a disk, a server), the end comes; what is committed is found again at the next start.
    forced = threading.Timer(_END_SECONDS, _end_by_force)
    forced.daemon = True
    forced.start()
    # Leaving the receiver gave the signals their own meaning back, so that a second one kills.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    scope.cancel()


def _end_by_force() -> None:
    log.error(
        "daemon.ended_by_force",
        extra={"after_seconds": _END_SECONDS, "reason": "something did not end; nothing is lost"},
    )
    os._exit(1)


@contextmanager
def _noted(state: Path, url: str) -> Iterator[None]:
    """Tell commands where the daemon is, in `daemon.json` of the state folder."""
    note, spare = state / "daemon.json", state / "daemon.json.new"
    spare.write_text(json.dumps({"pid": os.getpid(), "start": start_tick(os.getpid()), "url": url}), encoding="utf-8")
    spare.replace(note)
    try:
        yield
    finally:
        note.unlink(missing_ok=True)


def _counts(app: App) -> dict[str, Any]:
    config = app.config
    where = {"environment": config.environment} if config.environment else {}
    return where | {
        "jobs": len(config.jobs),
        "sensors": len(config.sensors),
        "subscriptions": len(config.subscriptions),
    }


def _notify(state: str) -> None:
    """Tell systemd (`Type=notify`), where it asks to be told: sd_notify(3)."""
    address = os.environ.get("NOTIFY_SOCKET")
    if address:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
            channel.sendto(state.encode(), "\0" + address[1:] if address.startswith("@") else address)
