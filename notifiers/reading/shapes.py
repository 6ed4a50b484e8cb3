"""Sections of template files → the messages of events, in one language."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final
from urllib.parse import quote

from msgspec import Struct

from notifiers.message import Block, Link
from notifiers.reading.facts import (
    Fact,
    Facts,
    Paragraph,
    each_fact,
    item_fact,
    nested,
    one_fact,
    paragraph,
    preformatted,
    table_of,
    when_it_holds,
)
from notifiers.reading.files import Entry, Section
from notifiers.reading.language import Language
from notifiers.reading.quick import Context, Value
from notifiers.reading.texts import MessageSandbox, Render, Test, condition_of, item_of, text_of, value_of
from rules.event import Event, Severity
from rules.templates import TemplateError

MAX_FACTS: Final = 20

_SEVERITIES: Final = {one: one.name for one in Severity}  # A member looks its name up each time.

NAMES: Final = frozenset(
    [
        "id",
        "type",
        "what",
        "topic",
        "severity",
        "time",
        "source",
        "message",
        "headline",
        "rest",
        "remark",
        "subject",
        "run",
        "job",
        "sensor",
        "data",
    ]
)
"""What a template of events is given; see `context_of`."""

Title = Callable[[Context], str]


class TemplateFault(Exception):
    """A template that cannot be compiled, or filled in for an event: where, and why."""

    def __init__(self, entry: Entry, error: Exception | str) -> None:
        super().__init__(str(error)[:400] or type(error).__name__)
        self.file = entry.file
        self.line = entry.line


class Shape(Struct, frozen=True):
    """How events of one type are said."""

    titles: Sequence[tuple[Entry, Title]]
    facts: Sequence[tuple[Entry, Fact]]
    body: Sequence[tuple[Entry, Paragraph]]

    def title(self, context: Context) -> str:
        """The first title that holds and is not blank; empty where there is none."""
        for entry, render in self.titles:
            try:
                if (found := render(context)).strip():
                    return found
            except Exception as error:
                raise TemplateFault(entry, error) from error
        return ""

    def fill(self, context: Context, go_on: Callable[[], None] | None = None) -> tuple[Facts, list[Block]]:
        """The facts, each value but once, and the body. TemplateFault says what of it cannot be made.

        `go_on` is asked between two entries, and may raise.
        """
        facts: Facts = []
        body: list[Block] = []
        said: set[str] = set()
        entry = _NOWHERE
        try:
            for entry, fact in self.facts:  # noqa: B007 - the fault is at the last one
                fact(context, facts, said)
                if go_on is not None:
                    go_on()
            for entry, block in self.body:  # noqa: B007
                block(context, body)
                if go_on is not None:
                    go_on()
        except Exception as error:
            raise TemplateFault(entry, error) from error
        return facts[:MAX_FACTS], body


_NOWHERE: Final = Entry({}, "", 0)


def context_of(event: Event, what: str) -> Context:
    """What templates are given of an event.

    `headline` is the first line of its own words, or its topic, and `rest` what follows that line. `remark` is its
    words where they say more than what it is and its error.
    """
    data = event.data if type(event.data) is dict else dict(event.data)
    message = event.message
    first, _, rest = message.strip().partition("\n")
    plain = message in (f"{event.job} {what}", data.get("error")) if event.job else not rest
    return {
        "id": event.id,
        "type": event.type,
        "what": what,
        "topic": event.topic,
        "severity": _SEVERITIES[event.severity],
        "time": event.time,
        "source": event.source,
        "message": message,
        "headline": first or event.topic,
        "rest": rest.strip() if first else "",
        "remark": "" if plain else message,
        "subject": data.get("subject", event.subject),
        "run": event.run,
        "job": event.job,
        "sensor": event.sensor,
        "data": data,
    }


class Compiler:
    """Compiles sections for one language. TemplateFault names the line of what cannot be."""

    def __init__(self, language: Language, names: frozenset[str] = NAMES) -> None:
        self._language = language
        self._sandbox = MessageSandbox(language)
        self._names = names

    def shape(self, sections: Sequence[Section]) -> Shape:
        """What they say together: the first that has facts, or a body, decides about that; titles follow each other."""
        titles = [(one, self.counted(one)) for section in sections for one in section.title or ()]
        facts = next((section.facts for section in sections if section.facts is not None), ())
        body = next((section.body for section in sections if section.body is not None), ())
        return Shape(
            titles,
            [(one, self._made(one, self._fact)) for one in facts],
            [(one, self._made(one, self._block)) for one in body],
        )

    def counted(self, entry: Entry) -> Title:
        """A text, or the one of the plural forms that its count takes."""
        found: Title = self._made(entry, self._counted)
        return found

    def _made(self, entry: Entry, make: Callable[[Entry], Any]) -> Any:
        try:
            return make(entry)
        except TemplateError as error:
            raise TemplateFault(entry, error) from error

    def _counted(self, entry: Entry) -> Title:
        when = self._when(entry)
        if (text := entry.get("text")) is not None:
            render = self._text(text)
        else:
            forms = self._language.forms(entry.texts["one"], entry.texts["other"])
            renders = [self._source(form) for form in forms]
            count = self._value(entry.get("count") or "count")
            render = _plural(renders, count, self._language)
        return render if when is None else (lambda context: render(context) if when(context) else "")

    def _fact(self, entry: Entry) -> Fact:
        when = self._when(entry)
        if (each := entry.get("each")) is not None:
            value, plain = self._value(each), entry.get("plain") is not None
            return when_it_holds(when, each_fact(value, entry.but, self._language, plain=plain))
        label, value = self._text(entry.texts["label"]), self._text(entry.texts["value"])
        item = item_of(entry.texts["value"], self._sandbox)
        one = one_fact(label, value) if item is None else item_fact(label, item, value, self._language.show)
        return when_it_holds(when, one)

    def _block(self, entry: Entry) -> Paragraph:
        return when_it_holds(self._when(entry), self._paragraph(entry))

    def _paragraph(self, entry: Entry) -> Paragraph:
        title, show = self._text(entry.get("title") or ""), self._language.show
        if (text := entry.get("text")) is not None:
            return paragraph(self._text(text))
        if (pre := entry.get("pre")) is not None:
            return preformatted(self._text(pre), title)
        if (table := entry.get("table")) is not None:
            rows = self._value(table)
            return lambda context, body: body.extend(table_of(rows(context), title(context), show))
        values = self._value(entry.texts["each"])
        return lambda context, body: body.extend(nested(values(context), entry.but, self._language))

    def _text(self, source: str) -> Render:
        """A text that is said, and so translated."""
        return self._source(self._language.text(source) if source else source)

    def _source(self, source: str) -> Render:
        return text_of(source, self._sandbox, self._names)

    def _value(self, source: str) -> Value:
        return value_of(source, self._sandbox, self._names)

    def _when(self, entry: Entry) -> Test | None:
        when = entry.get("when")
        return None if when is None else condition_of(when, self._sandbox, self._names)


def _plural(renders: Sequence[Render], count: Value, language: Language) -> Title:
    def render(context: Context) -> str:
        number = count(context)
        whole = isinstance(number, int) and not isinstance(number, bool)
        return renders[language.form(number) if whole else len(renders) - 1](context)

    return render


def link_of(event: Event, base_url: str, say: Callable[[str], str]) -> Link:
    """Where to look further: the page of the event's run, else its own."""
    if event.run:
        return Link(say("link.run"), f"{base_url}/runs/{quote(event.run, safe='', errors='replace')}")
    return Link(say("link.event"), f"{base_url}/events/{quote(event.id, safe='', errors='replace')}")
