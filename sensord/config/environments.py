"""`environments:`: the same file with some of it replaced, chosen by name, so that a test contour shares its rules.

What stands below an environment is put over the file: mappings are merged key by key, anything else is replaced, and
null takes a key away. A job or sensor that names another launcher or source loses what belonged to its own. It keeps
to itself: another state folder, another database and any free port, unless it says which.
"""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Any

from sensord.config.fields import Name, check_destination
from sensord.config.file import Document
from sensord.config.parts import LAUNCHERS, SOURCES
from sensord.config.problems import Loc, did_you_mean, dotted, problem

_SECTION = "environments"
_OWN = ("destinations", "launch")
_NOT_OVER = ("include", _SECTION)
_KINDS = {"jobs": LAUNCHERS, "sensors": SOURCES}


def choose(document: Document, name: str | None) -> Document:
    """The document as it is in that environment; without a name, as it stands. What is wrong is among its problems."""
    written = document.data.pop(_SECTION, None)
    _forget_unread(document, name)
    if written is not None and not (
        isinstance(written, dict) and all(isinstance(one, dict | None) for one in written.values())
    ):
        _wrong(document, (_SECTION,), "not a mapping of environments", hint="write the name of one, and below it keys")
    elif name is not None and not document.broken:
        environments = written or {}
        if name not in environments:
            hint = did_you_mean(name, environments, "environments")
            _wrong(document, (_SECTION,), f"there is no environment {name[:100]!r}", hint=hint)
        else:
            _Over(document, name).put(environments[name] or {})
    return document


def names(document: Document) -> list[str]:
    """The environments that a document has."""
    written = document.data.get(_SECTION)
    return [name for name, one in written.items() if isinstance(one, dict | None)] if isinstance(written, dict) else []


def json_schema(root: dict[str, Any]) -> dict[str, Any]:
    """The JSON Schema of the section: an environment's keys are those of the file, none of them whole."""
    sections = {name: value for name, value in root.items() if name not in _NOT_OVER}
    partly = {"anyOf": [{"type": "object"}, {"type": "null"}]}
    keys = {name: partly if _is_mapping(value) else value for name, value in sections.items()}
    keys["destinations"] = {
        "type": "object",
        "additionalProperties": {"type": "string"},
        "description": "destinations by pattern, e.g. telegram:*, and what takes their place",
    }
    keys["launch"] = {"type": "boolean", "description": "false: nothing is launched, and runs succeed at once"}
    one = {"anyOf": [{"type": "object", "properties": keys, "additionalProperties": False}, {"type": "null"}]}
    return {
        "description": "what is otherwise where it is chosen by --env or $SENSORD_ENV: a test contour",
        "anyOf": [{"type": "object", "additionalProperties": one}, {"type": "null"}],
    }


def _is_mapping(section: dict[str, Any]) -> bool:
    scalars = ("string", "boolean", "integer", "array")
    arms = section.get("anyOf", [section])
    return not any(arm.get("type") in scalars or "enum" in arm or "const" in arm for arm in arms)


def _wrong(document: Document, loc: Loc, found: str, *, hint: str = "") -> None:
    document.problems.append(problem(document.place(loc), loc, found, hint=hint))


def _forget_unread(document: Document, name: str | None) -> None:
    """A variable that only another environment needs may be missing."""
    others = {loc for loc in document.unread if loc[0] == _SECTION and loc[1:2] != (name,)}
    hidden = {dotted(loc) for loc in others}
    document.problems[:] = [one for one in document.problems if one.key not in hidden]
    document.unread -= others


