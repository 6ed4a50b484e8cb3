"""Pydantic's errors → problems that name the place in the file and speak of the file's keys."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from sensord.config.file import Document
from sensord.config.parts import LAUNCHERS, SOURCES
from sensord.config.problems import Loc, Problem, did_you_mean, nearest, problem
from sensord.config.secrets import Secrets, known_keys
from sensord.config.sections import Config

_EXPECTED = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_parsing_size": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "model_type": "a mapping",
    "dict_type": "a mapping",
    "list_type": "a list",
    "path_type": "a path",
}
_BOUNDS = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}


def translated(error: ValidationError, document: Document, secrets: Secrets) -> list[Problem]:
    """One problem for each thing that is wrong; what follows from something unreadable is left out."""
    alternatives: dict[Loc, list[str]] = {}
    problems: list[Problem] = []
    lines = [(_written(line["loc"], line["type"], document.data), line) for line in error.errors(include_url=False)]
    for loc, line in lines:
        if any(loc[:end] in document.unread for end in range(len(loc) + 1)):
            continue
        if line["type"] == "no_part" and _misspelt(loc, lines, document):
            continue
        if line["type"] in _EXPECTED:
            alternatives.setdefault(loc, []).append(_EXPECTED[line["type"]])
        else:
            problems.append(_problem(loc, line, document, secrets))
    problems += (_wrong_type(loc, expected, document, secrets) for loc, expected in alternatives.items())
    return problems


def _written(loc: tuple[int | str, ...], kind: str, data: Any) -> Loc:
    """The keys of the file that lead there: without what pydantic adds for its unions and our part models."""
    path: list[str | int] = []
    for index, part in enumerate(loc):
        if index == 2 and path[0] == "jobs" and part == "launcher" and not _holds(data, part):  # noqa: PLR2004
            continue
        if index == 2 and path[0] == "sensors" and part == "source" and not _holds(data, part):  # noqa: PLR2004
            found = [kind for kind, _ in SOURCES if _holds(data, kind)]
            if len(found) == 1:
                path.append(found[0])
                data = data[found[0]]
        elif _holds(data, part):
            path.append(part)
            data = data[part]
        elif kind == "missing" and index == len(loc) - 1:
            path.append(part)
    return tuple(path)


def _holds(data: Any, part: str | int) -> bool:
    if isinstance(data, dict):
        return part in data
    return isinstance(data, list) and isinstance(part, int) and part < len(data)


def _misspelt(loc: Loc, lines: list[tuple[Loc, Any]], document: Document) -> bool:
    """Whether a key beside it was probably meant to be the launcher or source that is missing."""
    kinds = [kind for kind, _ in (LAUNCHERS if loc[0] == "jobs" else SOURCES)]
    return any(
        line["type"] == "extra_forbidden"
        and other[:-1] == loc
        and nearest(str(other[-1]), _keys(document, loc)) in kinds
        for other, line in lines
    )


def _keys(document: Document, loc: Loc) -> set[str]:
    keys = known_keys(Config, document.data, loc)
    return keys | {"include", "environments"} if not loc else keys


def _problem(loc: Loc, line: Any, document: Document, secrets: Secrets) -> Problem:
    kind, context = line["type"], line.get("ctx", {})
    value = _value(document.data, loc)
    if kind == "extra_forbidden":
        hint = did_you_mean(str(loc[-1]), _keys(document, loc[:-1]), "known keys")
        return problem(document.place(loc, key=True), loc, "unknown key", hint=hint)
    if kind == "missing":
        return problem(document.place(loc[:-1], key=True), loc, "missing", hint="it must be given")
    if kind == "no_part" or line["loc"][-1:] == ("[key]",):
        return problem(document.place(loc, key=True), loc, _message(line))
    if kind in ("literal_error", "too_short", "string_too_short") or set(_BOUNDS) & set(context):
        expected = context.get("expected") or "at least one" if kind == "literal_error" else _bound(kind, context)
        return _expected(loc, str(expected), document, secrets)
    return problem(document.place(loc), loc, secrets.covered(_message(line), loc, value))


def _bound(kind: str, context: dict[str, Any]) -> str:
    if kind == "too_short":
        return f"at least {context['min_length']} element" + ("s" if context["min_length"] > 1 else "")
    if kind == "string_too_short":
        return "text that is not empty"
    name = next(name for name in _BOUNDS if name in context)
    return f"{_BOUNDS[name]} {context[name]:,}"


def _message(line: Any) -> str:
    error = line.get("ctx", {}).get("error")
    text = str(error) if error is not None else str(line["msg"])
    return text[:1].lower() + text[1:] if error is None else text


def _wrong_type(loc: Loc, expected: list[str], document: Document, secrets: Secrets) -> Problem:
    return _expected(loc, " or ".join(dict.fromkeys(expected)), document, secrets)


def _expected(loc: Loc, expected: str, document: Document, secrets: Secrets) -> Problem:
    value = _value(document.data, loc)
    quotes = "text" in expected and isinstance(value, bool | int | float)
    return problem(
        document.place(loc),
        loc,
        _found(value, loc, document, secrets, whole="mapping" in expected),
        expected=expected,
        hint="put it in quotes" if quotes else "",
    )


def _value(data: Any, loc: Loc) -> Any:
    for part in loc:
        if not _holds(data, part):
            return None
        data = data[part]
    return data


def _found(value: Any, loc: Loc, document: Document, secrets: Secrets, *, whole: bool) -> str:
    """What stands there, in words where it may not be shown; `whole`: in place of a section, which may hold secrets."""
    if value is None:
        return "nothing"
    if isinstance(value, dict | list):
        return "a mapping" if isinstance(value, dict) else "a list"
    if loc in document.written:
        return f"the value of {document.written[loc]!r}"
    if whole or secrets.hides(loc):
        kind = "text" if isinstance(value, str) else "true or false" if isinstance(value, bool) else "a number"
        return kind if whole else f"{kind} (not shown)"
    if isinstance(value, bool):
        return str(value).lower()
    shown = repr(value)
    return shown if len(shown) <= 60 else f"{shown[:60]}…"  # noqa: PLR2004 (what fits on a line)
