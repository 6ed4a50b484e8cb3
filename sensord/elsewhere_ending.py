"""How an attempt elsewhere is brought to its end: its pauses, its ending by us, and the outcome."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from notifiers.clock import from_us
from sensord.elsewhere_notes import Note
from sensord.elsewhere_side import Look
from sensord.launchers import Ending as Status
from sensord.launchers import Outcome

FIRST_PAUSE = 0.2
GRACE = 30.0
CANCELLED = "cancelled"
ENDINGS: tuple[Status, ...] = ("succeeded", "failed", "cancelled", "lost")


class Pauses:
    """Ever longer, up to `most`, each a little different."""

    def __init__(self, most: float, jitter: Callable[[], float]) -> None:
        self._next, self._most, self._jitter = min(FIRST_PAUSE, most), most, jitter

    def next(self) -> float:
        """Seconds."""
        pause, self._next = self._next, min(self._next * 2, self._most)
        return pause * (1 - 0.1 * self._jitter())


class Ending:
    """Why an attempt is being ended by us, and how far that is."""

    def __init__(self) -> None:
        self.why = ""
        self.asked: bool | None = False  # None: there is no way to ask.
        self._since = 0.0

    def begin(self, why: str, now: float) -> None:
        """From now on."""
        self.why, self._since = why, now

    def over(self, now: float, *, looks: bool) -> bool:
        """Whether nothing more is to be waited for."""
        if self.why not in ("", CANCELLED) and now >= self._since + GRACE:
            return True  # Whether or not it could be asked to end: its time is over.
        return bool(self.why) and self.asked is not False and (self.asked is None or not looks)

    def outcome(self, now: datetime, note: Note, name: str) -> Outcome:
        """What it comes to where the other side does not say."""
        open_ = "" if self.asked else f"; it may go on at {name}, which was not told to end it"
        metadata = {"link": note.link} if note.link else {}
        started = None if note.started_at is None else from_us(note.started_at)
        status: Status = "cancelled" if self.why == CANCELLED else "failed"
        return Outcome(status=status, ended_at=now, started_at=started, error=self.why + open_, metadata=metadata)


def outcome_of(look: Look, note: Note, ending: Ending, now: datetime) -> Outcome:
    """The outcome of what has ended there. What we ended is so called, unless it was quicker."""
    status = next(one for one in ENDINGS if one == look.status)
    error = look.error
    if ending.why and status != "succeeded":
        status = "cancelled" if ending.why == CANCELLED else "failed"
        error = ending.why
    elif not error and status in ("failed", "cancelled"):
        error = "cancelled there" if status == "cancelled" else "it failed there"
    began = look.started_at or (None if note.started_at is None else from_us(note.started_at))
    ended_at = look.ended_at or now
    links = {"link": note.link} if note.link else {}
    return Outcome(
        status=status,
        ended_at=max(ended_at, began) if began is not None else ended_at,
        started_at=began,
        error="" if status == "succeeded" else error,
        metadata={**links, **look.metadata},
    )
