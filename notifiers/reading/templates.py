"""Every template there is: ours, and a team's own before them. An event has a message whatever the templates say."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from msgspec import Struct, field

from notifiers.message import Message, Pre, Text
from notifiers.reading import ENGLISH, LANGUAGES, Reader
from notifiers.reading.files import (
    FAMILIES,
    MAX_BYTES,
    WORDS,
    Entry,
    Section,
    TemplateFile,
    TemplateFileError,
    read_template,
)
from notifiers.reading.language import Language, language
from notifiers.reading.quick import Context
from notifiers.reading.shapes import Compiler, Shape, TemplateFault, Title, context_of, link_of
from rules.event import Event
from rules.templates import TemplateError

log = logging.getLogger(__name__)

SECONDS: Final = 0.2
"""A team's own template that takes more of the processor for one message counts as broken."""
CHARACTERS: Final = 300_000
"""So does one that says more."""
NOTICES: Final = "sensord:deliveries"
"""The source of what the owner is told of deliveries, see `notifiers.owner`."""
_READERS: Final = 64
_TOLD: Final = 1_000


class Broken(Struct, frozen=True):
    """A team's template that cannot be used: its file, the line, and why."""

    file: str
    line: int
    why: str

    def __str__(self) -> str:
        return f"{self.file}, line {self.line}: {self.why}"


class Own(Struct, frozen=True):
    """A team's own files, by language (empty: whatever the language) and name; and what of them cannot be read."""

    files: Mapping[tuple[str, str], TemplateFile] = field(default_factory=dict)
    broken: tuple[Broken, ...] = ()


NOTHING: Final = Own()


@cache
def builtin(name: str) -> TemplateFile:
    """One of our files."""
    content = files("notifiers.reading").joinpath("builtin", f"{name}.yaml").read_bytes()
    return read_template(name, content, f"built-in {name}.yaml")


def read_own(folder: Path) -> Own:
    """A team's files: `run.yaml` for every language, `run.ru.yaml` for Russian alone. Never raises."""
    found: dict[tuple[str, str], TemplateFile] = {}
    broken: list[Broken] = []
    try:
        names = sorted(one.name for one in folder.iterdir() if one.suffix in (".yaml", ".yml"))
    except OSError as error:
        return Own(broken=(Broken(str(folder), 0, f"the folder cannot be read: {error.strerror}"),))
    for name in names:
        stem, _, lang = name.rpartition(".")[0].partition(".")
        if stem not in (*FAMILIES, WORDS) or lang not in ("", *LANGUAGES) or not name.endswith(".yaml"):
            known = ", ".join(f"{one}.yaml" for one in (*FAMILIES, WORDS))
            broken.append(Broken(name, 1, f"no template has that name; there are {known}, and e.g. run.ru.yaml"))
            continue
        try:
            with (folder / name).open("rb") as file:
                found[lang, stem] = read_template(stem, file.read(MAX_BYTES + 1), name)
        except TemplateFileError as error:
            broken.append(Broken(name, error.line, str(error)))
        except OSError as error:
            broken.append(Broken(name, 0, f"it cannot be read: {error.strerror}"))
    return Own(found, tuple(broken))


class Voice(Struct, frozen=True):
    """Says things to one reader. Both are total."""

    language: Language
    message: Callable[[Event], Message]
    say: Callable[..., str]
    """The text of that name, its `{{ … }}` filled in with what is given; `count` decides about its plural form."""


class Templates:
    """Messages and texts for every reader. What of a team's own is broken is told to `tell` once, and ours holds."""

    def __init__(
        self,
        own: Own = NOTHING,
        *,
        base_url: str | None = None,
        spent: Callable[[], float] = time.thread_time,
        tell: Callable[[Broken], None] = lambda _: None,
    ) -> None:
        self._own = own
        self._base_url = base_url
        self._spent = spent
        self._tell = tell
        self._told: set[tuple[str, int, str]] = set()
        self._voices: dict[Reader, _Speaker] = {}

    def voice(self, reader: Reader = ENGLISH) -> Voice:
        """The voice for a reader; what it takes is made once, when it is first asked for something."""
        return self._speaker(reader).voice

    def shape_of(self, reader: Reader, type_: str) -> tuple[Shape | None, Shape]:
        """What a team, if it does, and we make of events of a type. TemplateFault: theirs cannot be compiled."""
        speaker = self._speaker(reader)
        return speaker.own(type_), speaker.ours(type_)

    def told_now(self) -> None:
        """Tell of what could not be read at all."""
        for one in self._own.broken:
            self.broke(one)

    def broke(self, one: Broken) -> None:
        """Say it once for each place and kind of reason, however many events meet it."""
        key = (one.file, one.line, one.why.partition(":")[0][:60])
        if key in self._told or len(self._told) >= _TOLD:
            return
        self._told.add(key)
        self._tell(one)

    def _speaker(self, reader: Reader) -> _Speaker:
        found = self._voices.get(reader)
        if found is None:
            if len(self._voices) >= _READERS:
                self._voices.clear()
            found = self._voices[reader] = _Speaker(reader, self._own, self._base_url, self._spent, self.broke)
        return found


