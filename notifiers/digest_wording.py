"""A digest in words: how many messages it stands for, of what, and each of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from notifiers.message import Attachment, Message, Pre, Text
from notifiers.text import csv_file
from rules.event import Event, Severity, rfc3339
from rules.noise import Mute

FEW = 10
"""So many messages are told one by one in the text; of more, the text has the counts and a file has each."""
TOPICS = 12
_LINE = 160
WITH_FILES = ("telegram", "slack", "webhook", "inbox")
"""The channels that take a file along; the others are told everything in the text."""


@dataclass(frozen=True, slots=True)
class Ended:
    """A mute that is over, and how many messages it held back."""

    mute: Mute
    held: int
    by: str


def digest_title(count: int, causes: Sequence[str], ended: Sequence[Ended]) -> str:
    """What happened, in a sentence: `causes` are `burst`, `quiet`, `schedule` or `mute:…`, as deliveries have them."""
    messages = _messages(count)
    if len(ended) == 1 and ended[0].held == count:
        return _over(ended[0])
    if ended:
        return f"{'; '.join(_over(one) for one in ended)}; {messages} in all" if count else _several(ended)
    kinds = {cause.partition(":")[0] for cause in causes}
    if kinds == {"burst"}:
        return f"{messages} came close together"
    if kinds == {"quiet"}:
        return f"{messages} came in the quiet hours"
    if kinds == {"schedule"}:
        return f"{messages} since the last digest"
    return f"{messages} were held back"


def _several(ended: Sequence[Ended]) -> str:
    return "; ".join(_over(one) for one in ended)


def _over(ended: Ended) -> str:
    came = _messages(ended.held) + " came meanwhile" if ended.held else "nothing came meanwhile"
    return f"The mute of {ended.mute.about} ended ({ended.by}): {came}"


def digest_message(title: str, events: Sequence[Event], *, files: bool, base_url: str | None) -> Message:
    """The message that stands for all of these events, oldest first. Each of them is in it, or in its file."""
    severity = max((event.severity for event in events), default=Severity.info)
    if len(events) <= FEW:
        facts = [(_at(event.time), f"{event.severity.name} {event.topic}: {_line(event.message)}") for event in events]
        return Message(title=title, severity=severity, facts=facts)
    more, facts = _by_topic(events)
    body: list[Text | Pre] = [Text(more)] if more else []
    if not files:
        lines = "\n".join(f"{rfc3339(one.time)} {one.severity.name} {one.topic}: {one.message}" for one in events)
        return Message(title=title, severity=severity, facts=facts, body=[*body, Pre(lines, "each of them")])
    file = Attachment("messages.csv", csv_file(*_table(events, base_url)))
    return Message(title=title, severity=severity, facts=facts, body=body, attachments=[file])


def _by_topic(events: Sequence[Event]) -> tuple[str, list[tuple[str, str]]]:
    """A line for each of the topics that matter most, and a sentence about the others."""
    of: dict[str, list[Event]] = {}
    for event in events:
        of.setdefault(event.topic, []).append(event)
    groups = sorted(of.items(), key=lambda one: (-max(event.severity for event in one[1]), -len(one[1]), one[0]))
    facts = []
    for topic, group in groups[:TOPICS]:
        worst = max(event.severity for event in group)
        facts.append((topic, f"{len(group):,} × {worst.name}, last {_at(group[-1].time)}: {_line(group[-1].message)}"))  # noqa: RUF001
    rest = groups[TOPICS:]
    more = f"{sum(len(group) for _, group in rest):,} more on {len(rest):,} other topics" if rest else ""
    return more, facts


def _table(events: Sequence[Event], base_url: str | None) -> tuple[Sequence[str], Sequence[Sequence[str]]]:
    header = ("time", "severity", "topic", "message", "job", "run", "event", "link")
    base = base_url.rstrip("/") if base_url else None
    rows = []
    for event in events:
        path = f"runs/{event.run}" if event.run else f"events/{event.id}"
        link = f"{base}/{path}" if base else ""
        about = (event.message, event.job or "", event.run or "", event.id, link)
        rows.append((rfc3339(event.time), event.severity.name, event.topic, *about))
    return header, rows


def reminder(mute: Mute, waiting: int, end: datetime) -> Message:
    """That something is still muted."""
    until = "until it succeeds, at the latest" if mute.job is not None else "until"
    facts = [("set by", mute.who)]
    if mute.why:
        facts.append(("why", mute.why))
    facts.append(("waiting", _messages(waiting)))
    title = f"Still muted: {mute.about}, {until} {_at(end)}"
    return Message(title=title, facts=facts, body=[Text("/unmute ends it, and tells what waits.")])


def _messages(count: int) -> str:
    return "1 message" if count == 1 else f"{count:,} messages"


def _at(moment: datetime) -> str:
    return f"{moment:%d %b %H:%M} UTC"


def _line(text: str) -> str:
    line = text.strip().partition("\n")[0]
    return line if len(line) <= _LINE else f"{line[: _LINE - 1]}…"
