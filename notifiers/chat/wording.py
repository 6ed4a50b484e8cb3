"""Answers in words: what chats are told when they ask. Plain text in messages; each channel gives it its form."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from msgspec.structs import replace

from notifiers.chat import JSON
from notifiers.chat.figures import SEVERITIES, ago, status
from notifiers.chat.looking import Held
from notifiers.message import Message, Pre, Text
from notifiers.wording import headline
from rules.commands import COMMANDS, Usage
from rules.event import Event, Severity
from rules.phrases import Phrase, changed, joined, lines, phrase, plural

NOT_HERE = phrase(
    "I cannot answer in this conversation. Type it in a channel that I was invited to (/invite with my name), or in a "
    "direct message to me."
)
BROKE = phrase("This failed in sensord; its log says why.")
LINE = 160
_STORY = 3000
_OURS = frozenset({"runs", "quality", "sensors", "chat", "deliveries"})
_COMMAND = re.compile(rf"(?<!\S)/(?=(?:{'|'.join(COMMANDS)})(?![\w/-])(?!\.\w))")
_BAD = {"failed": Severity.error, "lost": Severity.critical}


def one_line(text: str, most: int = LINE) -> str:
    """The first line of a text, clipped."""
    line = text.strip().partition("\n")[0]
    return line if len(line) <= most else f"{line[: most - 1]}…"


def said(*texts: str, severity: Severity = Severity.info, title: str | None = None) -> Message:
    """A sentence or a few, each on a line; without a title the first is the title."""
    if title is not None:
        return Message(title=title, severity=severity, body=[Text(lines(*texts))])
    return Message(title=lines(*texts), severity=severity)


def as_typed(message: Message, typed: str) -> Message:
    """The message with `typed` in place of the slash before each command that its sentences name."""

    def spelt(text: str) -> str:
        return _COMMAND.sub(lambda _: typed, text)

    body = [Text(spelt(block.text)) if isinstance(block, Text) else block for block in message.body]
    return replace(message, title=spelt(message.title), body=body)


ASKED = phrase("What can be asked here")


def help_text(intro: str = ASKED) -> Message:
    """Every command, how it is typed and what it does."""
    each = lines(*(_help(name, usage) for name, usage in COMMANDS.items()))
    patterns = phrase(
        "In a PATTERN, * stands for one word between dots and > for all the rest: bp.houses.> or runs.*.failed"
    )
    return Message(title=intro, body=[Text(each), Text(patterns)])


def _help(name: str, usage: Usage) -> Phrase:
    typed = joined(" ", [f"/{name}", usage.arguments]) if usage.arguments else f"/{name}"
    return joined(": ", [typed, usage.summary])


def conditions(where: Mapping[str, Any]) -> str:
    """A subscription's filter as it is typed."""
    parts = []
    for key, value in where.items():
        text = str(value)
        parts.append(f"{key}{text}" if text.startswith((">", "<", "!")) else f"{key}={text}")
    return " ".join(parts)


def subscription_line(held: Held) -> str:
    """A subscription as it is typed."""
    return f"{held.topic} {conditions(held.where)}".strip()


def subscription_list(held: Sequence[Held]) -> Message:
    """What a place is told of."""
    if not held:
        return said(
            phrase("This chat is told of nothing yet."),
            phrase("/topics shows what there is, /subscribe PATTERN begins."),
        )
    title = plural("This chat is told of {count} subscription", "This chat is told of {count} subscriptions", len(held))
    return Message(title=title, body=[Text(lines(*map(_held_line, held)))])


def _held_line(held: Held) -> str:
    line = subscription_line(held)
    return phrase("{subscription} (from sensord.yaml)", subscription=line) if held.origin == "config" else line


