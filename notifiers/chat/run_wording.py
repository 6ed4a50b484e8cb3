"""What `/run` asks and answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from notifiers.chat import Parameter
from notifiers.chat.dialogues import Choice
from notifiers.message import Button, Message, Text
from notifiers.wording import show
from rules.event import Severity

ANSWERED = "That was answered already."
OVER = "These questions are over. /run begins again."
NOT_YOURS = "Somebody else is asked that."
PRESS = "Press Run, or Cancel."
CANCELLED = "Nothing is run."
NOT_OPERATOR = "To run this job is for its operators."
NOBODY_ASKED = "Nothing is being asked here. /run JOB begins."
GONE = "This job is no longer in the configuration. Nothing is run."
_LABEL = 40


def question(
    job: str, parameter: Parameter, number: int, of: int, choices: Sequence[Choice], *, group: bool
) -> Message:
    """One parameter is asked for."""
    facts = [("about", parameter.description)] if parameter.description else []
    facts.append(("wanted", parameter.wanted + ("" if parameter.required else ", or nothing")))
    how = "Reply to this message with it" if group else "Write it"
    press = ", or press a button" if any(choice.what != "cancel" for choice in choices) else ""
    body = [Text(f"{how}{press}. /cancel ends this.")]
    return Message(
        title=f"{job}: {parameter.name}? ({number} of {of})", facts=facts, body=body, buttons=_buttons(choices)
    )


def confirm(job: str, given: Mapping[str, Any], choices: Sequence[Choice]) -> Message:
    """Everything is known; the word to run is asked for."""
    facts = [(name, _shown(value)) for name, value in given.items()]
    body = [] if facts else [Text("Without parameters.")]
    return Message(title=f"Run {job}?", facts=facts, body=body, buttons=_buttons(choices))


def wrong(parameter: str, why: str) -> Message:
    """An answer that cannot be taken."""
    return Message(title=f"{parameter}: {why}", severity=Severity.warning, body=[Text("Try again, or /cancel.")])


def requested(job: str, run: str, who: str) -> Message:
    """The run was asked for."""
    return Message(title=f"{job} is queued", facts=[("run", run), ("asked for by", who)])


def requested_told(job: str, run: str, name: str, person: str) -> str:
    """The event's words."""
    return f"{name} ({person}) had job {job} run as run {run}"


def jobs(names: Sequence[str], typed: str) -> Message:
    """Which jobs there are to run."""
    if not names:
        return Message(title="There is no job that you may run.")
    return Message(title="Which job?", body=[Text("\n".join(sorted(names))), Text(typed)])


def _buttons(choices: Sequence[Choice]) -> list[Button]:
    return [Button(_label(choice), choice.nonce, _STYLES.get(choice.what, "default")) for choice in choices]


_LABELS = {"skip": "Leave out", "run": "Run", "cancel": "Cancel"}
_STYLES: Mapping[str, Any] = {"run": "primary", "cancel": "danger"}


def _label(choice: Choice) -> str:
    if choice.what in _LABELS:
        return _LABELS[choice.what]
    text = " ".join(_shown(choice.value).split())
    label = text if len(text) <= _LABEL else f"{text[: _LABEL - 1]}…"
    return f"Default: {label}" if choice.what == "default" else label or "(empty)"


def _shown(value: Any) -> str:
    return "null" if value is None else show(value)
