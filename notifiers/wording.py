"""An event in words that a person understands: what happened, to what, since when, and where to look."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

import orjson

from notifiers.message import Block, Link, Message, Pre, Table, Text
from rules.event import Event

_MAX_ROWS = 20
_MAX_COLUMNS = 12
_MAX_FACTS = 20
_LOG_LINES = 40
_TIMES = ((86400, "d"), (3600, "h"), (60, "min"))


_WORDS = {
    "run_key": "key",
    "subject": "file",
    "duration_s": "duration",
    "exit_code": "exit status",
    "partition_key": "partition",
}


def to_message(event: Event, *, base_url: str | None = None) -> Message:
    """The message of any event. `base_url` is where the daemon's pages are; with it there is a link. Total."""
    kind = event.type.partition(".")[0]
    facts, body = _SHAPES.get(kind, _shape_of_others)(event)
    return Message(
        title=_title(event, kind),
        severity=event.severity,
        facts=facts[:_MAX_FACTS],
        body=body,
        links=_links(event, base_url),
    )


def _title(event: Event, kind: str) -> str:
    what = event.type.partition(".")[2]
    about = {"run": event.job, "quality": event.job, "sensor": event.sensor}.get(kind)
    if kind == "quality" and about:
        return f"{about}: check {show(event.data.get('check', ''))} {what}".replace("  ", " ")
    if kind == "run" and about:
        return f"{about} {_ended_as(event, what)}"
    if kind == "sensor" and about:
        return f"sensor {about} {what}"
    return event.message.strip().partition("\n")[0] or event.topic


def _ended_as(event: Event, what: str) -> str:
    """What is said of a run: how far it is, and after how many attempts it ended."""
    if what == "progress":
        share = event.data.get("progress")
        is_share = isinstance(share, int | float) and not isinstance(share, bool) and 0 <= share <= 1
        return f"running, {share:.0%}" if is_share else "running"
    attempt = event.data.get("attempt")
    several = isinstance(attempt, int) and attempt > 1
    return f"{what} after {attempt} attempts" if what == "failed" and several else what


def _shape_of_run(event: Event) -> tuple[list[tuple[str, str]], list[Block]]:
    data = event.data
    facts = _facts(event, ("subject", "run_key", "partition_key", "attempt", "duration_s", "exit_code"))
    facts += _mapping_facts(data.get("metadata"))
    body: list[Block] = []
    error = show(data.get("error", "")) if data.get("error") is not None else ""
    if error:
        body.append(Pre(error, "error"))
    if (tail := data.get("log_tail")) and isinstance(tail, Sequence):
        lines = tail.splitlines() if isinstance(tail, str) else [show(line) for line in tail]
        body.append(Pre("\n".join(lines[-_LOG_LINES:]), "end of the log"))
    if event.type == "run.progress":
        body = [Text(show(data["text"]))] if data.get("text") else []
    elif event.message and event.message not in (_title(event, "run"), error) and not error:
        body.insert(0, Text(event.message))
    return facts, body


def _shape_of_quality(event: Event) -> tuple[list[tuple[str, str]], list[Block]]:
    data = event.data
    facts = _facts(event, ("subject", "run_key"))
    facts += _mapping_facts(data.get("metrics"))
    body: list[Block] = []
    if data.get("detail"):
        body.append(Text(show(data["detail"])))
    if (table := _table(data.get("sample"))) is not None:
        body.append(table)
    return facts, body


def _shape_of_sensor(event: Event) -> tuple[list[tuple[str, str]], list[Block]]:
    reason = event.data.get("reason") or event.message
    return [], [Text(show(reason))] if reason else []


def _shape_of_others(event: Event) -> tuple[list[tuple[str, str]], list[Block]]:
    facts = _facts(event, ("subject",))
    facts += [
        (_label(key), show(value))
        for key, value in event.data.items()
        if value is not None and key not in ("subject", "message", "topic") and not isinstance(value, Mapping | list)
    ]
    first, _, rest = event.message.strip().partition("\n")
    body: list[Block] = [Text(rest.strip())] if first and rest.strip() else []
    body += [
        Pre(show(value), _label(key))
        for key, value in event.data.items()
        if isinstance(value, Mapping | list) and value
    ]
    return facts, body


_SHAPES: Mapping[str, Callable[[Event], tuple[list[tuple[str, str]], list[Block]]]] = {
    "run": _shape_of_run,
    "quality": _shape_of_quality,
    "sensor": _shape_of_sensor,
}


def _facts(event: Event, keys: Iterable[str]) -> list[tuple[str, str]]:
    facts: list[tuple[str, str]] = []
    said: set[str] = set()
    for key in keys:
        value = event.data.get(key, event.subject if key == "subject" else None)
        if value is None or (key == "attempt" and value == 1):
            continue
        text = _duration(value) if key == "duration_s" else show(value)
        # The run's key is often the file's name: once is enough.
        if text and text not in said:
            facts.append((_label(key), text))
            said.add(text)
    return facts


def _mapping_facts(values: Any) -> list[tuple[str, str]]:
    if not isinstance(values, Mapping):
        return []
    return [(_label(str(key)), show(value)) for key, value in values.items() if value is not None]


def _label(key: str) -> str:
    return _WORDS.get(key, key.replace("_", " "))


def _table(rows: Any) -> Table | None:
    if not isinstance(rows, Sequence) or isinstance(rows, str | bytes):
        return None
    shown = [row for row in rows if isinstance(row, Mapping)][:_MAX_ROWS]
    header = list(dict.fromkeys(str(key) for row in shown for key in row))[:_MAX_COLUMNS]
    if not header:
        return None
    by_text = [{str(key): value for key, value in row.items()} for row in shown]
    cells = [[show(row[key]) if key in row else "" for key in header] for row in by_text]
    return Table(header, cells, "sample")


def _links(event: Event, base_url: str | None) -> list[Link]:
    if not base_url:
        return []
    base = base_url.rstrip("/")
    if event.run:
        return [Link("run", f"{base}/runs/{_quoted(event.run)}")]
    return [Link("event", f"{base}/events/{_quoted(event.id)}")]


def _quoted(text: str) -> str:
    return quote(text, safe="", errors="replace")


_LONGEST_S = 1e9  # Beyond it is no duration of a run.


def _duration(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < _LONGEST_S:
        return show(value)
    if value < 1:
        return f"{value * 1000:.0f} ms"
    whole = round(value)
    for size, unit in _TIMES:
        if whole >= size:
            rest = whole % size
            return f"{whole // size} {unit}" + (f" {_duration(float(rest))}" if rest and unit != "d" else "")
    return f"{value:.1f} s" if value < 10 and value != whole else f"{whole} s"  # noqa: PLR2004 - a digit suffices


def show(value: Any) -> str:
    """Any JSON value as text for a person; anything else as its own text."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    try:
        if isinstance(value, int | float):
            return str(value)
        return orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS, default=str).decode()
    except (TypeError, ValueError):
        # Not JSON after all, or an integer in it is too long for Python to write in decimals.
        return f"({type(value).__name__} that cannot be shown)"
