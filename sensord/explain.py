"""The whole story of a file, key, run, event or delivery: what happened when, why, and who was told."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from anyio import to_thread
from sqlalchemy import Connection, func, or_, select

from notifiers.bus.embedded import from_row
from notifiers.noise_tables import digests
from notifiers.tables import deliveries, events
from rules.phrases import joined, phrase
from rules.printable import printable, unprintable
from rules.stored import recalled
from sensord.app import App
from sensord.ledger.tables import run_keys, runs, ticks
from sensord.story import (
    Story,
    first_of,
    happened,
    routed_to,
    status_word,
    tell_delivery,
    tell_digest,
    tell_event,
    tell_run,
    tell_tick,
)

_IS = {
    "queued": phrase("is queued"),
    "running": phrase("is running"),
    "lost": phrase("was lost"),
    "cancelled": phrase("was cancelled"),
    "succeeded": phrase("succeeded"),
    "failed": phrase("failed"),
}


async def explain(app: App, what: str, path: str | None = None) -> dict[str, Any]:
    """Tell the story of a file (a path or its printable form), a run_key, or the id of a run, event or delivery.

    `path` is what `what` is as a path, where it may be one: only whoever typed it knows from which folder.
    `kind` is what it was found to be, or None; `story` has the lines in order, each with its time; `verdict` is
    one sentence.
    """
    story = await app.database.read(lambda conn: _recorded(conn, what, path))
    if story.kind is None:
        # Sources look at the file system, which may hang.
        await to_thread.run_sync(_never_sensed, app, _path(what, path), story, abandon_on_cancel=True)
    return story.as_json()


def _recorded(conn: Connection, what: str, path: str | None) -> Story:
    story = Story(what)
    if event := conn.execute(select(events).where(events.c.id == what)).mappings().first():
        story.kind = "event"
        tell_event(conn, dict(event), story)
        story.verdict = joined("", [_told(conn, [what]), _started(conn, what, story)])
    elif delivery := conn.execute(select(deliveries).where(deliveries.c.id == what)).mappings().first():
        story.kind = "delivery"
        found = conn.execute(select(events).where(events.c.id == delivery["event"])).mappings().first()
        if found is not None:
            story.tell(found["time"], joined(" ", [phrase("event"), happened(from_row(dict(found)), found["topic"])]))
        tell_delivery(dict(delivery), story)
        story.verdict = phrase(
            "the delivery to {destination} is {status}",
            destination=delivery["destination"],
            status=status_word(delivery["status"]),
        )
    elif digest := conn.execute(select(digests).where(digests.c.id == what)).mappings().first():
        story.kind = "digest"
        tell_digest(conn, dict(digest), story)
    else:
        _file_key_or_run(conn, what, path, story)
    return story


def _file_key_or_run(conn: Connection, what: str, path: str | None, story: Story) -> None:
    subjects = _subjects(what, path)
    if found := first_of(conn, select(runs).where(runs.c.id == what)):
        story.kind, run = "run", found[0]
        mine = (ticks.c.subject == run["subject"]) & or_(ticks.c.run == what, ticks.c.run.is_(None))
        sensed = first_of(conn, select(ticks).where(mine).order_by(ticks.c.seq.desc()), story)
    else:
        sensed = first_of(conn, select(ticks).where(ticks.c.subject.in_(subjects)).order_by(ticks.c.seq.desc()), story)
        wanted = or_(runs.c.subject.in_(subjects), runs.c.run_key == what)
        found = first_of(conn, select(runs).where(wanted).order_by(runs.c.id.desc()), story)
        holders = conn.execute(select(run_keys).where(run_keys.c.run.in_([row["id"] for row in found]))).mappings()
        story.kind = "file" if any(row["subject"] in subjects for row in (*sensed, *found)) else None
        if story.kind is None and found:
            story.kind = "key"
            held = [row["run"] for row in holders if row["run_key"] == what]
            free = phrase("the run_key was forgotten: it is free")
            story.tell(None, phrase("the run_key is held by run {run}", run=held[0]) if held else free)
    for tick in sensed:
        tell_tick(tick, story)
    for run in found:
        tell_run(conn, run, story)
    if story.kind is not None:
        started = _started(conn, what, story) if story.kind == "run" else ""
        story.verdict = joined("", [_verdict(conn, sensed, found), started])


def _started(conn: Connection, subject: str, story: Story) -> str:
    """What sensors on events and runs made of this one; words of it for the verdict."""
    sensed = first_of(conn, select(ticks).where(ticks.c.subject == subject).order_by(ticks.c.seq.desc()), story)
    for tick in sensed:
        tell_tick(tick, story)
    started = sorted({tick["run"] for tick in sensed if tick["outcome"] == "requested"})
    return phrase("; it started run {runs}", runs=", ".join(started)) if started else ""


def _subjects(what: str, path: str | None) -> set[str]:
    """The texts under which a thing may be known: as it is typed, as a path, and as either is written printably."""
    names = {what, _path(what, path)}
    return names | {printable(os.fsencode(name)) for name in names}


def _path(what: str, path: str | None) -> str:
    """It as a path without detours; an address is none, and stays as it is."""
    return what if path is None and "://" in what else os.path.normpath(path or what)


def _verdict(conn: Connection, sensed: Sequence[Mapping[str, Any]], found: Sequence[Mapping[str, Any]]) -> str:
    if not found:
        last = sensed[0]
        return phrase(
            "it was sensed and asked for no run: {reason}", reason=recalled(last["reason"] or last["outcome"])
        )
    run = found[0]
    newest = sensed[0] if sensed else None
    if newest is not None and newest["run"] is None and newest["at"] > run["requested_at"]:
        # A newer version of the same thing came to nothing: that is what somebody asks about.
        reason = recalled(newest["reason"] or newest["outcome"])
        return phrase(
            "its newest version asked for no run: {reason}; before that, run {run}", reason=reason, run=run["id"]
        )
    ids = list(conn.scalars(select(events.c.id).where(events.c.run == run["id"])))
    became = [phrase("run"), run["id"], _IS.get(run["status"], run["status"])]
    error = [f"({run['error']})"] if run["error"] else []
    return joined("; ", [joined(" ", [*became, *error]), _told(conn, ids)])


def _told(conn: Connection, ids: Sequence[str]) -> str:
    if not ids:
        return phrase("no event of it is kept any more")
    rows = conn.execute(select(deliveries.c.destination, deliveries.c.status).where(deliveries.c.event.in_(ids))).all()
    if not rows:
        last = conn.scalar(select(func.max(events.c.seq)).where(events.c.id.in_(ids))) or 0
        return phrase("nobody is told yet") if last > routed_to(conn) else phrase("nobody was told")
    by: dict[str, set[str]] = {}
    for destination, status in rows:
        by.setdefault(status, set()).add(destination)
    return joined(
        "; ", [joined(": ", [status_word(status), ", ".join(sorted(to))]) for status, to in sorted(by.items())]
    )


def _never_sensed(app: App, path: str, story: Story) -> None:
    """No record has it: ask each source why."""
    story.verdict = phrase("nothing is known of it")
    for name, source in app.sources.items():
        if (reason := source.why(path)) is not None:
            said = phrase("sensor {sensor} would not take it: {reason}", sensor=name, reason=reason)
            story.tell(None, said, sensor=name)
        else:
            story.tell(None, phrase("sensor {sensor} would take it, and has not yet", sensor=name), sensor=name)
    if not app.sources:
        story.tell(None, phrase("there is no sensor"))
    if _exists(path):
        story.kind, story.verdict = "file", phrase("it was never sensed")


def _exists(path: str) -> bool:
    """Whether there is a file of that path, given as it is or printably."""
    try:
        return os.path.lexists(path) or os.path.lexists(unprintable(path))
    except ValueError:
        return False
