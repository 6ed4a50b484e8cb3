"""A template's file as it is written: which texts stand in it, and on which line. YAML in, values out.

```yaml
every:                                  # of every event of the family that the file is named after
  title: "{{ job }} {{ what }}"         # or a list: the first that holds, and is not empty, is the title
  facts:
    - {label: file, value: "{{ subject }}"}
    - {each: data.metadata}             # a fact for each of the mapping's entries
  body:
    - {text: "{{ remark }}", when: not data.error}
    - {pre: "{{ data.error }}", title: error}
    - {table: data.sample, title: sample}
types:
  failed:                               # of run.failed alone, in place of what `every` says
    title: {one: "failed after {{ data.attempt }} attempt", other: "… attempts", count: data.attempt}
```
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import yaml
from msgspec import Struct, field

MAX_BYTES: Final = 256 * 1024
MAX_ENTRIES: Final = 50
"""Of one list: a message has no more facts and paragraphs that anybody would read."""
_DEPTH: Final = 8
_LOADER: Any = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader

FAMILIES: Final = ("run", "quality", "sensor", "chat", "notice", "message")
"""The files of events, by the first word of the event's type; `notice` is what the owner is told of deliveries.

`message` is of all others.
"""
WORDS: Final = "words"
"""The file of the texts that stand beside those of events."""

_SECTION: Final = ("title", "facts", "body")
_TITLE: Final = ("text", "one", "other", "count", "when")
_FACT: Final = ("label", "value", "each", "plain", "but", "when")
_BODY: Final = ("text", "pre", "table", "each", "but", "title", "when")
_BODY_KINDS: Final = ("text", "pre", "table", "each")


class TemplateFileError(ValueError):
    """A template's file is not as it should be: where, and what to write."""

    def __init__(self, text: str, line: int) -> None:
        super().__init__(text)
        self.line = line


class Entry(Struct, frozen=True):
    """A mapping of texts, and where it stands. What `but` holds is a list of words."""

    texts: Mapping[str, str]
    file: str
    line: int
    but: tuple[str, ...] = ()

    def get(self, name: str) -> str | None:
        """One of its texts."""
        return self.texts.get(name)


class Section(Struct, frozen=True):
    """What is said of events of one type. None: nothing is said about that here."""

    title: tuple[Entry, ...] | None = None
    facts: tuple[Entry, ...] | None = None
    body: tuple[Entry, ...] | None = None

    def entries(self) -> Iterator[Entry]:
        """All of them."""
        for part in (self.title, self.facts, self.body):
            yield from part or ()


class TemplateFile(Struct, frozen=True):
    """One file. `types` are by what follows the family's name in an event's type; `words` by their names."""

    every: Section = field(default_factory=Section)
    types: Mapping[str, Section] = field(default_factory=dict)
    words: Mapping[str, Entry] = field(default_factory=dict)

    def sections(self) -> Iterator[tuple[str, Section]]:
        """Each with the type that it is of; `every` is of the empty one."""
        yield "", self.every
        yield from self.types.items()


def read_template(name: str, content: bytes, file: str) -> TemplateFile:
    """Read a template's file; `name` is one of FAMILIES or WORDS. TemplateFileError: what is wrong, on which line."""
    root = _Node(_composed(content), 0, file)
    if root.node is None:
        return TemplateFile()
    if name == WORDS:
        return TemplateFile(words={key: _counted(value) for key, value in root.mapping()})
    every, types = Section(), {}
    for key, value in root.mapping("every", "types"):
        if key == "every":
            every = _section(value)
        else:
            types = {what: _section(one) for what, one in value.mapping()}
    return TemplateFile(every, types)


