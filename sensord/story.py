"""What a story of `sensord explain` is made of: a line for each thing that is recorded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from msgspec import Struct, field
from sqlalchemy import Connection, func, select

from notifiers.bus.embedded import from_row
from notifiers.clock import from_us
from notifiers.fanout import CURSOR
from notifiers.tables import bus_cursors, deliveries, events, subscriptions
from notifiers.wording import headline
from rules.event import Event, rfc3339
from rules.phrases import joined, phrase, plural
from rules.request import BACKFILL
from rules.routing import Subscription, compile_where
from rules.routing import explain as explain_routing
from rules.stored import recalled
from sensord.ledger.queries import loads
from sensord.ledger.tables import TERMINAL

_MANY = 50


class Story(Struct):
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


def status_word(status: str) -> str:
    """The status of a delivery, or of a run that has not ended, in a word."""
    return _ENDS.get(status, status)


def tell_digest(conn: Connection, digest: Mapping[str, Any], story: Story) -> None:
    """One message in place of others: its own delivery, and those that end as it does."""
    carried = first_of(conn, select(deliveries).where(deliveries.c.event == digest["id"]))
    mine = select(deliveries.c.status, func.count()).where(deliveries.c.digest == digest["id"])
    counted = conn.execute(mine.group_by(deliveries.c.status)).all()
    counts = joined(", ", [joined(" ", [str(number), status_word(status)]) for status, number in counted])
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
        tell_delivery(row, story)
        story.verdict = phrase(
            "the digest to {destination} is {status}", destination=row["destination"], status=status_word(row["status"])
        )


def first_of(conn: Connection, query: Any, story: Story | None = None) -> list[dict[str, Any]]:
    """The first of what is found; the story says where that is not all."""
    found = [dict(row) for row in conn.execute(query.limit(_MANY + 1)).mappings()]
    if len(found) > _MANY and story is not None:
        story.more = True
    return found[:_MANY]


def tell_tick(tick: Mapping[str, Any], story: Story) -> None:
    """What was sensed, and what was decided."""
    reason = recalled(tick["reason"] or "")
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


def tell_run(conn: Connection, run: Mapping[str, Any], story: Story) -> None:
    """The request, the events of the run, and how it is now."""
    requested = phrase(
        "run {run} of job {job} requested{because}", run=run["id"], job=run["job"], because=_because(run)
    )
    story.tell(run["requested_at"], requested, run=run["id"])
    for row in first_of(conn, select(events).where(events.c.run == run["id"]).order_by(events.c.seq)):
        tell_event(conn, row, story)
    if run["status"] not in TERMINAL:
        due = run["next_attempt_at"]
        status = phrase("it is {status}, attempt {attempt}", status=status_word(run["status"]), attempt=run["attempt"])
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


def tell_event(conn: Connection, row: Mapping[str, Any], story: Story) -> None:
    """What happened, and who was told, or why nobody was."""
    event = from_row(row)
    story.tell(row["time"], happened(event, *event.topics), event=event.id)
    found = first_of(conn, select(deliveries).where(deliveries.c.event == event.id).order_by(deliveries.c.id))
    for delivery in found:
        tell_delivery(delivery, story)
    if not found:
        waits = row["seq"] > routed_to(conn)
        if waits:
            why = phrase("not told yet: it waits for its turn")
        else:
            why = phrase("told nobody: {why}", why=_why_nobody(conn, event))
        story.tell(None, joined("  ", ["", why]), event=event.id)


def happened(event: Event, *topics: str) -> str:
    """What happened, in a line; in another language than English, as its message says it there."""
    said = headline(event)
    if len(topics) > 1:
        first, second = topics[:2]
        return phrase("{type} on {first} and {second}: {said}", type=event.type, first=first, second=second, said=said)
    return phrase("{type} on {topic}: {said}", type=event.type, topic=topics[0], said=said)


def tell_delivery(row: Mapping[str, Any], story: Story) -> None:
    """How the telling of one destination went."""
    tries = plural(" after {count} attempt", " after {count} attempts", row["attempts"]) if row["attempts"] else ""
    why = joined("", [": ", recalled(row["error"])]) if row["error"] else ""
    receipts = [one for one in orjson.loads(row["receipts"]) if one is not None]
    ids = [phrase("edit of {id}", id=one["id"]) if one.get("edited") else str(one["id"]) for one in receipts]
    receipt = phrase(" (receipt {ids})", ids=joined(", ", ids)) if receipts else ""
    digest = phrase(" in digest {digest}", digest=row["digest"]) if row["digest"] and not row["error"] else ""
    held = row["status"] == "held" and not row["digest"]
    due = phrase(", until {time}", time=rfc3339(from_us(row["next_attempt_at"]))) if held else ""
    text = joined("", [f"  {row['destination']} ", status_word(row["status"]), tries, why, due, digest, receipt])
    story.tell(row["ended_at"] or row["created_at"], text, behind=True, delivery=row["id"])


def routed_to(conn: Connection) -> int:
    """The event up to which all have their deliveries."""
    return conn.scalar(select(bus_cursors.c.seq).where(bus_cursors.c.name == CURSOR)) or 0


def _why_nobody(conn: Connection, event: Event) -> str:
    """No delivery at all: each subscription that holds, and why it does not take this event."""
    held = first_of(conn, select(subscriptions).where(subscriptions.c.ended_at.is_(None)))
    if not held:
        return phrase("there is no subscription")
    reasons: list[str] = []
    for row in held[:5]:
        where = compile_where(orjson.loads(row["where"]))
        one = Subscription(row["id"], row["topic"], row["destination"], where)
        reasons.append(joined(": ", [f"{row['topic']} → {row['destination']}", recalled(explain_routing(event, one))]))
    if len(held) > 5:  # noqa: PLR2004
        reasons.append(phrase("and {count} more", count=len(held) - 5))
    return joined("; ", reasons)