class _Over:
    """Puts one environment over the document."""

    def __init__(self, document: Document, name: str) -> None:
        self._document = document
        self._name = name
        self._root: Loc = (_SECTION, name)

    def put(self, written: dict[str, Any]) -> None:
        """All of it."""
        document = self._document
        try:
            check_name(self._name)
        except ValueError as error:
            _wrong(document, self._root, str(error))
        for key in _NOT_OVER:
            if key in written:
                _wrong(document, (*self._root, key), f"an environment has no {key}", hint="write it at the file's top")
        document.environment = self._name
        over = {key: value for key, value in written.items() if key not in (*_OWN, *_NOT_OVER)}
        self._merge(document.data, over, ())
        self._alone(over)
        self._launch(written.get("launch", True))
        self._destinations(written.get("destinations") or {})

    def _alone(self, written: dict[str, Any]) -> None:
        """What no two daemons may share, where the environment does not say it."""
        data = self._document.data
        if written.get("database") is None:
            self._clear(("database",))
            data["database"] = f"sqlite:///sensord-{self._name}.db"
        if written.get("state") is None:
            before = data.get("state")
            data["state"] = f"{before if isinstance(before, str) else '.sensord'}-{self._name}"
        http = written.get("http")
        said = isinstance(http, dict) and http.get("port") is not None
        if not said and isinstance(merged := data.get("http") or {}, dict):
            data["http"] = {**merged, "port": 0}
            self._clear(("http", "port"))

    def _merge(self, data: dict[str, Any], over: dict[str, Any], loc: Loc) -> None:
        if len(loc) == 2 and loc[0] in _KINDS:  # noqa: PLR2004 - a job, or a sensor
            self._without_other_kind(data, over, loc)
        for key, value in over.items():
            below: Loc = (*loc, key)
            held = data.get(key)
            if isinstance(value, dict) and isinstance(held, dict):
                self._put_place(below)
                self._merge(held, value, below)
            else:
                self._clear(below)
                data.pop(key, None)
                if value is not None:
                    data[key] = value
                    self._move(below)

    def _without_other_kind(self, data: dict[str, Any], over: dict[str, Any], loc: Loc) -> None:
        models = dict(_KINDS[str(loc[0])])
        named = [kind for kind in models if kind in over]
        if not named or any(kind in data for kind in named):
            return
        fields = {field for kind in models if kind in data and loc[0] == "jobs" for field in models[kind].model_fields}
        for key in {*models, *fields} & set(data):
            del data[key]
            self._clear((*loc, key))

    def _clear(self, loc: Loc) -> None:
        """Forget where what is replaced stood, and what was wrong with it."""
        document, length = self._document, len(loc)
        kept: tuple[dict[Loc, Any], ...] = (document.places, document.keys, document.written, document.pieces)
        for known in kept:
            for at in [at for at in known if at[:length] == loc]:
                del known[at]
        gone = {at for at in document.unread if at[:length] == loc}
        hidden = {dotted(at) for at in gone}
        document.problems[:] = [one for one in document.problems if one.key not in hidden]
        document.unread -= gone

    def _move(self, loc: Loc) -> None:
        """What stands below the environment stands at `loc` now."""
        document, start = self._document, len(self._root)
        of: Loc = (*self._root, *loc)
        tables: tuple[dict[Loc, Any], ...] = (document.places, document.keys, document.written, document.pieces)
        for known in tables:
            for at in [at for at in known if at[: len(of)] == of]:
                known[at[start:]] = known[at]
        document.unread |= {at[start:] for at in document.unread if at[: len(of)] == of}

    def _put_place(self, loc: Loc) -> None:
        """A key that is in both stands where the file has it first; one of the environment's alone where that is."""
        of: Loc = (*self._root, *loc)
        if loc not in self._document.keys and of in self._document.keys:
            self._document.keys[loc] = self._document.keys[of]

    def _launch(self, launch: Any) -> None:
        if isinstance(launch, bool):
            self._document.launches = launch
        else:
            _wrong(self._document, (*self._root, "launch"), "not true or false", hint="false: nothing is launched")

    def _destinations(self, written: Any) -> None:
        loc: Loc = (*self._root, "destinations")
        if not isinstance(written, dict):
            _wrong(self._document, loc, "not a mapping", hint='e.g. destinations: {"telegram:*": "inbox:"}')
            return
        right: dict[str, str] = {}
        for pattern, to in written.items():
            try:
                right[pattern] = check_destination(to if isinstance(to, str) else "")
            except ValueError as error:
                at = (*loc, pattern)
                hidden = at in self._document.written  # What `${…}` put in is not shown.
                _wrong(self._document, at, "no destination" if hidden else str(error), hint="e.g. inbox: or console:")
        for holder, key, at in list(self._places()):
            pattern = next((one for one in right if fnmatchcase(str(holder[key]), one)), None)
            if pattern is not None:
                self._clear(at)
                holder[key] = right[pattern]
                self._document.places[at] = self._document.place((*loc, pattern))
        self._quiet(right)

    def _places(self) -> Iterator[tuple[dict[str, Any], str, Loc]]:
        """Whatever holds a destination, under which key, and where that stands."""
        data = self._document.data
        if isinstance(data.get("owner"), str):
            yield data, "owner", ("owner",)
        subscriptions = data.get("subscriptions")
        for index, one in enumerate(subscriptions if isinstance(subscriptions, list) else []):
            if isinstance(one, dict) and isinstance(one.get("to"), str):
                yield one, "to", ("subscriptions", index, "to")

    def _quiet(self, right: dict[str, str]) -> None:
        """Quiet hours of a destination that is replaced are of nobody; a contour tells at once."""
        quiet = self._document.data.get("quiet")
        if isinstance(quiet, dict):
            for destination in [one for one in quiet if any(fnmatchcase(one, pattern) for pattern in right)]:
                del quiet[destination]


def check_name(name: str) -> str:
    """Pass what may be the name of an environment: it becomes part of a folder's."""
    from pydantic import TypeAdapter, ValidationError

    try:
        return str(TypeAdapter(Name).validate_python(name))
    except ValidationError as error:
        raise ValueError(str(error.errors()[0]["ctx"]["error"])) from None
