"""Which values of a document are secrets: fields that say so, files, and variables with names that say so."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, SecretStr

from sensord.config.file import Document
from sensord.config.problems import Loc
from sensord.config.sections import Config, database_secrets

_SENSITIVE = re.compile(r"pass(word|wd|phrase)?$|pwd|secret|token|api_?key|private_?key|credential|dsn", re.IGNORECASE)
_QUOTED = 6


class Secrets:
    """What of a document must not be shown. `fields` are the values of the fields that hold secrets."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self.fields: dict[Loc, Any] = dict(_secret_fields(Config, document.data, ()))

    def values(self) -> Iterator[str]:
        """Every text that must never be written out."""
        document = self._document
        yield from (value for value in self.fields.values() if isinstance(value, str))
        yield from database_secrets(document.data.get("database"))
        for loc, pieces in document.pieces.items():
            for piece in pieces:
                if piece.kind == "file" or self._in_secret(loc) or _SENSITIVE.search(piece.name):
                    yield piece.value

    def hides(self, loc: Loc) -> bool:
        """Whether the value there, or a part of it, must not be shown."""
        pieces = self._document.pieces.get(loc, ())
        return self._in_secret(loc) or loc[:1] == ("database",) or any(piece.kind == "file" for piece in pieces)

    def _in_secret(self, loc: Loc) -> bool:
        name = next((part for part in reversed(loc) if isinstance(part, str)), "")
        return bool(_SENSITIVE.search(name)) or any(loc[:end] in self.fields for end in range(1, len(loc) + 1))

    def covered(self, text: str, loc: Loc, value: Any) -> str:
        """A sentence about the value at `loc`, free of what `${…}` put in; another sentence if it quotes a secret."""
        if not isinstance(value, str) or not value:
            return text
        if self.hides(loc) and loc != ("database",):  # Its check quotes nothing.
            value = value.rpartition("://")[2] or value  # Saying "http://" gives nothing away.
            length = min(_QUOTED, len(value))
            parts = (value[start : start + length] for start in range(len(value) - length + 1))
            return "not what fits here; it is not shown" if any(part in text for part in parts) else text
        written = self._document.written.get(loc)
        return text if written is None else text.replace(repr(value), repr(written)).replace(value, written)


def _secret_fields(annotation: Any, value: Any, loc: Loc) -> Iterator[tuple[Loc, Any]]:
    """Follow the data along the models' annotations to every field that is a secret."""
    for arm in _arms(annotation):
        if arm is SecretStr or (isinstance(value, str) and getattr(arm, "SECRET_AS_TEXT", False)):
            yield loc, value
        for key, below in _below(arm, value):
            yield from _secret_fields(below, value[key], (*loc, key))


def known_keys(annotation: Any, data: Any, loc: Loc) -> set[str]:
    """The keys that the models know in the mapping at `loc` of `data`; none where any key is allowed."""
    known: set[str] = set()
    for arm in _arms(annotation):
        if not loc and _is_model(arm) and isinstance(data, Mapping):
            known |= {name for name, _ in _fields(arm, data)}
        for key, below in _below(arm, data):
            if loc and key == loc[0]:
                known |= known_keys(below, data[key], loc[1:])
    return known


def _arms(annotation: Any) -> Iterator[Any]:
    """`Annotated[X | None, …]` → X, None."""
    if get_origin(annotation) is Annotated:
        yield from _arms(get_args(annotation)[0])
    elif get_origin(annotation) in (Union, UnionType):
        for argument in get_args(annotation):
            yield from _arms(argument)
    else:
        yield annotation


def _below(annotation: Any, data: Any) -> Iterator[tuple[str | int, Any]]:
    """What the data holds one level below, with the annotation of each."""
    if isinstance(data, Mapping):
        if _is_model(annotation):
            yield from ((name, below) for name, below in _fields(annotation, data) if name in data)
        elif get_origin(annotation) is dict:
            yield from ((name, get_args(annotation)[1]) for name in data)
    elif isinstance(data, list) and get_origin(annotation) is list:
        yield from ((index, get_args(annotation)[0]) for index in range(len(data)))


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _fields(model: Any, data: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    if own := getattr(model, "written_fields", None):
        return iter(own(data))
    return ((name, field.annotation) for name, field in model.model_fields.items())
