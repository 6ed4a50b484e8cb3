"""The demonstration: a folder, a job, two files, and what happened when, as it happens."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import orjson
import yaml
from msgspec import Struct
from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text
from sqlalchemy import Connection, select

from notifiers.clock import from_us
from notifiers.tables import deliveries, events, inbox
from sensord.app import App, open_app
from sensord.config import load
from sensord.ledger.tables import TERMINAL, runs, ticks
from sensord.scaffold import JOB
from sensord.web.api import serve

GOOD = "name,traffic\nold mill,120\nnew bridge,80\nthird farm,45\n"
BROKEN = "name,traffic\nold mill,120\n,80\nthird farm,\n"
_LOOK_SECONDS = 0.02
_BAR = 46


class Story(Struct, frozen=True):
    """What became of one file: when it was closed, sensed, started, ended and told, as far as it has come."""

    run: str
    job: str
    subject: str
    status: str
    sensed: datetime
    started: datetime | None
    ended: datetime | None
    told: datetime | None
    messages: tuple[str, ...]

    @property
    def over(self) -> bool:
        """Whether it ended and was told."""
        return self.told is not None and self.status in TERMINAL


def write_demo(folder: Path, environ: Mapping[str, str]) -> tuple[Path, list[str]]:
    """Make the folder's configuration, job and `incoming`; the configuration's path and who is told.

    Telegram and Slack are told too where `TELEGRAM_TOKEN` and `TELEGRAM_CHAT_ID`, or `SLACK_BOT_TOKEN` and
    `SLACK_CHANNEL` are in the environment; the tokens stay there, the file only names them.
    """
    (folder / "incoming").mkdir(parents=True, exist_ok=True)
    (folder / "check_csv.py").write_text(JOB, encoding="utf-8")
    told = ["inbox:"]
    config: dict[str, Any] = {
        "http": {"port": 0},
        "jobs": {"check_csv": {"command": ["python3", "check_csv.py"], "cwd": ".", "timeout": "1m"}},
        "sensors": {
            "incoming_csv": {
                "directory": {"path": "incoming", "pattern": "*.csv"},
                "job": "check_csv",
                "run_config": {"path": "{{ file.path }}"},
            }
        },
        "log": {"level": "warning"},
    }
    if environ.get("TELEGRAM_TOKEN") and environ.get("TELEGRAM_CHAT_ID"):
        config["telegram"] = {"token": "${TELEGRAM_TOKEN}"}
        told.append(f"telegram:{environ['TELEGRAM_CHAT_ID']}")
    if environ.get("SLACK_BOT_TOKEN") and environ.get("SLACK_CHANNEL"):
        config["slack"] = {"token": "${SLACK_BOT_TOKEN}"}
        told.append(f"slack:{environ['SLACK_CHANNEL']}")
    where = {"severity": ">=info"}
    config["subscriptions"] = [{"topic": "runs.>", "to": to, "where": where} for to in told]
    config["subscriptions"] += [{"topic": "quality.*.failed", "to": to} for to in told]
    path = folder / "sensord.yaml"
    path.write_text(yaml.safe_dump(config, sort_keys=False, allow_unicode=True), encoding="utf-8")
    return path, told


def drop(path: Path, text: str) -> float:
    """Write a file the way programs do, and return the wall-clock time just before it was closed."""
    with path.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        return datetime.now().astimezone().timestamp()


def stories(conn: Connection, since: str) -> list[Story]:
    """The runs requested after run id `since`, oldest first, each with how far it has come."""
    query = select(runs).where(runs.c.id > since).order_by(runs.c.id)
    return [_story(conn, dict(row)) for row in conn.execute(query).mappings().all()]


def _stories(since: str, conn: Connection) -> list[Story]:
    return stories(conn, since)


def _story(conn: Connection, row: Mapping[str, Any]) -> Story:
    sensed = conn.scalar(select(ticks.c.at).where(ticks.c.subject == row["subject"], ticks.c.run == row["id"]))
    query = (
        select(deliveries.c.ended_at, deliveries.c.receipts, events.c.type)
        .join(events, events.c.id == deliveries.c.event)
        .where(events.c.run == row["id"], deliveries.c.status == "delivered", deliveries.c.destination == "inbox:")
        .order_by(deliveries.c.event_seq)
    )
    arrived = conn.execute(query).all()
    ended = [one.ended_at for one in arrived if one.type == f"run.{row['status']}"]
    ids = [receipt["id"] for one in arrived for receipt in orjson.loads(one.receipts)]
    texts = dict(conn.execute(select(inbox.c.id, inbox.c.text).where(inbox.c.id.in_(ids))).tuples().all())
    return Story(
        run=row["id"],
        job=row["job"],
        subject=row["subject"] or "",
        status=row["status"],
        sensed=from_us(sensed if sensed is not None else row["requested_at"]),
        started=_time(row["started_at"]),
        ended=_time(row["ended_at"]),
        told=_time(max(ended) if ended else None),
        messages=tuple(texts[one] for one in ids if one in texts),
    )


def _time(us: int | None) -> datetime | None:
    return None if us is None else from_us(us)


def drawn(story: Story, closed: float) -> RenderableType:
    """One file's story: the moments in milliseconds since the writer closed it, as a line, and the message."""
    stages = {"sensed": story.sensed, "run started": story.started, "ended": story.ended, "message": story.told}
    moments = {name: (at.timestamp() - closed) * 1000 for name, at in stages.items() if at is not None}
    longest = max(1.0, *moments.values())
    table = Table(box=None, show_header=False, padding=(0, 1))
    for name, ms in {"closed": 0.0, **moments}.items():
        place = min(_BAR, max(0, round(ms / longest * _BAR)))
        style = "red" if story.status not in {"succeeded", "running", "queued"} else "green"
        table.add_row(Text(name, style="bold"), Text(f"{ms:8.1f} ms"), Text("─" * place + "●", style=style))
    mark = "✓" if story.status == "succeeded" else "✗"
    head = Text(f"{mark} {Path(story.subject).name}: {story.job} {story.status}", style="bold")
    told = [
        Panel(Text(text), title="message", title_align="left", border_style="dim", expand=False)
        for text in story.messages
    ]
    return Group(head, table, *told)