class _Speaker:
    """Everything that is compiled for one reader."""

    def __init__(
        self,
        reader: Reader,
        own: Own,
        base_url: str | None,
        spent: Callable[[], float],
        broke: Callable[[Broken], None],
    ) -> None:
        self._language = language(reader)
        self._lang = reader.lang
        self._files = own
        self._base_url = base_url.rstrip("/") if base_url else None
        self._spent = spent
        self._broke = broke
        self._compiler = Compiler(self._language)
        self._ours: dict[str, Shape] = {}
        self._own: dict[tuple[str, str], Shape] = {}
        self._words: dict[tuple[str, int, frozenset[str]], Title] = {}
        self._link_word = cache(self.say)
        self.voice = Voice(self._language, self.message, self.say)

    def message(self, event: Event) -> Message:
        """The message of any event. Total."""
        context = context_of(event, event.type.partition(".")[2])
        told = self._by_own(event, context) if self._files.files else None
        return told or self._by_ours(event, context)

    def _by_own(self, event: Event, context: Context) -> Message | None:
        try:
            shape = self.own(_kind(event))
            return None if shape is None else self._filled(event, shape, context, self._within())
        except TemplateFault as fault:
            self._broke(Broken(fault.file, fault.line, str(fault)))
            return None

    def _by_ours(self, event: Event, context: Context) -> Message:
        try:
            return self._filled(event, self.ours(_kind(event)), context)
        except TemplateFault as fault:
            # No event that was published has met this; whatever it is, it is told.
            log.error("template.failed", extra={"line": fault.line, "reason": str(fault), "type": event.type})  # noqa: TRY400
            return Message(title=str(context["headline"]) or event.type or event.id, severity=event.severity)

    def _filled(self, event: Event, shape: Shape, context: Context, go_on: Callable[[], None] | None = None) -> Message:
        title = shape.title(context) or str(context["headline"]) or event.type or event.id
        facts, body = shape.fill(context, go_on)
        if go_on is not None:
            _bounded(shape, title, facts, body)
        links = [] if self._base_url is None else [link_of(event, self._base_url, self._link_word)]
        return Message(title=title, severity=event.severity, facts=facts, body=body, links=links)

    def _within(self) -> Callable[[], None]:
        until = self._spent() + SECONDS

        def go_on() -> None:
            if self._spent() > until:
                raise TimeoutError(f"the message takes more than {SECONDS * 1000:.0f} ms to make")

        return go_on

    def own(self, type_: str) -> Shape | None:
        """What a team's templates make of such events, ours where they say nothing; None where there are none."""
        family, what = _family(type_)
        layers = [self._files.files.get((lang, family)) for lang in (self._lang, "")]
        named = [one for one in layers if one is not None]
        if not named:
            return None
        key = (family, what if any(what in one.types for one in (*named, builtin(family))) else "")
        found = self._own.get(key)
        if found is None:
            sections = [*_sections(named, what), *_sections([builtin(family)], what)]
            found = self._own[key] = self._compiler.shape(sections)
        return found

    def ours(self, type_: str) -> Shape:
        """What our templates make of such events."""
        found = self._ours.get(type_)
        if found is None:
            family, what = _family(type_)
            file = builtin(family)
            key = f"{family}.{what if what in file.types else ''}"
            found = self._ours.get(key)
            if found is None:
                found = self._ours[key] = self._compiler.shape(_sections([file], what))
        return found

    def say(self, name: str, /, **values: Any) -> str:
        """One of the texts. KeyError: there is none of that name."""
        names = frozenset(values)
        entry = self._entry(name)
        if entry is not None:
            try:
                return self._said(entry, names)(values)
            except TemplateFault as fault:
                self._broke(Broken(fault.file, fault.line, str(fault)))
            except TemplateError as error:
                self._broke(Broken(entry.file, entry.line, str(error)[:400]))
        return self._said(builtin(WORDS).words[name], names)(values)

    def _said(self, entry: Entry, names: frozenset[str]) -> Title:
        key = (entry.file, entry.line, names)
        found = self._words.get(key)
        if found is None:
            found = self._words[key] = Compiler(self._language, names).counted(entry)
        return found

    def _entry(self, name: str) -> Entry | None:
        """A team's own text of that name."""
        for lang in (self._lang, ""):
            file = self._files.files.get((lang, WORDS))
            if file is not None and name in file.words:
                return file.words[name]
        return None


def _kind(event: Event) -> str:
    """The type by which its templates are found."""
    return event.type if event.source != NOTICES else f"notice.{event.topic.rpartition('.')[2]}"


def _family(type_: str) -> tuple[str, str]:
    family, _, what = type_.partition(".")
    return (family, what) if family in FAMILIES else ("message", "")


def _sections(named: Sequence[TemplateFile], what: str) -> Sequence[Section]:
    return [section for one in named for section in (one.types.get(what), one.every) if section is not None]


def _bounded(shape: Shape, title: str, facts: Sequence[tuple[str, str]], body: Sequence[Any]) -> None:
    size = len(title) + sum(len(label) + len(value) for label, value in facts)
    size += sum(len(block.text) for block in body if isinstance(block, Text | Pre))
    if size > CHARACTERS:
        entry = next((entry for entry, _ in (*shape.body, *shape.facts, *shape.titles)), Entry({}, "", 0))
        raise TemplateFault(entry, f"it says {size:,} characters; at most {CHARACTERS:,} are sent")
