"""A run as one message that changes: which state is shown at last, when an edit may go, which progress is news.

Pure. Times are whole microseconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from rules.event import Event, Severity

EDIT_GAP_US = 3_000_000
"""Between two edits of one message: a person reads no faster, and what comes meanwhile is shown by the next one."""

FAILURES = frozenset({"failed", "lost"})
_TERMINAL = FAILURES | {"succeeded", "cancelled", "recovered"}
_STATES = _TERMINAL | {"queued", "started", "progress", "retrying"}

STEP = 0.125
"""How much further a run must be before its progress is told again: at most eight times, however long it takes."""


def state_of(event: Event) -> str | None:
    """The state of a run that an event tells of, e.g. `started`; None for an event that tells of none."""
    return state_named(event.type) if event.run is not None else None


def state_named(type_: str) -> str | None:
    """The same by the type of the event, of which it is known that it has a run."""
    kind, _, what = type_.partition(".")
    return what if kind == "run" and what in _STATES else None


class Place(Struct, frozen=True, order=True):
    """Where a state stands in the life of its run: whatever ends the run comes last, and else what was later."""

    terminal: bool
    seq: int


def place_of(state: str, seq: int) -> Place:
    """The place of a state that the event of that number tells of."""
    return Place(state in _TERMINAL, seq)


def due(state: str, severity: int, edits: int, touched_at: int) -> int:
    """When a message that was sent or edited at `touched_at`, and edited so often, may be edited to show a state.

    What is bad waits for no more than the gap between edits; other news follow the first message after a gap, too,
    because a short run has come to its end by then. Progress comes ever more rarely, however it is reported, so that
    a run's message costs a dozen calls and not hundreds.
    """
    if severity >= Severity.error and not edits:
        return touched_at
    if state == "progress":
        return touched_at + (EDIT_GAP_US << min(max(0, edits - 2), 40))
    return touched_at + EDIT_GAP_US


class Progress(Struct, frozen=True, kw_only=True):
    """How far a job says it is. `share` is of the whole, in 0…1; `text` is its own words."""

    share: float | None = None
    text: str = ""

    def to_json(self) -> dict[str, Any]:
        """As it stands in an event's data."""
        return {"progress": self.share, "text": self.text}


def read_progress(line: Mapping[str, Any]) -> Progress:
    """The progress in a line of a report: `{"progress": 0.4, "text": "houses"}`; the text may be missing.

    `progress` may be `{"done": 3, "of": 8}` as well, or words alone. ValueError says what was expected.
    """
    value, text = line.get("progress"), line.get("text", "")
    if not isinstance(text, str):
        raise ValueError('"text" is no text')  # noqa: TRY004 - one kind of error, noted by the caller
    if isinstance(value, str) and value.strip():
        return Progress(text=_short(value))
    if isinstance(value, Mapping) and value.keys() == {"done", "of"}:
        done, whole = _number(value["done"]), _number(value["of"])
        if whole is not None and done is not None and 0 <= done <= whole and whole > 0:
            return Progress(share=done / whole, text=_short(text) or f"{value['done']} of {value['of']}")
    elif (share := _number(value)) is not None and 0 <= share <= 1:
        return Progress(share=share, text=_short(text))
    raise ValueError('"progress" is a number from 0 to 1, {"done": 3, "of": 8}, or words')


def _number(value: Any) -> float | None:
    try:
        return None if isinstance(value, bool) or not isinstance(value, int | float) else float(value)
    except OverflowError:
        return None


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 200 else f"{text[:199]}…"  # noqa: PLR2004 - a line for a person


class Told(Struct, frozen=True, kw_only=True):
    """What was told of a run's progress last, when, and how often before."""

    progress: Progress
    at: int
    times: int


def worth_telling(progress: Progress, told: Told | None, now: int) -> bool:
    """Whether progress is news: an eighth further; of words, and of what goes back, twice the time later than before.

    So fifty reports, or five thousand, are at most eight steps; or, in words, one for each doubling of the time.
    """
    if told is None:
        return True
    if progress == told.progress or now < told.at + EDIT_GAP_US:
        return False
    share, before = progress.share, told.progress.share
    if share is not None and before is not None and share >= before:
        return share >= before + STEP or share >= 1 > before
    return now >= told.at + (EDIT_GAP_US << min(told.times, 40))
