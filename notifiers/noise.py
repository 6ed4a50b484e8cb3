"""What is held back, as of one version of the subscriptions: why an event is not told to a destination now."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import orjson
from msgspec import Struct, field
from msgspec.structs import replace
from sqlalchemy import Connection, select

from notifiers.clock import from_us, to_us
from notifiers.noise_tables import mutes, quiet_hours
from notifiers.zones import zone_of
from rules.event import Event
from rules.noise import Mute, passes

if TYPE_CHECKING:
    from rules.quiet import Quiet
    from rules.schedules import Cron

DIGEST = "digest"
"""What stands in place of a subscription in the delivery of a digest."""

ASKED_FOR = ("chat", "chat.test")
"""The same of answers and tests: somebody is waiting for them, so nothing holds them back."""

EVERYTHING = ">"

BURST, SCHEDULE = "burst", "schedule"
"""What holds a message of many that came at once, and one that waits for its subscription's digest."""


class Held(Struct, frozen=True):
    """Not before `until` (microseconds): `by` is what holds it (see `DeliveryRow`), `why` says it to a person."""

    until: int
    by: str
    why: str


class Options(Struct, frozen=True, kw_only=True):
    """How a subscription is told: not in its `quiet` hours, only in a `digest`, `after` so many failures in a row."""

    quiet: Quiet | None = None
    digest: Cron | None = None
    digest_text: str = ""
    after: int = 1

    @classmethod
    def parse(cls, text: str | None) -> Options:
        """Read a row's JSON; ValueError says what is wrong in it."""
        if text is None:
            return NO_OPTIONS
        read: Mapping[str, Any] = orjson.loads(text)
        quiet, digest = read.get("quiet"), read.get("digest")
        cron = None
        if digest is not None:
            from rules.noise import parse_digest

            cron = parse_digest(digest, zone_of)
        return cls(
            quiet=None if quiet is None else hours(quiet),
            digest=cron,
            digest_text=digest or "",
            after=int(read.get("after", 1)),
        )


NO_OPTIONS = Options()


def hours(text: str) -> Quiet:
    """Quiet hours as they are written. ValueError says what to write."""
    from rules.quiet import parse_quiet  # Few have any, and zones take a while to load.

    return parse_quiet(text, zone_of)


class Noise(Struct, frozen=True, kw_only=True):
    """Mutes and quiet hours by destination, options by subscription."""

    mutes: Mapping[str, Sequence[Mute]] = field(default_factory=dict)
    quiet: Mapping[str, Quiet] = field(default_factory=dict)
    options: Mapping[str, Options] = field(default_factory=dict)

    @property
    def any(self) -> bool:
        """Whether anything may be held back at all."""
        return bool(self.mutes or self.quiet or self.options)

    @property
    def awaits_success(self) -> bool:
        """Whether a mute ends with a job's success."""
        return any(mute.job is not None for some in self.mutes.values() for mute in some)

    def concerns(self, destination: str, subscription: str) -> bool:
        """Whether something of it is about them."""
        return destination in self.mutes or destination in self.quiet or subscription in self.options

    def why(
        self, event: Event, subscription: str, destination: str, now: datetime, *, scheduled: bool = True
    ) -> Held | None:
        """Why an event is not told now; None: it is. What holds it longest counts.

        `scheduled` False: it has waited for its subscription's digest already.
        """
        if subscription in ASKED_FOR or passes(event.severity) or not self.concerns(destination, subscription):
            return None
        options = self.options.get(subscription, NO_OPTIONS)
        now_us = to_us(now)
        found = [
            Held(mute.until, f"mute:{mute.id}", _muted(mute))
            for mute in self.mutes.get(destination, ())
            if mute.until > now_us and mute.takes(event)
        ]
        found += [held for quiet in (self.quiet.get(destination), options.quiet) if (held := _quiet(quiet, now))]
        if scheduled and options.digest is not None and (due := options.digest.next(now)) is not None:
            found.append(Held(to_us(due), SCHEDULE, f"waits for the digest: {options.digest_text}"))
        return max(found, key=lambda held: held.until, default=None)

    def wholly(self, destination: str, now: datetime) -> Held | None:
        """Why nothing but what is critical is told there now."""
        now_us = to_us(now)
        found = [
            Held(mute.until, f"mute:{mute.id}", _muted(mute))
            for mute in self.mutes.get(destination, ())
            if mute.until > now_us and mute.job is None and mute.pattern == EVERYTHING
        ]
        if (held := _quiet(self.quiet.get(destination), now)) is not None:
            found.append(held)
        return max(found, key=lambda held: held.until, default=None)

    def without(self, ended: Collection[str]) -> Noise:
        """The same without the mutes of these ids."""
        if not ended:
            return self
        left = {to: [mute for mute in some if mute.id not in ended] for to, some in self.mutes.items()}
        return replace(self, mutes=left)


def _muted(mute: Mute) -> str:
    until = "it succeeds" if mute.job is not None else f"{from_us(mute.until):%Y-%m-%d %H:%M} UTC"
    why = f": {mute.why}" if mute.why else ""
    return f"{mute.about} is muted until {until} by {mute.who}{why}"


def _quiet(quiet: Quiet | None, now: datetime) -> Held | None:
    until = None if quiet is None else quiet.until(now)
    return None if quiet is None or until is None else Held(to_us(until), "quiet", f"quiet hours: {quiet.text}")


def load_noise(
    conn: Connection, subscriptions: Sequence[Mapping[str, Any]], resolve: Callable[[str], str]
) -> tuple[Noise, list[str]]:
    """What is held back now, by where messages really go; and what of it cannot be read, in words."""
    muted: dict[str, list[Mute]] = {}
    quiet: dict[str, Quiet] = {}
    options: dict[str, Options] = {}
    wrong: list[str] = []
    for row in conn.execute(select(mutes).where(mutes.c.ended_at.is_(None))).mappings():
        muted.setdefault(resolve(row["destination"]), []).append(to_mute(row))
    for window in conn.execute(select(quiet_hours)).mappings():
        try:
            quiet[resolve(window["destination"])] = hours(window["hours"])
        except ValueError as error:
            wrong.append(f"quiet hours of {window['destination']}: {error}")
    for held in subscriptions:
        if held["options"] is None:
            continue
        try:
            if (found := Options.parse(held["options"])) != NO_OPTIONS:  # Some say only how they read.
                options[held["id"]] = found
        except ValueError as error:
            wrong.append(f"options of subscription {held['id']}: {error}")
    return Noise(mutes=muted, quiet=quiet, options=options), wrong


def to_mute(row: Mapping[Any, Any]) -> Mute:
    """A row of the table as the rules know it."""
    return Mute(
        id=row["id"], pattern=row["pattern"], until=row["until"], job=row["job"], who=row["name"], why=row["why"]
    )
