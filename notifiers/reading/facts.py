"""What an entry of a template file makes of an event: facts and blocks of its message."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from notifiers.message import Block, Pre, Table, Text
from notifiers.reading.language import Language
from notifiers.reading.quick import Context, Value
from notifiers.reading.texts import Render, Test

Facts = list[tuple[str, str]]
Fact = Callable[[Context, Facts, set[str]], None]
"""Adds its facts to those there are; the last has the values that were said already."""
Paragraph = Callable[[Context, list[Block]], None]

MAX_ROWS: Final = 20
MAX_COLUMNS: Final = 12
_LABELS: Final = {
    "run_key": "key",
    "subject": "file",
    "duration_s": "duration",
    "exit_code": "exit status",
    "partition_key": "partition",
}


def label_of(key: str, language: Language) -> str:
    """The key of somebody's data as a label; those that we use ourselves are said as we say them."""
    known = _LABELS.get(key)
    return key.replace("_", " ") if known is None else language.text(known)


def when_it_holds(when: Test | None, make: Callable[..., None]) -> Callable[..., None]:
    """The same, where there is a condition, only where that holds."""
    if when is None:
        return make

    def made(context: Context, *into: Any) -> None:
        if when(context):
            make(context, *into)

    return made


def one_fact(label: Render, value: Render) -> Fact:
    """One fact; none where its value is empty, or was said already."""

    def fact(context: Context, facts: Facts, said: set[str]) -> None:
        text = value(context)
        # A run's key is often the file's name: once is enough.
        if text and text not in said:
            facts.append((label(context), text))
            said.add(text)

    return fact


def item_fact(label: Render, item: str, value: Render, show: Callable[[Any], str]) -> Fact:
    """The same of an item of the event's data, as nearly all are."""

    def fact(context: Context, facts: Facts, said: set[str]) -> None:
        found = context["data"].get(item)
        if found is None:
            return
        text = found if type(found) is str else show(found) if type(found) is int else value(context)
        if text and text not in said:
            facts.append((label(context), text))
            said.add(text)

    return fact


def each_fact(values: Value, but: Sequence[str], language: Language, *, plain: bool) -> Fact:
    """A fact for each item of a mapping, without those of the keys `but`; `plain`: without mappings and lists."""
    show = language.show

    def fact(context: Context, facts: Facts, _said: set[str]) -> None:
        found = values(context)
        if not isinstance(found, Mapping):
            return
        for key, value in found.items():
            if value is None or key in but or (plain and isinstance(value, Mapping | list)):
                continue
            facts.append((label_of(str(key), language), value if type(value) is str else show(value)))

    return fact


def paragraph(text: Render) -> Paragraph:
    """A paragraph; none where it is blank."""

    def block(context: Context, body: list[Block]) -> None:
        if (found := text(context)) and not found.isspace():
            body.append(Text(found))

    return block


def preformatted(text: Render, title: Render) -> Paragraph:
    """A text as it is; none where it is empty."""

    def block(context: Context, body: list[Block]) -> None:
        if found := text(context):
            body.append(Pre(found, title(context)))

    return block


def nested(values: Any, but: Sequence[str], language: Language) -> Iterable[Block]:
    """The mappings and lists among the items of a mapping, each as a text, without those of the keys `but`."""
    if not isinstance(values, Mapping):
        return ()
    return [
        Pre(language.show(value), label_of(str(key), language))
        for key, value in values.items()
        if isinstance(value, Mapping | list) and value and key not in but
    ]


def table_of(rows: Any, title: str, show: Callable[[Any], str]) -> Iterable[Block]:
    """A table of the first rows and columns; none where there is nothing to show as one."""
    if not isinstance(rows, Sequence) or isinstance(rows, str | bytes):
        return ()
    shown = [row for row in rows if isinstance(row, Mapping)][:MAX_ROWS]
    header = list(dict.fromkeys(str(key) for row in shown for key in row))[:MAX_COLUMNS]
    if not header:
        return ()
    by_text = [{str(key): value for key, value in row.items()} for row in shown]
    cells = [[show(row[key]) if key in row else "" for key in header] for row in by_text]
    return (Table(header, cells, title),)