def topic_list(newest: Mapping[str, Event | None], pattern: str | None, now: datetime, most: int) -> Message:
    """Topics, a team's own before the program's, the one that spoke last first; behind them those that were silent."""
    if not newest:
        none = (
            phrase("There is no topic that {pattern} takes.", pattern=one_line(pattern))
            if pattern
            else phrase("There is no topic that you may see.")
        )
        return said(none, phrase("/topics without a pattern shows all that you may see."))
    spoken = [(not _is_ours(topic), event.time, topic, event) for topic, event in newest.items() if event is not None]
    spoken.sort(key=lambda one: one[:3], reverse=True)
    facts: list[tuple[str, str]] = [(topic, _last(now, time, event)) for _, time, topic, event in spoken]
    silent = [topic for topic, event in newest.items() if event is None]
    facts += [(topic, phrase("nothing yet")) for topic in sorted(silent, key=lambda topic: (_is_ours(topic), topic))]
    more = len(facts) - most
    example = f"{facts[0][0].partition('.')[0]}.>"
    hint = phrase("{more} more: /topics PATTERN shows fewer, e.g. /topics {example}", more=more, example=example)
    body = [Text(hint)] if more > 0 else []
    return Message(title=plural("{count} topic", "{count} topics", len(facts)), facts=facts[:most], body=body)


def _last(now: datetime, time: datetime, event: Event) -> Phrase:
    severity, message = SEVERITIES[event.severity], changed(headline(event), one_line)
    return joined(": ", [joined(", ", [ago(now, time), severity]), message])


def _is_ours(topic: str) -> bool:
    """Whether the program publishes on it by itself."""
    return topic.partition(".")[0] in _OURS


def run_list(runs: Sequence[JSON], job: str | None, now: datetime) -> Message:
    """Runs, newest first."""
    if not runs:
        of_it = phrase("There is no run of {job}.", job=one_line(job)) if job else None
        return said(of_it or phrase("There is no run that you may see."))
    facts = [(joined(" ", [run["job"], status(run["status"])]), _run_line(run, now)) for run in runs]
    title = plural("{count} newest run", "{count} newest runs", len(runs))
    return Message(title=title, facts=facts, body=[Text(phrase("/why RUN and /log RUN tell more."))])


def state(sentence: str, problems: Sequence[str], runs: Sequence[JSON], now: datetime) -> Message:
    """Whether all is well, and the newest run of each job."""
    severity = max((_BAD.get(run["status"], Severity.info) for run in runs), default=Severity.info)
    facts = [(run["job"], joined(" ", [status(run["status"]), ago(now, _when(run))])) for run in runs]
    body = [Text(lines(*problems))] if len(problems) > 1 else []
    return Message(title=sentence, severity=Severity.warning if problems else severity, facts=facts, body=body)


def story(told: Sequence[str], verdict: str) -> Message:
    """The story of a run or an event: its newest lines, as many as one message holds."""
    kept: list[str] = []
    room = _STORY
    for line in reversed(told):
        room -= len(line) + 1
        if room < 0:
            kept.append("…")
            break
        kept.append(line)
    title = changed(verdict, one_line) if isinstance(verdict, Phrase) else one_line(verdict, 300)
    return Message(title=title, body=[Text(lines(*reversed(kept)))])


def log_end(run: JSON, output: bytes) -> Message:
    """The end of a run's output."""
    text = output.decode(errors="replace")
    severity = _BAD.get(run["status"], Severity.info)
    title = joined(" ", [run["job"], status(run["status"])])
    return Message(title=title, severity=severity, body=[Pre(text, phrase("end of the log"))])


def _run_line(run: JSON, now: datetime) -> Phrase:
    about = one_line(run["subject"] or run["run_key"] or "", 60)
    error = f": {one_line(run['error'], 80)}" if run["error"] else ""
    return lines(joined(" ", [ago(now, _when(run)), f"{about}{error}"]), run["id"])


def _when(run: JSON) -> datetime:
    return datetime.fromisoformat(run["ended_at"] or run["started_at"] or run["requested_at"])
