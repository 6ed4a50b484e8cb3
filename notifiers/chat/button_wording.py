"""What stands on buttons, what is said at once to who presses one, and what the message says afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from notifiers.chat.figures import clock_us
from rules.phrases import Phrase, phrase

LABELS: Final[Mapping[str, tuple[str, Literal["default", "primary", "danger"]]]] = {
    "details": (phrase("Details"), "default"),
    "log": (phrase("Log"), "default"),
    "rerun": (phrase("Re-run"), "primary"),
    "acknowledge": (phrase("Acknowledge"), "default"),
    "mute": (phrase("Mute until fixed"), "default"),
}
ACTS: Final[Mapping[str, str]] = {"rerun": "rerun", "acknowledge": "acknowledged", "mute": "muted"}
"""What the act is called in the audit, and the topic `chat.<act>` of its event."""

UNKNOWN = phrase("This button means nothing here.")
EXPIRED = phrase("This button is too old. /runs shows the newest runs.")
NO_ROLE = phrase("You have no role here. An owner of sensord can give you one.")
NOT_YOURS = phrase("That is for operators of this job.")
HIDDEN = phrase("That is not yours to see.")
FLOOD = phrase("That is more than is answered at a time. Wait a minute.")
SHOWN = phrase("Here it comes.")
TAKEN = phrase("Taken.")
ALREADY = phrase("That was done already.")
_TOAST = 190


def line(deed: str, name: str, at: int, outcome: str | None) -> Phrase:
    """Who did what, as the message says it from then on."""
    when = clock_us(at)
    match deed:
        case "rerun" if outcome:
            return phrase("Re-run by {name}, {at}: run {run}", name=name, at=when, run=outcome)
        case "rerun":
            return phrase("Re-run by {name}, {at}", name=name, at=when)
        case "acknowledge":
            return phrase("Acknowledged by {name}, {at}", name=name, at=when)
        case _:
            return phrase("Muted here until it succeeds by {name}, {at}", name=name, at=when)


_DONE: Final[Mapping[str, Phrase]] = {
    "rerun": phrase("Re-run."),
    "acknowledge": phrase("Acknowledged."),
    "mute": phrase("Muted here until it succeeds."),
}


def done(deed: str) -> Phrase:
    """What is said to whoever did it."""
    return _DONE[deed]


def already(deed: str, name: str) -> Phrase:
    """What is said to whoever comes second."""
    match deed:
        case "rerun":
            return phrase("Re-run already, by {name}.", name=name)
        case "acknowledge":
            return phrase("Acknowledged already, by {name}.", name=name)
        case _:
            return phrase("Muted here until it succeeds already, by {name}.", name=name)


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
