"""Reads `sensord.yaml` and what it includes into one mapping that remembers where every part of it was written."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from sensord.config.problems import Loc, Place, Problem, problem
from sensord.config.yaml import MAX_BYTES, MAX_DEPTH, Node, YamlError, parse

MAX_VALUES = 200_000
MAX_FILES = 1_000
MAX_PUT_IN = 16 << 20
_TOKEN = re.compile(r"\$\$\{|\$\{([^{}]*)\}|\$\{")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True)
class Piece:
    """What one `${…}` put into a value: from the environment (`env`) or from a `file`."""

    kind: Literal["env", "file"]
    name: str
    value: str = field(repr=False)


@dataclass(slots=True)
class Document:
    """The merged files. `places` is where each value stands, `keys` where the key before it does.

    `written` is how a value that holds `${…}` looks in the file, `pieces` what was put in. `folders` is the
    folder of each file by the name that places use. `problems` were found while reading; `broken` says that a
    file could not be read at all, so that what is absent from `data` says nothing. `environment` is the name of the
    one that was put over it, if any, and `launches` whether anything is launched there.
    """

    file: str
    data: dict[str, Any] = field(default_factory=dict, repr=False)
    places: dict[Loc, Place] = field(default_factory=dict, repr=False)
    keys: dict[Loc, Place] = field(default_factory=dict, repr=False)
    written: dict[Loc, str] = field(default_factory=dict, repr=False)
    pieces: dict[Loc, tuple[Piece, ...]] = field(default_factory=dict, repr=False)
    folders: dict[str, Path] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    unread: set[Loc] = field(default_factory=set)
    broken: bool = False
    environment: str = ""
    launches: bool = True

    def place(self, loc: Loc, *, key: bool = False) -> Place:
        """Where `loc` was written (`key`: its key); of something absent, the nearest thing around it."""
        if key and loc in self.keys:
            return self.keys[loc]
        while loc and loc not in self.places:
            loc = loc[:-1]
            if loc in self.keys:
                return self.keys[loc]
        return self.places.get(loc, Place(self.file))

    def folder(self, loc: Loc) -> Path:
        """The folder of the file that holds `loc`, absolute: what relative paths start from."""
        return self.folders[self.place(loc).file]


def read(path: Path, environ: Mapping[str, str]) -> Document:
    """Read `path`, which must exist, and everything it includes. Never raises for what the files hold.

    Sections are merged: mappings by name, lists one after the other. What is defined twice is a problem that
    names both places. A file that several globs name is read once; one that includes itself is a problem.
    """
    reader = _Reader(Document(str(path)), environ)
    reader.read(path, (), Place(str(path)))
    reader.document.places.setdefault((), Place(str(path)))
    return reader.document


class _Reader:
    def __init__(self, document: Document, environ: Mapping[str, str]) -> None:
        self.document = document
        self._environ = environ
        self._seen: set[str] = set()
        self._values = 0
        self._put_in = 0

    def read(self, path: Path, within: tuple[str, ...], named: Place) -> None:
        real, shown = os.path.realpath(path), str(path)
        if real in within:
            self._add(named, (), f"{shown} includes itself", hint="narrow the pattern so that it leaves this file out")
            return
        if real in self._seen:
            return
        self._seen.add(real)
        self.document.folders[shown] = Path(os.path.abspath(path)).parent  # noqa: PTH100 (keeps symlinks as they are)
        if len(self._seen) > MAX_FILES:
            self.document.broken = True
            if len(self._seen) == MAX_FILES + 1:
                self._add(named, (), f"more than {MAX_FILES} files")
            return
        try:
            raw = _contents(path)
        except YamlError as error:
            self._add(named, (), error.found, hint=error.hint)
            self.document.broken = True
            return
        try:
            root = parse(raw)
            if root is not None and not (root.kind == "scalar" and root.scalar() is None):
                self._merge(root, shown, (*within, real))
        except YamlError as error:
            self._add(Place(shown, error.line, error.column), (), error.found, hint=error.hint)
            self.document.broken = True

    def _merge(self, root: Node, file: str, within: tuple[str, ...]) -> None:
        if root.kind != "mapping":
            raise YamlError("the file must be a mapping of sections", root.line, root.column, "e.g. 'jobs:'")
        include: Node | None = None
        for key, value in root.pairs():
            if key.text == "include":
                include = value
            else:
                self._section(key, value, file)
        if include is not None:
            self._include(include, file, within)

    def _section(self, key: Node, value: Node, file: str) -> None:
        data, name, loc = self.document.data, key.text, (key.text,)
        old = data.get(name)
        if old is None or value.kind == "scalar":
            if old is not None and value.scalar() is not None:
                self._twice(loc, key, file)
            elif old is None:
                self.document.keys[loc] = Place(file, key.line, key.column)
                data[name] = self._value(value, loc, file)
        elif value.kind == "list" and isinstance(old, list):
            for item in value.items:
                old.append(self._value(item, (name, len(old)), file))
        elif value.kind == "mapping" and isinstance(old, dict):
            for inner, item in value.pairs():
                if inner.text in old:
                    self._twice((name, inner.text), inner, file)
                else:
                    self.document.keys[name, inner.text] = Place(file, inner.line, inner.column)
                    old[inner.text] = self._value(item, (name, inner.text), file)
        else:
            self._twice(loc, key, file)

    def _twice(self, loc: Loc, key: Node, file: str) -> None:
        first = self.document.place(loc, key=True)
        self._add(Place(file, key.line, key.column), loc, f"defined twice, first at {first}", hint="keep one of them")

    def _value(self, node: Node, loc: Loc, file: str) -> Any:
        place = self.document.places[loc] = Place(file, node.line, node.column)
        self._values += 1
        if self._values > MAX_VALUES or len(loc) > MAX_DEPTH:
            what = f"more than {MAX_VALUES} values" if self._values > MAX_VALUES else f"nested deeper than {MAX_DEPTH}"
            raise YamlError(f"{what} once its aliases are replaced", node.line, node.column)
        if node.kind == "list":
            return [self._value(item, (*loc, index), file) for index, item in enumerate(node.items)]
        if node.kind == "mapping":
            result = {}
            for key, item in node.pairs():
                self.document.keys[*loc, key.text] = Place(file, key.line, key.column)
                result[key.text] = self._value(item, (*loc, key.text), file)
            return result
        value = node.scalar()
        return self._interpolated(value, loc, place) if isinstance(value, str) and "${" in value else value

    def _interpolated(self, text: str, loc: Loc, place: Place) -> str:
        pieces: list[Piece] = []

        def put(match: re.Match[str]) -> str:
            if match[0] == "$${":
                return "${"
            try:
                pieces.append(self._piece(match[1], place))
            except YamlError as error:
                self._add(place, loc, error.found, hint=error.hint)
                self.document.unread.add(loc)
                return ""
            return pieces[-1].value

        value = _TOKEN.sub(put, text)
        self._put_in += len(value)
        if self._put_in > MAX_PUT_IN:
            raise YamlError(f"${{…}} put in more than {MAX_PUT_IN >> 20} MiB", place.line, place.column)
        if pieces:
            self.document.written[loc] = text
            self.document.pieces[loc] = tuple(pieces)
        return value

    def _piece(self, inside: str | None, place: Place) -> Piece:
        literal = "write $${ for a literal ${"
        if inside is None:
            raise YamlError("a ${ that no } closes", hint=f"{literal}, and quote text with spaces")
        if inside.startswith("file:"):
            path = self.document.folders[place.file] / inside[5:]
            try:
                text = _contents(path).decode()
            except UnicodeDecodeError:
                raise YamlError(f"the file {path} is not UTF-8") from None
            if "\0" in text:
                raise YamlError(f"the file {path} holds a NUL character")
            return Piece("file", inside, text.removesuffix("\n").removesuffix("\r"))
        if not _NAME.fullmatch(inside):
            raise YamlError("${…} takes NAME of an environment variable or file:PATH", hint=literal)
        value = self._environ.get(inside)
        if value is None:
            raise YamlError(f"the environment variable {inside} is not set", hint=f"set it; {literal}")
        if re.search("[\0\ud800-\udfff]", value):
            raise YamlError(f"the environment variable {inside} is not UTF-8 text")
        return Piece("env", inside, value)

    def _include(self, node: Node, file: str, within: tuple[str, ...]) -> None:
        for index, item in enumerate(node.items if node.kind == "list" else [node]):
            loc: Loc = ("include", index)
            pattern = self._value(item, loc, file)
            place = Place(file, item.line, item.column)
            if not isinstance(pattern, str) or not pattern:
                self._add(place, loc, "not a path", hint="e.g. include: [conf.d/*.yaml]")
                continue
            folder = Path(file).parent
            magic = glob.has_magic(pattern)
            # Path.glob refuses absolute patterns.
            names = sorted(glob.glob(pattern, root_dir=folder, recursive=True)) if magic else [pattern]  # noqa: PTH207
            for path in (folder / name for name in names):
                if not (magic and _is_folder(path)):
                    self.read(path, within, place)

    def _add(self, place: Place, loc: Loc, found: str, *, hint: str = "") -> None:
        self.document.problems.append(problem(place, loc, found, hint=hint))


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:
        return False  # Reading it says why.


def _contents(path: Path) -> bytes:
    # Opening a pipe or a device could block for ever, so the kind comes first.
    try:
        if not path.exists():
            raise YamlError(f"there is no file {path}", hint="paths are relative to the file that names them")
        if not path.is_file():
            raise YamlError(f"{path} is not a regular file")
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        raise YamlError(f"{path} cannot be read: {getattr(error, 'strerror', None) or 'not a path'}") from None
    if len(raw) > MAX_BYTES:
        raise YamlError(f"{path} is larger than {MAX_BYTES >> 20} MiB", hint="split it with include:")
    return raw
