"""What `/run` asks and answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from notifiers.chat import Parameter
from notifiers.chat.dialogues import Choice
from notifiers.message import Button, Message, Text
from notifiers.wording import show
from rules.event import Severity
from rules.phrases import Phrase, joined, phrase

ANSWERED = phrase("That was answered already.")
OVER = phrase("These questions are over. /run begins again.")
NOT_YOURS = phrase("Somebody else is asked that.")
PRESS = phrase("Press Run, or Cancel.")
CANCELLED = phrase("Nothing is run.")
NOT_OPERATOR = phrase("To run this job is for its operators.")
NOBODY_ASKED = phrase("Nothing is being asked here. /run JOB begins.")
GONE = phrase("This job is no longer in the configuration. Nothing is run.")
NEEDED = phrase("This one is needed.")
NO_CHOICE = phrase("That is none of the choices.")
BARE = phrase("Without parameters.")
_LABEL = 40


def question(
    job: str, parameter: Parameter, number: int, of: int, choices: Sequence[Choice], *, group: bool
) -> Message:
    """One parameter is asked for."""
    facts: list[tuple[str, str]] = [(phrase("about"), parameter.description)] if parameter.description else []
    optional = phrase("{wanted}, or nothing", wanted=parameter.wanted)
    facts.append((phrase("wanted"), parameter.wanted if parameter.required else optional))
    how = _how(group=group, buttons=any(choice.what != "cancel" for choice in choices))
    title = phrase("{job}: {parameter}? ({number} of {of})", job=job, parameter=parameter.name, number=number, of=of)
    return Message(title=title, facts=facts, body=[Text(how)], buttons=_buttons(choices))


def _how(*, group: bool, buttons: bool) -> Phrase:
    if group and buttons:
        return phrase("Reply to this message with it, or press a button. /cancel ends this.")
    if group:
        return phrase("Reply to this message with it. /cancel ends this.")
    if buttons:
        return phrase("Write it, or press a button. /cancel ends this.")
    return phrase("Write it. /cancel ends this.")


def confirm(job: str, given: Mapping[str, Any], choices: Sequence[Choice]) -> Message:
    """Everything is known; the word to run is asked for."""
    facts = [(name, _shown(value)) for name, value in given.items()]
    body = [] if facts else [Text(BARE)]
    return Message(title=phrase("Run {job}?", job=job), facts=facts, body=body, buttons=_buttons(choices))


def wrong(parameter: str, why: str) -> Message:
    """An answer that cannot be taken."""
    title = joined(": ", [parameter, why])
    return Message(title=title, severity=Severity.warning, body=[Text(phrase("Try again, or /cancel."))])


def requested(job: str, run: str, who: str) -> Message:
    """The run was asked for."""
    facts = [(phrase("run"), run), (phrase("asked for by"), who)]
    return Message(title=phrase("{job} is queued", job=job), facts=facts)


def requested_told(job: str, run: str, name: str, person: str) -> str:
    """The event's words."""
    return f"{name} ({person}) had job {job} run as run {run}"


def jobs(names: Sequence[str], typed: str) -> Message:
    """Which jobs there are to run."""
    if not names:
        return Message(title=phrase("There is no job that you may run."))
    return Message(title=phrase("Which job?"), body=[Text("\n".join(sorted(names))), Text(typed)])


def _buttons(choices: Sequence[Choice]) -> list[Button]:
    return [Button(_label(choice), choice.nonce, _STYLES.get(choice.what, "default")) for choice in choices]


_LABELS: Mapping[str, Phrase] = {
    "skip": phrase("Leave out"),
    "run": phrase("Run"),
    "cancel": phrase("Cancel"),
}
_STYLES: Mapping[str, Any] = {"run": "primary", "cancel": "danger"}


def _label(choice: Choice) -> str:
    if choice.what in _LABELS:
        return _LABELS[choice.what]
    text = " ".join(_shown(choice.value).split())
    label = text if len(text) <= _LABEL else f"{text[: _LABEL - 1]}…"
    return phrase("Default: {value}", value=label) if choice.what == "default" else label or phrase("(empty)")


def _shown(value: Any) -> str:
    return "null" if value is None else show(value)