def _composed(content: bytes) -> Any:
    if len(content) > MAX_BYTES:
        raise TemplateFileError(f"it has {len(content):,} bytes; at most {MAX_BYTES:,} are read", 1)
    try:
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(content, Loader=_LOADER)):
            raise TemplateFileError("aliases (*name) are not read here; write it out", 1)
        return yaml.compose(content, Loader=_LOADER)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise TemplateFileError(f"it is no YAML: {error.problem}", mark.line + 1 if mark else 1) from None
    except (yaml.YAMLError, RecursionError, UnicodeError):
        raise TemplateFileError("it is no YAML text", 1) from None


class _Node(Struct, frozen=True):
    """A node of YAML, read as what is expected of it."""

    node: Any
    depth: int
    file: str

    @property
    def line(self) -> int:
        return int(self.node.start_mark.line) + 1

    def fail(self, text: str) -> TemplateFileError:
        return TemplateFileError(text, self.line)

    def mapping(self, *known: str) -> Iterator[tuple[str, _Node]]:
        if not isinstance(self.node, yaml.MappingNode):
            of = f" of {', '.join(known)}" if known else ""
            raise self.fail(f"a mapping is expected here{of}")
        if self.depth > _DEPTH:
            raise self.fail("it is nested too deeply")
        seen: set[str] = set()
        for key, value in self.node.value:
            name = _Node(key, self.depth + 1, self.file).text()
            if (known and name not in known) or name in seen:
                why = "comes twice" if name in seen else f"is no key here; there are {', '.join(known)}"
                raise _Node(key, 0, self.file).fail(f"{name[:40]!r} {why}")
            seen.add(name)
            yield name, _Node(value, self.depth + 1, self.file)

    def items(self) -> list[_Node]:
        if not isinstance(self.node, yaml.SequenceNode):
            raise self.fail("a list is expected here")
        if len(self.node.value) > MAX_ENTRIES:
            raise self.fail(f"it has {len(self.node.value):,} entries; at most {MAX_ENTRIES} are taken")
        return [_Node(one, self.depth + 1, self.file) for one in self.node.value]

    def text(self) -> str:
        if not isinstance(self.node, yaml.ScalarNode):
            raise self.fail("a text is expected here")
        return str(self.node.value)

    @property
    def is_text(self) -> bool:
        return isinstance(self.node, yaml.ScalarNode)

    @property
    def is_list(self) -> bool:
        return isinstance(self.node, yaml.SequenceNode)


def _section(node: _Node) -> Section:
    found: dict[str, tuple[Entry, ...]] = {}
    for key, value in node.mapping(*_SECTION):
        if key == "title":
            found[key] = tuple(_counted(one) for one in (value.items() if value.is_list else [value]))
        else:
            found[key] = tuple(_fact(one) if key == "facts" else _block(one) for one in value.items())
    return Section(**found)


def _counted(node: _Node) -> Entry:
    """A text, or one that is counted: `{one: …, other: …, count: …}`."""
    if node.is_text:
        return Entry({"text": node.text()}, node.file, node.line)
    entry = _entry(node, _TITLE)
    if ("text" in entry.texts) == ("one" in entry.texts and "other" in entry.texts):
        raise node.fail("write a text, or both `one` and `other`")
    return entry


def _fact(node: _Node) -> Entry:
    entry = _entry(node, _FACT)
    if ("each" in entry.texts) == ("label" in entry.texts and "value" in entry.texts):
        raise node.fail("write `label` and `value`, or `each`")
    return entry


def _block(node: _Node) -> Entry:
    entry = _entry(node, _BODY)
    if sum(kind in entry.texts for kind in _BODY_KINDS) != 1:
        raise node.fail(f"write exactly one of {', '.join(_BODY_KINDS)}")
    return entry


def _entry(node: _Node, known: tuple[str, ...]) -> Entry:
    texts: dict[str, str] = {}
    but: tuple[str, ...] = ()
    for key, value in node.mapping(*known):
        if key == "but":
            but = tuple(one.text() for one in value.items())
        else:
            texts[key] = value.text()
    return Entry(texts, node.file, node.line, but)
