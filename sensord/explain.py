"""The whole story of a file, key, run, event or delivery: what happened when, why, and who was told."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from anyio import to_thread
from msgspec import Struct, field
from sqlalchemy import Connection, func, or_, select

from notifiers.bus.embedded import from_row
from notifiers.clock import from_us
from notifiers.fanout import CURSOR
from notifiers.noise_tables import digests
from notifiers.tables import bus_cursors, deliveries, events, subscriptions
from notifiers.wording import headline
from rules.event import Event, rfc3339
from rules.phrases import joined, phrase, plural
from rules.printable import printable, unprintable
from rules.request import BACKFILL
from rules.routing import Subscription, compile_where
from rules.routing import explain as explain_routing
from sensord.app import App
from sensord.ledger.queries import loads
from sensord.ledger.tables import TERMINAL, run_keys, runs, ticks

_MANY = 50


class _Story(Struct):
    """Lines in the order of their times, and what they amount to."""

    what: str
    kind: str | None = None
    lines: list[tuple[int, int, int | None, str, dict[str, str]]] = field(default_factory=list)
    verdict: str = ""
    more: bool = False

    def tell(self, at: int | None, text: str, *, behind: bool = False, **ref: str) -> None:
        """Add a line; one without a time, and one that belongs `behind` the line before it, stays there."""
        last = self.lines[-1][0] if self.lines else 0
        self.lines.append((last if at is None or behind else at, len(self.lines), at, text, ref))

    def as_json(self) -> dict[str, Any]:
        """What the API answers."""
        story = [
            {"at": rfc3339(from_us(at)) if at else None, "text": text, "ref": ref}
            for _, _, at, text, ref in sorted(self.lines, key=lambda line: line[:2])
        ]
        if self.more:
            only = phrase("(only the newest {most} of each kind are told)", most=_MANY)
            story.insert(0, {"at": None, "text": only, "ref": {}})
        return {"what": self.what, "kind": self.kind, "story": story, "verdict": self.verdict}


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


def _recorded(conn: Connection, what: str, path: str | None) -> _Story:
    story = _Story(what)
    if event := conn.execute(select(events).where(events.c.id == what)).mappings().first():
        story.kind = "event"
        _event(conn, dict(event), story)
        story.verdict = joined("", [_told(conn, [what]), _started(conn, what, story)])
    elif delivery := conn.execute(select(deliveries).where(deliveries.c.id == what)).mappings().first():
        story.kind = "delivery"
        found = conn.execute(select(events).where(events.c.id == delivery["event"])).mappings().first()
        if found is not None:
            story.tell(found["time"], joined(" ", [phrase("event"), _happened(from_row(dict(found)), found["topic"])]))
        _delivery(dict(delivery), story)
        story.verdict = phrase(
            "the delivery to {destination} is {status}",
            destination=delivery["destination"],
            status=_ended(delivery["status"]),
        )
    elif digest := conn.execute(select(digests).where(digests.c.id == what)).mappings().first():
        story.kind = "digest"
        _digest(conn, dict(digest), story)
    else:
        _file_key_or_run(conn, what, path, story)
    return story


def _digest(conn: Connection, digest: Mapping[str, Any], story: _Story) -> None:
    """One message in place of others: its own delivery, and those that end as it does."""
    carried = _rows(conn, select(deliveries).where(deliveries.c.event == digest["id"]))
    mine = select(deliveries.c.status, func.count()).where(deliveries.c.digest == digest["id"])
    counted = conn.execute(mine.group_by(deliveries.c.status)).all()
    counts = joined(", ", [joined(" ", [str(number), _ended(status)]) for status, number in counted])
    what = counts if counted else phrase("none is kept any more")
    story.tell(
        digest["at"],
        plural(
            "digest in place of {count} message: {what}",
            "digest in place of {count} messages: {what}",
            digest["count"],
            what=what,
        ),
    )
    for row in carried:
        _delivery(row, story)
        story.verdict = phrase(
            "the digest to {destination} is {status}", destination=row["destination"], status=_ended(row["status"])
        )


def _file_key_or_run(conn: Connection, what: str, path: str | None, story: _Story) -> None:
    subjects = _subjects(what, path)
    if found := _rows(conn, select(runs).where(runs.c.id == what)):
        story.kind, run = "run", found[0]
        mine = (ticks.c.subject == run["subject"]) & or_(ticks.c.run == what, ticks.c.run.is_(None))
        sensed = _rows(conn, select(ticks).where(mine).order_by(ticks.c.seq.desc()), story)
    else:
        sensed = _rows(conn, select(ticks).where(ticks.c.subject.in_(subjects)).order_by(ticks.c.seq.desc()), story)
        wanted = or_(runs.c.subject.in_(subjects), runs.c.run_key == what)
        found = _rows(conn, select(runs).where(wanted).order_by(runs.c.id.desc()), story)
        holders = conn.execute(select(run_keys).where(run_keys.c.run.in_([row["id"] for row in found]))).mappings()
        story.kind = "file" if any(row["subject"] in subjects for row in (*sensed, *found)) else None
        if story.kind is None and found:
            story.kind = "key"
            held = [row["run"] for row in holders if row["run_key"] == what]
            free = phrase("the run_key was forgotten: it is free")
            story.tell(None, phrase("the run_key is held by run {run}", run=held[0]) if held else free)
    for tick in sensed:
        _tick(tick, story)
    for run in found:
        _run(conn, run, story)
    if story.kind is not None:
        started = _started(conn, what, story) if story.kind == "run" else ""
        story.verdict = joined("", [_verdict(conn, sensed, found), started])


def _started(conn: Connection, subject: str, story: _Story) -> str:
    """What sensors on events and runs made of this one; words of it for the verdict."""
    sensed = _rows(conn, select(ticks).where(ticks.c.subject == subject).order_by(ticks.c.seq.desc()), story)
    for tick in sensed:
        _tick(tick, story)
    started = sorted({tick["run"] for tick in sensed if tick["outcome"] == "requested"})
    return phrase("; it started run {runs}", runs=", ".join(started)) if started else ""


def _subjects(what: str, path: str | None) -> set[str]:
    """The texts under which a thing may be known: as it is typed, as a path, and as either is written printably."""
    names = {what, _path(what, path)}
    return names | {printable(os.fsencode(name)) for name in names}


def _path(what: str, path: str | None) -> str:
    """It as a path without detours; an address is none, and stays as it is."""
    return what if path is None and "://" in what else os.path.normpath(path or what)


def _rows(conn: Connection, query: Any, story: _Story | None = None) -> list[dict[str, Any]]:
    """The first of what is found; the story says where that is not all."""
    found = [dict(row) for row in conn.execute(query.limit(_MANY + 1)).mappings()]
    if len(found) > _MANY and story is not None:
        story.more = True
    return found[:_MANY]


def _tick(tick: Mapping[str, Any], story: _Story) -> None:
    reason = tick["reason"]
    decided = {
        "requested": phrase(
            "a run of {job} for run_key {key}: run {run}", job=tick["job"], key=tick["run_key"], run=tick["run"]
        ),
        "duplicate": phrase("no second run: {reason}", reason=reason),
        "skipped": phrase("no run: {reason}", reason=reason),
        "error": phrase("no run, the rule failed: {reason}", reason=reason),
    }[tick["outcome"]]
    sensed = phrase(
        "sensed by {sensor}: {subject}; decided: {decided}",
        sensor=tick["sensor"],
        subject=tick["subject"],
        decided=decided,
    )
    story.tell(tick["at"], sensed)


def _run(conn: Connection, run: Mapping[str, Any], story: _Story) -> None:
    requested = phrase(
        "run {run} of job {job} requested{because}", run=run["id"], job=run["job"], because=_because(run)
    )
    story.tell(run["requested_at"], requested, run=run["id"])
    for row in _rows(conn, select(events).where(events.c.run == run["id"]).order_by(events.c.seq)):
        _event(conn, row, story)
    if run["status"] not in TERMINAL:
        due = run["next_attempt_at"]
        status = phrase("it is {status}, attempt {attempt}", status=_ended(run["status"]), attempt=run["attempt"])
        later = phrase("the next attempt is due {time}", time=rfc3339(from_us(due))) if due else ""
        story.tell(None, joined("; ", [status, later]) if due else status, run=run["id"])


def _because(run: Mapping[str, Any]) -> str:
    of_it = phrase(" for partition {partition}", partition=run["partition_key"]) if run["partition_key"] else ""
    if run["sensor"]:
        return joined("", [phrase(" because of sensor {sensor}", sensor=run["sensor"]), of_it])
    # The text is looked at first: most runs have no such tag, and reading tags that nobody asked for costs time.
    backfill = loads(run["tags"]).get(BACKFILL) if BACKFILL in run["tags"] else None
    by = phrase(" by backfill {backfill}", backfill=backfill) if backfill else phrase(" by hand or program")
    return joined("", [of_it, by])


def _event(conn: Connection, row: Mapping[str, Any], story: _Story) -> None:
    event = from_row(row)
    story.tell(row["time"], _happened(event, *event.topics), event=event.id)
    found = _rows(conn, select(deliveries).where(deliveries.c.event == event.id).order_by(deliveries.c.id))
    for delivery in found:
        _delivery(delivery, story)
    if not found:
        waits = row["seq"] > _routed_to(conn)
        if waits:
            why = phrase("not told yet: it waits for its turn")
        else:
            why = phrase("told nobody: {why}", why=_why_nobody(conn, event))
        story.tell(None, joined("  ", ["", why]), event=event.id)


def _happened(event: Event, *topics: str) -> str:
    """What happened, in a line; in another language than English, as its message says it there."""
    said = headline(event)
    if len(topics) > 1:
        first, second = topics[:2]
        return phrase("{type} on {first} and {second}: {said}", type=event.type, first=first, second=second, said=said)
    return phrase("{type} on {topic}: {said}", type=event.type, topic=topics[0], said=said)


def _delivery(row: Mapping[str, Any], story: _Story) -> None:
    tries = plural(" after {count} attempt", " after {count} attempts", row["attempts"]) if row["attempts"] else ""
    why = f": {row['error']}" if row["error"] else ""
    receipts = [one for one in orjson.loads(row["receipts"]) if one is not None]
    ids = [phrase("edit of {id}", id=one["id"]) if one.get("edited") else str(one["id"]) for one in receipts]
    receipt = phrase(" (receipt {ids})", ids=joined(", ", ids)) if receipts else ""
    digest = phrase(" in digest {digest}", digest=row["digest"]) if row["digest"] and not row["error"] else ""
    held = row["status"] == "held" and not row["digest"]
    due = phrase(", until {time}", time=rfc3339(from_us(row["next_attempt_at"]))) if held else ""
    text = joined("", [f"  {row['destination']} ", _ended(row["status"]), tries, why, due, digest, receipt])
    story.tell(row["ended_at"] or row["created_at"], text, behind=True, delivery=row["id"])


def _routed_to(conn: Connection) -> int:
    """The event up to which all have their deliveries."""
    return conn.scalar(select(bus_cursors.c.seq).where(bus_cursors.c.name == CURSOR)) or 0


def _why_nobody(conn: Connection, event: Event) -> str:
    """No delivery at all: each subscription that holds, and why it does not take this event."""
    held = _rows(conn, select(subscriptions).where(subscriptions.c.ended_at.is_(None)))
    if not held:
        return phrase("there is no subscription")
    reasons: list[str] = []
    for row in held[:5]:
        where = compile_where(orjson.loads(row["where"]))
        one = Subscription(row["id"], row["topic"], row["destination"], where)
        reasons.append(joined(": ", [f"{row['topic']} → {row['destination']}", explain_routing(event, one)]))
    if len(held) > 5:  # noqa: PLR2004
        reasons.append(phrase("and {count} more", count=len(held) - 5))
    return joined("; ", reasons)


def _verdict(conn: Connection, sensed: Sequence[Mapping[str, Any]], found: Sequence[Mapping[str, Any]]) -> str:
    if not found:
        last = sensed[0]
        return phrase("it was sensed and asked for no run: {reason}", reason=last["reason"] or last["outcome"])
    run = found[0]
    newest = sensed[0] if sensed else None
    if newest is not None and newest["run"] is None and newest["at"] > run["requested_at"]:
        # A newer version of the same thing came to nothing: that is what somebody asks about.
        reason = newest["reason"] or newest["outcome"]
        return phrase(
            "its newest version asked for no run: {reason}; before that, run {run}", reason=reason, run=run["id"]
        )
    ids = list(conn.scalars(select(events.c.id).where(events.c.run == run["id"])))
    became = [phrase("run"), run["id"], _IS.get(run["status"], run["status"])]
    error = [f"({run['error']})"] if run["error"] else []
    return joined("; ", [joined(" ", [*became, *error]), _told(conn, ids)])


_IS = {
    "queued": phrase("is queued"),
    "running": phrase("is running"),
    "lost": phrase("was lost"),
    "cancelled": phrase("was cancelled"),
    "succeeded": phrase("succeeded"),
    "failed": phrase("failed"),
}
_ENDS = {
    "pending": phrase("pending"),
    "sending": phrase("sending"),
    "held": phrase("held"),
    "delivered": phrase("delivered"),
    "suppressed": phrase("suppressed"),
    "uncertain": phrase("uncertain"),
    "dead": phrase("dead"),
    "queued": phrase("queued"),
    "running": phrase("running"),
}


def _ended(status: str) -> str:
    """The status of a delivery, or of a run that has not ended, in a word."""
    return _ENDS.get(status, status)


def _told(conn: Connection, ids: Sequence[str]) -> str:
    if not ids:
        return phrase("no event of it is kept any more")
    rows = conn.execute(select(deliveries.c.destination, deliveries.c.status).where(deliveries.c.event.in_(ids))).all()
    if not rows:
        last = conn.scalar(select(func.max(events.c.seq)).where(events.c.id.in_(ids))) or 0
        return phrase("nobody is told yet") if last > _routed_to(conn) else phrase("nobody was told")
    by: dict[str, set[str]] = {}
    for destination, status in rows:
        by.setdefault(status, set()).add(destination)
    return joined("; ", [joined(": ", [_ended(status), ", ".join(sorted(to))]) for status, to in sorted(by.items())])


def _never_sensed(app: App, path: str, story: _Story) -> None:
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
