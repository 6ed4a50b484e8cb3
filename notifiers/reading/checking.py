"""A team's templates, looked at before they are used: each is compiled, and filled in with sample events."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from jinja2 import Environment, meta

from notifiers.reading import LANGUAGES, Reader
from notifiers.reading.files import WORDS, Entry, TemplateFile
from notifiers.reading.language import language
from notifiers.reading.quick import FILTERS
from notifiers.reading.samples import SAMPLES
from notifiers.reading.shapes import Compiler, TemplateFault
from notifiers.reading.templates import Broken, Own, Templates, builtin, read_own
from rules.event import Event


def check_templates(folder: Path) -> list[Broken]:
    """What is wrong in a team's templates, in the order of their files and lines."""
    found = faults(read_own(folder), list(SAMPLES.values()), [Reader(lang) for lang in LANGUAGES])
    return sorted(set(found), key=lambda one: (one.file, one.line, one.why))


def faults(own: Own, samples: Sequence[Event], readers: Sequence[Reader]) -> Iterator[Broken]:
    """What is wrong in a team's templates: each is compiled, and filled in with sample events, for each reader."""
    yield from own.broken
    found: dict[Broken, None] = {}
    for reader in readers:
        templates = Templates(own, tell=found.setdefault)
        voice = templates.voice(reader)
        for event in samples:
            voice.message(event)
        for (lang, name), file in own.files.items():
            if lang in ("", reader.lang):
                for one in _uncompiled(name, file, reader):
                    found.setdefault(Broken(one.file, one.line, str(one)))
    yield from found


def _uncompiled(name: str, file: TemplateFile, reader: Reader) -> Iterator[TemplateFault]:
    """Sections of types that no sample has, and words, which no event needs."""
    compiler = Compiler(language(reader))
    for _, section in file.sections():
        try:
            compiler.shape([section])
        except TemplateFault as fault:
            yield fault
    if name == WORDS:
        for word, entry in file.words.items():
            ours = builtin(WORDS).words.get(word)
            if ours is None:
                yield TemplateFault(entry, f"there is no text {word[:60]!r}; see ours for those there are")
                continue
            try:
                Compiler(language(reader), named_in(ours)).counted(entry)
            except TemplateFault as fault:
                yield fault


def named_in(entry: Entry) -> frozenset[str]:
    """The names that a text's `{{ … }}` use."""
    environment = Environment(autoescape=True)
    environment.filters |= dict.fromkeys(FILTERS, str)
    found = {"count"} if "one" in entry.texts else set()
    for text in entry.texts.values():
        found |= meta.find_undeclared_variables(environment.parse(text))
    return frozenset(found)
