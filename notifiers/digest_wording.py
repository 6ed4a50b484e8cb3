"""A digest in words: how many messages it stands for, of what, and each of them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct

from notifiers.message import Attachment, Message, Pre, Text
from notifiers.noise import EVERYTHING
from notifiers.reading.templates import Voice
from notifiers.text import csv_file
from rules.event import Event, Severity, rfc3339
from rules.noise import Mute

FEW = 10
"""So many messages are told one by one in the text; of more, the text has the counts and a file has each."""
TOPICS = 12
_LINE = 160
WITH_FILES = ("telegram", "slack", "webhook", "inbox")
"""The channels that take a file along; the others are told everything in the text."""


class Ended(Struct, frozen=True):
    """A mute that is over, and how many messages it held back."""

    mute: Mute
    held: int
    by: str


def digest_title(count: int, causes: Sequence[str], ended: Sequence[Ended], voice: Voice) -> str:
    """What happened, in a sentence: `causes` are `burst`, `quiet`, `schedule` or `mute:…`, as deliveries have them."""
    if len(ended) == 1 and ended[0].held == count:
        return _over(ended[0], voice)
    if ended:
        said = "; ".join(_over(one, voice) for one in ended)
        return voice.say("digest.in all", said=said, count=count) if count else said
    kinds = {cause.partition(":")[0] for cause in causes}
    (kind,) = kinds if len(kinds) == 1 else ("held",)
    return voice.say(f"digest.{kind if kind in _KINDS else 'held'}", count=count)


_KINDS = ("burst", "quiet", "schedule")
_ENDS = ("it succeeded", "its time is over")


def _over(ended: Ended, voice: Voice) -> str:
    by = voice.say(f"mute.{ended.by}") if ended.by in _ENDS else ended.by
    about = _about(ended.mute, voice)
    if not ended.held:
        return voice.say("mute.ended empty", about=about, by=by)
    return voice.say("mute.ended", about=about, by=by, count=ended.held)


def _about(mute: Mute, voice: Voice) -> str:
    """What a mute silences."""
    if mute.job is not None:
        return voice.say("mute.job", job=mute.job)
    return voice.say("mute.everything") if mute.pattern == EVERYTHING else mute.pattern


def digest_message(title: str, events: Sequence[Event], voice: Voice, *, files: bool, base_url: str | None) -> Message:
    """The message that stands for all of these events, oldest first. Each of them is in it, or in its file."""
    severity = max((event.severity for event in events), default=Severity.info)
    if len(events) <= FEW:
        facts = [
            (voice.language.moment(event.time), f"{_severity(event, voice)} {event.topic}: {_line(event, voice)}")
            for event in events
        ]
        return Message(title=title, severity=severity, facts=facts)
    more, facts = _by_topic(events, voice)
    body: list[Text | Pre] = [Text(more)] if more else []
    if not files:
        lines = "\n".join(f"{rfc3339(one.time)} {one.severity.name} {one.topic}: {one.message}" for one in events)
        return Message(title=title, severity=severity, facts=facts, body=[*body, Pre(lines, voice.say("digest.each"))])
    file = Attachment("messages.csv", csv_file(*_table(events, base_url, voice)))
    return Message(title=title, severity=severity, facts=facts, body=body, attachments=[file])


def _by_topic(events: Sequence[Event], voice: Voice) -> tuple[str, list[tuple[str, str]]]:
    """A line for each of the topics that matter most, and a sentence about the others."""
    of: dict[str, list[Event]] = {}
    for event in events:
        of.setdefault(event.topic, []).append(event)
    groups = sorted(of.items(), key=lambda one: (-max(event.severity for event in one[1]), -len(one[1]), one[0]))
    facts = []
    for topic, group in groups[:TOPICS]:
        worst, last = max(group, key=lambda event: event.severity), group[-1]
        at, line = voice.language.moment(last.time), _line(last, voice)
        facts.append(
            (topic, voice.say("digest.line", count=len(group), severity=_severity(worst, voice), at=at, line=line))
        )
    rest = groups[TOPICS:]
    if not rest:
        return "", facts
    topics = voice.say("digest.other topics", count=len(rest))
    return voice.say("digest.more", count=sum(len(group) for _, group in rest), topics=topics), facts


def _severity(event: Event, voice: Voice) -> str:
    return voice.say(f"severity.{event.severity.name}")


def _line(event: Event, voice: Voice) -> str:
    """An event in a line. Its own words are English where the daemon made them, and then its title is said instead."""
    text = event.message
    if voice.language.lang != "en" and event.type.partition(".")[0] in ("run", "quality", "sensor"):
        about = event.data.get("error") or event.data.get("detail") or event.data.get("reason")
        title = voice.message(event).title
        text = f"{title}: {voice.language.show(about).strip()}" if about else title
    line = text.strip().partition("\n")[0]
    return line if len(line) <= _LINE else f"{line[: _LINE - 1]}…"


_COLUMNS = ("time", "severity", "topic", "message", "job", "run", "event", "link")


def _table(
    events: Sequence[Event], base_url: str | None, voice: Voice
) -> tuple[Sequence[str], Sequence[Sequence[str]]]:
    header = [voice.say(f"csv.{name}") for name in _COLUMNS]
    base = base_url.rstrip("/") if base_url else None
    rows = []
    for event in events:
        path = f"runs/{event.run}" if event.run else f"events/{event.id}"
        link = f"{base}/{path}" if base else ""
        about = (event.message, event.job or "", event.run or "", event.id, link)
        rows.append((rfc3339(event.time), _severity(event, voice), event.topic, *about))
    return header, rows


def reminder(mute: Mute, waiting: int, end: datetime, voice: Voice) -> Message:
    """That something is still muted."""
    facts = [(voice.say("mute.set by"), mute.who)]
    if mute.why:
        facts.append((voice.say("mute.why"), mute.why))
    facts.append((voice.say("mute.waiting"), voice.say("messages", count=waiting)))
    name = "mute.still job" if mute.job is not None else "mute.still"
    title = voice.say(name, about=_about(mute, voice), until=voice.language.moment(end))
    return Message(title=title, facts=facts, body=[Text(voice.say("mute.unmute"))])
