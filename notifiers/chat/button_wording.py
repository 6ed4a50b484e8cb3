"""What stands on buttons, what is said at once to who presses one, and what the message says afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from notifiers.clock import from_us

LABELS: Final[Mapping[str, tuple[str, Literal["default", "primary", "danger"]]]] = {
    "details": ("Details", "default"),
    "log": ("Log", "default"),
    "rerun": ("Re-run", "primary"),
    "acknowledge": ("Acknowledge", "default"),
    "mute": ("Mute until fixed", "default"),
}
_DONE = {"rerun": "Re-run", "acknowledge": "Acknowledged", "mute": "Muted here until it succeeds"}
ACTS: Final[Mapping[str, str]] = {"rerun": "rerun", "acknowledge": "acknowledged", "mute": "muted"}
"""What the act is called in the audit, and the topic `chat.<act>` of its event."""

UNKNOWN = "This button means nothing here."
EXPIRED = "This button is too old. /runs shows the newest runs."
NO_ROLE = "You have no role here. An owner of sensord can give you one."
NOT_YOURS = "That is for operators of this job."
HIDDEN = "That is not yours to see."
FLOOD = "That is more than is answered at a time. Wait a minute."
SHOWN = "Here it comes."
TAKEN = "Taken."
ALREADY = "That was done already."
_TOAST = 190


def line(deed: str, name: str, at: int, outcome: str | None) -> str:
    """Who did what, as the message says it from then on."""
    what = f": run {outcome}" if outcome else ""
    return f"{_DONE[deed]} by {name}, {from_us(at):%H:%M} UTC{what}"


def done(deed: str) -> str:
    """What is said to whoever did it."""
    return f"{_DONE[deed]}."


def already(deed: str, name: str) -> str:
    """What is said to whoever comes second."""
    return toast(f"{_DONE[deed]} already, by {name}.")


def toast(text: str) -> str:
    """The first line of a text, short enough for what is shown over a chat."""
    first = text.strip().partition("\n")[0]
    return first if len(first) <= _TOAST else f"{first[: _TOAST - 1]}…"


def told(deed: str, name: str, person: str, job: str, run: str, outcome: str | None) -> str:
    """The event's words."""
    if deed == "rerun":
        return f"{name} ({person}) had run {run} of job {job} repeated as run {outcome}"
    if deed == "mute":
        return f"{name} ({person}) muted job {job} until it succeeds, because of run {run}"
    return f"{name} ({person}) acknowledged run {run} of job {job}"
