"""Answers in words: what chats are told when they ask. Plain text in messages; each channel gives it its form."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from msgspec.structs import replace

from notifiers.chat import JSON
from notifiers.chat.looking import Held
from notifiers.message import Message, Pre, Text
from rules.commands import COMMANDS
from rules.event import Event, Severity

NOT_HERE = (
    "I cannot answer in this conversation. Type it in a channel that I was invited to (/invite with my name), or in a "
    "direct message to me."
)
BROKE = "This failed in sensord; its log says why."
LINE = 160
_STORY = 3000
_SPANS = ((86400, "d"), (3600, "h"), (60, "min"))
_OURS = frozenset({"runs", "quality", "sensors", "chat", "deliveries"})
_COMMAND = re.compile(rf"(?<!\S)/(?=(?:{'|'.join(COMMANDS)})(?![\w/-])(?!\.\w))")
_BAD = {"failed": Severity.error, "lost": Severity.critical}


def one_line(text: str, most: int = LINE) -> str:
    """The first line of a text, clipped."""
    line = text.strip().partition("\n")[0]
    return line if len(line) <= most else f"{line[: most - 1]}…"


def ago(now: datetime, then: datetime) -> str:
    """How long ago, roughly: `just now`, `5 min ago`."""
    seconds = (now - then).total_seconds()
    for size, unit in _SPANS:
        if seconds >= size:
            return f"{seconds // size:.0f} {unit} ago"
    return "just now"


def said(text: str, *, severity: Severity = Severity.info, title: str | None = None) -> Message:
    """A sentence or a few."""
    first, _, rest = text.partition("\n")
    if title is not None:
        first, rest = title, text
    return Message(title=first, severity=severity, body=[Text(rest)] if rest else [])


def as_typed(message: Message, typed: str) -> Message:
    """The message with `typed` in place of the slash before each command that its sentences name."""

    def spelt(text: str) -> str:
        return _COMMAND.sub(lambda _: typed, text)

    body = [Text(spelt(block.text)) if isinstance(block, Text) else block for block in message.body]
    return replace(message, title=spelt(message.title), body=body)


def help_text(intro: str = "What can be asked here") -> Message:
    """Every command, how it is typed and what it does."""
    lines = [f"/{name} {usage.arguments}".rstrip() + f": {usage.summary}" for name, usage in COMMANDS.items()]
    patterns = "In a PATTERN, * stands for one word between dots and > for all the rest: bp.houses.> or runs.*.failed"
    return Message(title=intro, body=[Text("\n".join(lines)), Text(patterns)])


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
        return said("This chat is told of nothing yet.\n/topics shows what there is, /subscribe PATTERN begins.")
    lines = [subscription_line(one) + (" (from sensord.yaml)" if one.origin == "config" else "") for one in held]
    return Message(title=f"This chat is told of {_count(len(held), 'subscription')}", body=[Text("\n".join(lines))])


def topic_list(newest: Mapping[str, Event | None], pattern: str | None, now: datetime, most: int) -> Message:
    """Topics, a team's own before the program's, the one that spoke last first; behind them those that were silent."""
    if not newest:
        where = f" that {one_line(pattern)} takes" if pattern else " that you may see"
        return said(f"There is no topic{where}.\n/topics without a pattern shows all that you may see.")
    spoken = [(not _is_ours(topic), event.time, topic, event) for topic, event in newest.items() if event is not None]
    spoken.sort(key=lambda one: one[:3], reverse=True)
    facts = [
        (topic, f"{ago(now, time)}, {event.severity.name}: {one_line(event.message)}")
        for _, time, topic, event in spoken
    ]
    silent = [topic for topic, event in newest.items() if event is None]
    facts += [(topic, "nothing yet") for topic in sorted(silent, key=lambda topic: (_is_ours(topic), topic))]
    more = len(facts) - most
    hint = f"{more} more: /topics PATTERN shows fewer, e.g. /topics {facts[0][0].partition('.')[0]}.>"
    body = [Text(hint)] if more > 0 else []
    return Message(title=_count(len(facts), "topic"), facts=facts[:most], body=body)


def _is_ours(topic: str) -> bool:
    """Whether the program publishes on it by itself."""
    return topic.partition(".")[0] in _OURS


def run_list(runs: Sequence[JSON], job: str | None, now: datetime) -> Message:
    """Runs, newest first."""
    if not runs:
        return said(f"There is no run{f' of {one_line(job)}' if job else ' that you may see'}.")
    facts = [(f"{run['job']} {run['status']}", _run_line(run, now)) for run in runs]
    return Message(title=_count(len(runs), "newest run"), facts=facts, body=[Text("/why RUN and /log RUN tell more.")])


def state(sentence: str, problems: Sequence[str], runs: Sequence[JSON], now: datetime) -> Message:
    """Whether all is well, and the newest run of each job."""
    severity = max((_BAD.get(run["status"], Severity.info) for run in runs), default=Severity.info)
    facts = [(run["job"], f"{run['status']} {ago(now, _when(run))}") for run in runs]
    body = [Text("\n".join(problems))] if len(problems) > 1 else []
    return Message(title=sentence, severity=Severity.warning if problems else severity, facts=facts, body=body)


def story(lines: Sequence[str], verdict: str) -> Message:
    """The story of a run or an event: its newest lines, as many as one message holds."""
    kept: list[str] = []
    room = _STORY
    for line in reversed(lines):
        room -= len(line) + 1
        if room < 0:
            kept.append("…")
            break
        kept.append(line)
    return Message(title=one_line(verdict, 300), body=[Text("\n".join(reversed(kept)))])


def log_end(run: JSON, output: bytes) -> Message:
    """The end of a run's output."""
    text = output.decode(errors="replace")
    severity = _BAD.get(run["status"], Severity.info)
    return Message(title=f"{run['job']} {run['status']}", severity=severity, body=[Pre(text, "end of the log")])


def _run_line(run: JSON, now: datetime) -> str:
    about = run["subject"] or run["run_key"] or ""
    error = f": {one_line(run['error'], 80)}" if run["error"] else ""
    return f"{ago(now, _when(run))} {one_line(about, 60)}{error}\n{run['id']}"


def _when(run: JSON) -> datetime:
    return datetime.fromisoformat(run["ended_at"] or run["started_at"] or run["requested_at"])


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
