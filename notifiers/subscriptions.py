"""Who wants what: subscriptions as they come, hold and end. Every change makes a new version of the whole."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson
from msgspec import Struct, field
from msgspec.structs import replace
from sqlalchemy import Connection, case, func, select, update

from notifiers.noise import Noise, load_noise
from notifiers.reading import Readers, Reading, reading_of
from notifiers.since import Since, begin_of
from notifiers.tables import backlogs, bus_cursors, deliveries, destinations, events, subscriptions

log = logging.getLogger(__name__)

NO_NOISE = Noise()

VERSION = "subscriptions"
"""The name under which `bus_cursors` counts the changes of subscriptions and destinations."""


class Wanted(Struct, frozen=True, kw_only=True):
    """A subscription somebody wants. `id` is fresh and used if there is none like it. Time in microseconds.

    With `since` it is told of the past as well, when it is made. `options` is how it is told, see
    `notifiers.noise.Options`; one like it that holds is told in that way from now on.
    """

    id: str
    topic: str
    destination: str
    at: int
    where: Mapping[str, Any]
    since: Since | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def identity(self) -> tuple[str, str, str]:
        """What makes two subscriptions one: topic, destination and filter."""
        return self.topic, self.destination, canonical(self.where)


class Configured(Struct, frozen=True, kw_only=True):
    """All the subscriptions of the configuration, at the daemon's start."""

    wanted: tuple[Wanted, ...]
    at: int


class Ended(Struct, frozen=True, kw_only=True):
    """Somebody no longer wants this subscription."""

    id: str
    at: int


class Directory(Struct, frozen=True):
    """Every subscription that holds, who moved where and who is paused, as of one version."""

    version: int
    subscriptions: Sequence[Mapping[str, Any]]
    moved: Mapping[str, str]
    paused: frozenset[str]
    noise: Noise = NO_NOISE
    readers: Readers = field(default_factory=Readers)

    def resolve(self, destination: str) -> str:
        """Where a destination's messages go now."""
        seen = {destination}
        while (target := self.moved.get(destination)) is not None and target not in seen:
            seen.add(target)
            destination = target
        return destination


def canonical(where: Mapping[str, Any]) -> str:
    """A filter as JSON text that is equal for equal filters."""
    return orjson.dumps(dict(where), option=orjson.OPT_SORT_KEYS).decode()


def sync_configured(conn: Connection, batch: Sequence[Configured]) -> list[int]:
    """Make the subscriptions of origin `config` those of the configuration; the number of changes, for each item.

    One that is there already keeps its id and its place, so it misses nothing that was published while the
    daemon was down. A new one holds from now on, or `since` then if there never was one like it. One that vanished
    ends. One like a user's becomes `config`.
    """
    return [_sync(conn, configured) for configured in batch]


def _sync(conn: Connection, configured: Configured) -> int:
    held = _by_identity(conn)
    wanted = {one.identity: one for one in configured.wanted}
    fresh = [one for identity, one in wanted.items() if identity not in held]
    if any(one.since is not None for one in fresh):
        past = _ended(conn)
        fresh = [replace(one, since=None) if one.identity in past else one for one in fresh]
    changes = _insert(conn, fresh, "config")
    for identity, row in held.items():
        if identity not in wanted and row["origin"] == "config":
            changes += sum(end_subscriptions(conn, [Ended(id=row["id"], at=configured.at)]))
        elif identity in wanted and row["origin"] != "config":
            conn.execute(update(subscriptions).where(subscriptions.c.id == row["id"]).values(origin="config"))
        if identity in wanted and row["options"] != (options := _options(wanted[identity])):
            conn.execute(update(subscriptions).where(subscriptions.c.id == row["id"]).values(options=options))
            bump(conn)
            changes += 1
    return changes


def add_subscriptions(conn: Connection, batch: Sequence[Wanted]) -> list[tuple[str, bool]]:
    """A user's subscriptions: the id of each, and whether it is new; one like it that holds is the same one.

    The same one is told in the language, and by the clock, that are wanted now.

    ValueError: one is to begin after an event that is not there.
    """
    held = {identity: row["id"] for identity, row in _by_identity(conn).items()}
    results: list[tuple[str, bool]] = []
    fresh: list[Wanted] = []
    for wanted in batch:
        found = held.setdefault(wanted.identity, wanted.id)
        results.append((found, found == wanted.id))
        if found == wanted.id:
            fresh.append(wanted)
        else:
            set_reading(conn, [found], *reading_of(wanted.options))
    _insert(conn, fresh, "user")
    return results


def set_reading(conn: Connection, ids: Sequence[str], lang: str | None, zone: str | None) -> bool:
    """Let subscriptions be told in that language, by that clock, where they are given. False: they were already."""
    given = {name: value for name, value in (("lang", lang), ("zone", zone)) if value is not None}
    here = subscriptions.c.id.in_(ids) & subscriptions.c.ended_at.is_(None)
    changed = False
    for id_, text in conn.execute(select(subscriptions.c.id, subscriptions.c.options).where(here)).all():
        before = orjson.loads(text) if text else {}
        after = {**before, **given}
        if after != before:
            changed = True
            conn.execute(update(subscriptions).where(subscriptions.c.id == id_).values(options=canonical(after)))
    if changed:
        bump(conn)
    return changed