async def show(app: App, console: Console, closed: Callable[[str], float], enough: int | None, since: str) -> None:
    """Draw each file's story once it is over; return after `enough` of them, or never."""
    shown: set[str] = set()
    while enough is None or len(shown) < enough:
        found = await app.database.read(partial(_stories, since))
        for story in found:
            if story.over and story.run not in shown:
                shown.add(story.run)
                console.print(drawn(story, closed(story.subject)))
                console.print()
        while found and found[0].run in shown:  # What is shown need not be read again.
            since = found.pop(0).run
        await app.clock.sleep(_LOOK_SECONDS)


async def run_demo(folder: Path, *, once: bool, console: Console, environ: Mapping[str, str]) -> None:
    """Set up the folder, run the daemon in this process, drop two files, show what happens, keep watching."""
    path, told = await anyio.to_thread.run_sync(write_demo, folder, environ)
    config = load(path, environ)
    incoming = folder / "incoming"
    closed: dict[str, float] = {}
    async with open_app(config) as app, anyio.create_task_group() as group:
        await group.start(app.run)
        group.start_soon(app.chats.run, name="chats")
        async with serve(app) as url:
            note = config.state / "daemon.json"
            note.write_text(json.dumps({"pid": os.getpid(), "url": url}), encoding="utf-8")
            try:
                console.print(_welcome(incoming, url, told))
                since = app.clock.new_id()
                stamp = f"{app.clock.now():%H%M%S}-{secrets.token_hex(2)}"
                for name, text in ((f"houses-{stamp}.csv", GOOD), (f"houses-{stamp}-broken.csv", BROKEN)):
                    closed[str(incoming / name)] = drop(incoming / name, text)
                await show(app, console, lambda subject: _closed(subject, closed), 2, since)
                if not once:
                    console.print(f"Now drop CSV files of your own into {incoming} (Ctrl-C ends).")
                    await show(app, console, lambda subject: _closed(subject, closed), None, app.clock.new_id())
            finally:
                note.unlink(missing_ok=True)
        group.cancel_scope.cancel()


def _closed(subject: str, closed: Mapping[str, float]) -> float:
    """When a file was closed: known of our own, and of others the time of their last change."""
    known = closed.get(subject)
    if known is not None:
        return known
    try:
        return Path(subject).stat().st_mtime
    except OSError:
        return datetime.now().astimezone().timestamp()


def _welcome(incoming: Path, url: str, told: Sequence[str]) -> RenderableType:
    lines = [
        ("watching ", f"{incoming}/*.csv"),
        ("job      ", "check_csv.py: a header, rows, no empty cell"),
        ("telling  ", ", ".join(told)),
        ("page     ", url),
    ]
    return Panel("\n".join(f"{name} {value}" for name, value in lines), title="sensord demo", expand=False)
