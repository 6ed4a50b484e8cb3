"""YAML text → nodes that know where they stand, within limits that no file can talk its way around.

Plain scalars mean what YAML 1.2, JSON and editors say: `no`, `08:30` and `2026-01-02` are text.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any, Literal

import yaml
from msgspec import Struct, field

MAX_BYTES = 1 << 20
MAX_NODES = 100_000
MAX_DEPTH = 64

# libyaml where PyYAML was built with it: eight times as quick. Both only yield events; nothing is constructed.
_LOADER: Any = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_UNUSABLE = re.compile("[\x00\ud800-\udfff]")
_INTEGER = re.compile(r"[-+]?[0-9]+")
_DIGITS = 100
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+\.?[0-9]*)([eE][-+]?[0-9]+)?")
_WORDS: dict[str, bool | None] = {
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys(("null", "Null", "NULL", "~", ""), None),
}
# `{token: ${NAME}}` is not YAML: a brace ends plain text in a flow mapping. So the braces of `${…}` are swapped
# for two private characters while the parser looks, which keeps every column where it is.
_VARIABLE = re.compile("\\$\\{([^{}\n\ue000\ue001]*)\\}")
_MASKED = re.compile("\\$\ue000([^{}\n\ue000\ue001]*)\ue001")


class YamlError(Exception):
    """Text that cannot be read. Never quotes the text, which may be a secret."""

    def __init__(self, found: str, line: int = 0, column: int = 0, hint: str = "") -> None:
        super().__init__(found)
        self.found = found
        self.line = line
        self.column = column
        self.hint = hint


class Node(Struct, eq=False):
    """A scalar (`text`, and whether it was `plain`), a list (`items`) or a mapping (`items`: key, value, key, …)."""

    kind: Literal["scalar", "list", "mapping"]
    line: int
    column: int
    text: str = ""
    plain: bool = False
    items: list[Node] = field(default_factory=list)

    def pairs(self) -> Iterator[tuple[Node, Node]]:
        """The keys and values of a mapping, what `<<` merged in among them."""
        return zip(self.items[::2], self.items[1::2], strict=True)

    def scalar(self) -> Any:
        """What a scalar means: None, a boolean, a finite number or text. YamlError where it has no meaning."""
        if not self.plain:
            return self.text
        if self.text in _WORDS:
            return _WORDS[self.text]
        number: int | float
        if _INTEGER.fullmatch(self.text):
            number = int(self.text) if len(self.text) < _DIGITS else math.inf
        elif _FLOAT.fullmatch(self.text):
            number = float(self.text)
        else:
            return self.text
        if not -(2**63) <= number < 2**64 and (isinstance(number, int) or math.isinf(number)):
            raise YamlError("a number of more than 64 bits", self.line, self.column, "put it in quotes to make it text")
        return number


def parse(raw: bytes) -> Node | None:
    """The root node of the one document in `raw`, None where there is none. YamlError says what is wrong.

    Refused: what is not UTF-8, more than one document, tags (`!!python/…`), keys that repeat or are not
    scalars, anchors that contain themselves, and more than MAX_BYTES, MAX_NODES or MAX_DEPTH.
    """
    if len(raw) > MAX_BYTES:
        raise YamlError(f"the file is larger than {MAX_BYTES >> 20} MiB", hint="split it with include:")
    text = _decode(raw)
    if bad := _UNPRINTABLE.search(text):
        raise YamlError(f"the character U+{ord(bad[0]):04X} is not allowed in YAML", *_position(text, bad.start()))
    events = yaml.parse(_VARIABLE.sub("$\ue000\\1\ue001", text), Loader=_LOADER)
    try:
        return _build(events)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (0, 0)
        raise YamlError(f"not YAML: {_said(error)}", line, column, _advice(text, line)) from None
    except (yaml.YAMLError, ValueError, OverflowError):
        raise YamlError("not YAML: a character or an escape in it cannot be read") from None


def _decode(raw: bytes) -> str:
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = raw[: error.start].decode("utf-8-sig", "replace")
        raise YamlError("not UTF-8", *_position(before, len(before)), "save the file as UTF-8") from None


def _position(text: str, index: int) -> tuple[int, int]:
    return text.count("\n", 0, index) + 1, index - text.rfind("\n", 0, index)


def _said(error: yaml.MarkedYAMLError) -> str:
    # PyYAML quotes up to one token after "found"; what it expected is the useful half.
    problem = str(error.problem or error.context or "unreadable")
    return re.sub(r"'[^']{2,}'", "…", problem)


def _advice(text: str, line: int) -> str:
    lines = text.splitlines()
    if 0 < line <= len(lines) and lines[line - 1].lstrip(" ").startswith("\t"):
        return "indent with spaces, not tabs"
    return "text that holds ': ', ' #', or begins with one of {[*&!%@` needs quotes"


class _Budget:
    """How many more values a file may hold, what it merges and repeats included."""

    def __init__(self) -> None:
        self.left = MAX_NODES

    def spend(self, node: Node, count: int = 1) -> None:
        self.left -= count
        if self.left < 0:
            raise YamlError(f"more than {MAX_NODES} values", node.line, node.column, "split it with include:")


def _build(events: Iterator[Any]) -> Node | None:
    root: Node | None = None
    stack: list[Node] = []
    anchors: dict[str, Node] = {}
    budget = _Budget()
    for event in events:
        if isinstance(event, yaml.CollectionEndEvent):
            _close(stack.pop(), budget)
            continue
        if isinstance(event, yaml.DocumentStartEvent) and root is not None:
            raise YamlError("a second document", *_mark(event), "keep one document to a file")
        if not isinstance(event, yaml.NodeEvent):
            continue
        node = _alias(event, anchors, stack) if isinstance(event, yaml.AliasEvent) else _node(event, anchors)
        budget.spend(node)
        if stack:
            stack[-1].items.append(node)
        else:
            root = node
        if isinstance(event, yaml.CollectionStartEvent):
            stack.append(node)
            if len(stack) > MAX_DEPTH:
                raise YamlError(f"nested deeper than {MAX_DEPTH} levels", node.line, node.column)
    return root


def _mark(event: Any) -> tuple[int, int]:
    return event.start_mark.line + 1, event.start_mark.column + 1


def _node(event: Any, anchors: dict[str, Node]) -> Node:
    line, column = _mark(event)
    if event.tag not in (None, "!", "tag:yaml.org,2002:str"):
        raise YamlError("tags (!…) are not allowed", line, column, "text that begins with ! needs quotes")
    if isinstance(event, yaml.ScalarEvent):
        text = _MASKED.sub("${\\1}", event.value)
        if bad := _UNUSABLE.search(text):
            raise YamlError(f"the character U+{ord(bad[0]):04X} is not allowed in text", line, column)
        node = Node("scalar", line, column, text=text, plain=event.tag is None and event.implicit[0])
    else:
        node = Node("list" if isinstance(event, yaml.SequenceStartEvent) else "mapping", line, column)
    if event.anchor is not None:
        anchors[event.anchor] = node
    return node


def _alias(event: Any, anchors: dict[str, Node], stack: list[Node]) -> Node:
    node = anchors.get(event.anchor)
    if node is None:
        hint = "text that begins with * needs quotes"
        raise YamlError("an alias (*…) that no anchor (&…) defines", *_mark(event), hint)
    if any(node is outer for outer in stack):
        raise YamlError("an anchor that contains itself", *_mark(event))
    return node


def _close(node: Node, budget: _Budget) -> None:
    """Check the keys of a mapping that is complete, and put in what `<<` merges: only what it has not itself."""
    if node.kind != "mapping":
        return
    first: dict[str, Node] = {}
    merged: list[Node] = []
    own: list[Node] = []
    for key, value in node.pairs():
        if key.kind != "scalar":
            hint = 'a template needs quotes: "{{ … }}"'
            raise YamlError("a key that is a list or a mapping", key.line, key.column, hint)
        if key.text in first:
            line = first[key.text].line
            raise YamlError(f"the key {key.text[:100]!r} repeats the one in line {line}", key.line, key.column)
        first[key.text] = key
        if key.plain and key.text == "<<":
            merged = value.items if value.kind == "list" else [value]
        else:
            own += (key, value)
    for source in merged:
        if source.kind != "mapping":
            raise YamlError("'<<' merges mappings only", source.line, source.column)
        budget.spend(source, len(source.items))
        for key, value in source.pairs():
            if key.text not in first:
                first[key.text] = key
                own += (key, value)
    node.items = own