def end_subscriptions(conn: Connection, batch: Sequence[Ended]) -> list[bool]:
    """End subscriptions: nothing of theirs that is not on its way goes out any more. False: none such held.

    One that the configuration still names comes back, as a new one, at the next start.
    """
    results: list[bool] = []
    for ended in batch:
        holds = (subscriptions.c.id == ended.id) & subscriptions.c.ended_at.is_(None)
        found = conn.execute(update(subscriptions).where(holds).values(ended_at=ended.at)).rowcount == 1
        if found:
            held = (deliveries.c.status == "held") & deliveries.c.digest.is_(None)
            waiting = (deliveries.c.subscription == ended.id) & ((deliveries.c.status == "pending") | held)
            conn.execute(
                update(deliveries)
                .where(waiting)
                .values(
                    # Where an answer was lost, somebody may have read it.
                    status=case((deliveries.c.doubtful > 0, "uncertain"), else_="suppressed"),
                    error="unsubscribed",
                    ended_at=ended.at,
                    next_attempt_at=None,
                )
            )
        results.append(found)
    if any(results):
        bump(conn)
    return results


def load_directory(conn: Connection) -> Directory:
    """Everything that routing needs to know, of that version or, in part, of a later one.

    The version is read first: on PostgreSQL each statement sees what was committed before it, and a subscription that
    was made between the two would be missing under the version that has it, and so be told nothing until the next.
    """
    known_as = version(conn)
    holding = select(subscriptions).where(subscriptions.c.ended_at.is_(None)).order_by(subscriptions.c.id)
    rows = [{**row, "where": orjson.loads(row["where"])} for row in conn.execute(holding).mappings()]
    known = conn.execute(select(destinations)).mappings().all()
    directory = Directory(
        version=known_as,
        subscriptions=rows,
        moved={row["destination"]: row["moved_to"] for row in known if row["moved_to"] is not None},
        paused=frozenset(row["destination"] for row in known if row["state"] == "paused"),
    )
    noise, wrong = load_noise(conn, rows, directory.resolve)
    for one in wrong:
        # What lets them in checks them, so this was written by another version, or a time zone was renamed.
        log.error("noise.unusable", extra={"reason": one})
    return replace(directory, noise=noise, readers=_readers(rows, directory.resolve))


def _readers(rows: Sequence[Mapping[str, Any]], resolve: Callable[[str], str]) -> Readers:
    """Who reads, by subscription, and by where messages really go: there the oldest that says so speaks for others."""
    own: dict[str, Reading] = {}
    there: dict[str, Reading] = {}
    for row in rows:
        reading = reading_of(orjson.loads(row["options"])) if row["options"] else (None, None)
        if any(reading):
            own[row["id"]] = reading
            there.setdefault(resolve(row["destination"]), reading)
    return Readers(own, there)


def version(conn: Connection) -> int:
    """How many changes there were."""
    return conn.scalar(select(bus_cursors.c.seq).where(bus_cursors.c.name == VERSION)) or 0


def bump(conn: Connection) -> None:
    """Note a change, so that no routing goes by what was before."""
    changed = conn.execute(
        update(bus_cursors).where(bus_cursors.c.name == VERSION).values(seq=bus_cursors.c.seq + 1)
    ).rowcount
    if not changed:
        conn.execute(bus_cursors.insert().values(name=VERSION, seq=1))


def _options(wanted: Wanted) -> str | None:
    return canonical(wanted.options) if wanted.options else None


def _by_identity(conn: Connection) -> dict[tuple[str, str, str], Mapping[str, Any]]:
    holding = select(subscriptions).where(subscriptions.c.ended_at.is_(None)).order_by(subscriptions.c.id.desc())
    rows = [dict(row) for row in conn.execute(holding).mappings()]
    return {(row["topic"], row["destination"], row["where"]): row for row in rows}


def _ended(conn: Connection) -> set[tuple[str, str, str]]:
    """What the configuration named before."""
    once = (subscriptions.c.origin == "config") & subscriptions.c.ended_at.is_not(None)
    columns = (subscriptions.c.topic, subscriptions.c.destination, subscriptions.c.where)
    return {(row[0], row[1], row[2]) for row in conn.execute(select(*columns).where(once))}


def _insert(conn: Connection, fresh: Sequence[Wanted], origin: str) -> int:
    if not fresh:
        return 0
    newest = conn.scalar(select(func.max(events.c.seq))) or 0
    conn.execute(
        subscriptions.insert(),
        [
            {
                "id": wanted.id,
                "topic": wanted.topic,
                "destination": wanted.destination,
                "where": canonical(wanted.where),
                "origin": origin,
                "created_at": wanted.at,
                "since_seq": newest,
                "ended_at": None,
                "options": _options(wanted),
            }
            for wanted in fresh
        ],
    )
    for wanted in fresh:
        if wanted.since is not None:
            begin = begin_of(conn, wanted.since)
            row = {"subscription": wanted.id, "place": begin.after, "upto": newest, "at": begin.at}
            conn.execute(backlogs.insert().values(**row, made=0, ended_at=None))
    bump(conn)
    return len(fresh)
