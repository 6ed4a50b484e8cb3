"""A job's last durations as a picture, drawn by another process: one at a time, within bounds, beside the loop."""

from __future__ import annotations

import json
import logging
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import anyio
from msgspec import Struct
from sqlalchemy import Connection

from notifiers.chat.answers import insert_answer
from notifiers.clock import Clock, to_us
from notifiers.delivery import Delivery
from notifiers.message import Attachment, Message, Text
from notifiers.reading import Reader
from notifiers.reading.templates import Voice
from notifiers.store import Waiting
from notifiers.wording import spoken
from sensord.ledger.database import LedgerDatabase
from sensord.ledger.queries import get_run, list_runs

log = logging.getLogger(__name__)

RUNS: Final = 30
SECONDS: Final = 60.0
"""A drawing that takes longer is given up; on a machine with time to spare it takes one or two."""
BYTES: Final = 1_000_000
ASKED: Final = 8
"""So many pictures wait to be drawn; more are refused."""

EXTRA: Final = "pip install 'sensord[pictures]'"
_ENDED: Final = ("succeeded", "failed", "lost", "cancelled")


class PictureError(Exception):
    """There is no picture; the text says why, and what to do."""


class Wanted(Struct, frozen=True):
    """Somebody wants a job's picture at a destination, with that run marked."""

    job: str
    run: str | None
    to: str
    reader: Reader


class Pictures:
    """Draws, and sends what was drawn as answers are sent. `state` is the daemon's folder."""

    def __init__(self, database: LedgerDatabase, delivery: Delivery, clock: Clock, state: Path) -> None:
        self._database = database
        self._delivery = delivery
        self._clock = clock
        self._cache = state / "pictures"
        self._limit = anyio.CapacityLimiter(1)
        self._asked, self._wanted = anyio.create_memory_object_stream[Wanted](ASKED)

    async def run(self) -> None:
        """Draw what is asked for until cancelled."""
        async for wanted in self._wanted:
            try:
                await self._answer(wanted)
            except Exception:
                log.exception("picture.broke", extra={"job": wanted.job, "to": wanted.to})

    def ask(self, wanted: Wanted) -> None:
        """Have it drawn and sent. Where too many wait, or the daemon ends meanwhile, it is not: ask again."""
        try:
            self._asked.send_nowait(wanted)
        except anyio.WouldBlock:
            log.warning("picture.refused", extra={"job": wanted.job, "to": wanted.to})

    async def _answer(self, wanted: Wanted) -> None:
        voice = spoken(wanted.reader)
        try:
            picture = await self.draw(wanted.job, wanted.run, wanted.reader)
        except PictureError as error:
            message = Message(title=voice.say("chart.none", job=wanted.job), body=[Text(str(error))])
        else:
            file = Attachment(f"{wanted.job}.png", picture, picture=voice.say("chart.caption", job=wanted.job))
            message = Message(title=voice.say("chart.caption", job=wanted.job), attachments=[file])
        now, new_id = to_us(self._clock.now()), self._clock.new_id

        def insert(conn: Connection, batch: Sequence[Message]) -> list[Waiting]:
            rows = [insert_answer(conn, one, wanted.to, new_id=new_id, now=now) for one in batch]
            return [Waiting(row["id"], row["destination"], row["severity"], row["event_seq"]) for row in rows]

        self._delivery.expect([await self._database.write(insert, message)])

    async def draw(self, job: str, run: str | None, reader: Reader) -> bytes:
        """The PNG of a job's last runs that have ended, `run` among them and marked. PictureError: there is none."""
        if (why := missing()) is not None:
            raise PictureError(why)
        points = await self._database.read(partial(last_runs, job=job, mark=run))
        if not points:
            raise PictureError("No run of it has ended yet.")
        asked = {"points": points, "mark": run, "words": _words(spoken(reader), job, len(points), reader)}
        async with self._limit:
            return await self._drawn(json.dumps(asked).encode())

    async def _drawn(self, asked: bytes) -> bytes:
        """What another process makes of it. It gets no secret: nothing of the environment but where programs are."""
        self._cache.mkdir(mode=0o700, parents=True, exist_ok=True)
        kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH", "TZ") if name in os.environ}
        try:
            # A file and not a pipe: a process that dies at once breaks no pipe of ours.
            with anyio.fail_after(SECONDS), tempfile.TemporaryFile() as file:
                file.write(asked)
                file.seek(0)
                done = await anyio.run_process(
                    [sys.executable, "-P", "-m", "sensord.drawing"],
                    stdin=file,
                    check=False,
                    env={**kept, "MPLCONFIGDIR": str(self._cache), "HOME": str(self._cache)},
                )
        except TimeoutError:
            raise PictureError(f"Drawing it took longer than {SECONDS:.0f} s.") from None
        except OSError as error:
            raise PictureError(f"No process could be started to draw it: {error.strerror}.") from None
        if done.returncode or not done.stdout.startswith(b"\x89PNG") or len(done.stdout) > BYTES:
            said = done.stderr[-500:].decode("utf-8", "replace")
            log.error("picture.failed", extra={"code": done.returncode, "error": said})
            raise PictureError("Drawing it failed; the daemon's log says why.")
        return bytes(done.stdout)


def missing() -> str | None:
    """What is to be installed before anything can be drawn; None where it is there."""
    if find_spec("matplotlib") is not None:
        return None
    return f"How long the last runs took is drawn by an extra of sensord: {EXTRA}"


def last_runs(conn: Connection, *, job: str, mark: str | None) -> list[tuple[str, float, str, str]]:
    """Id, seconds, status and end of a job's last runs that have ended, the oldest first; the marked one among them."""
    page = list_runs(conn, {"job": [job], "status": list(_ENDED)}, limit=RUNS, after=None)
    items = list(page["items"])
    if mark is not None and all(one["id"] != mark for one in items):
        marked = get_run(conn, mark)
        if marked is not None and marked["job"] == job:
            items = [*items[: RUNS - 1], marked]
    return [point for one in reversed(items) if (point := _point(one)) is not None]


def _point(run: Mapping[str, Any]) -> tuple[str, float, str, str] | None:
    if run["started_at"] is None or run["ended_at"] is None:
        return None  # It was cancelled before it began, or has not ended.
    seconds = (datetime.fromisoformat(run["ended_at"]) - datetime.fromisoformat(run["started_at"])).total_seconds()
    return run["id"], max(0.0, seconds), run["status"], run["ended_at"]


def _words(voice: Voice, job: str, count: int, reader: Reader) -> dict[str, Any]:
    return {
        "title": job,
        "sub": voice.say("chart.sub", count=count),
        "middle": voice.say("chart.median", at="{}"),
        "mark": voice.say("chart.mark"),
        "statuses": {one: voice.say(f"status.{one}") for one in _ENDED},
        "lang": reader.lang,
        "zone": reader.zone,
    }
