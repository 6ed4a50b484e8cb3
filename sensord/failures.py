"""What was raised, as an event shows it. Standard library only: people's own programs load this."""

from __future__ import annotations

import contextlib
from typing import Any

_CHARACTERS = 2000


def facts_of(error: BaseException | str | None) -> dict[str, Any]:
    """`error`, and where it was raised from another one `cause`, the first of the chain: class and message each."""
    if error is None:
        return {}
    if isinstance(error, str):
        return {"error": {"class": None, "message": error[:_CHARACTERS]}}
    root, seen = error, {id(error)}
    while (before := root.__cause__ or (None if root.__suppress_context__ else root.__context__)) is not None:
        if id(before) in seen:
            break
        root = before
        seen.add(id(root))
    facts = {"error": _said(error)}
    return facts if root is error else facts | {"cause": _said(root)}


def in_words(facts: dict[str, Any]) -> str:
    """`: OSError: no map (from KeyError: 'map')`, or nothing where nothing was raised."""
    error, cause = facts.get("error"), facts.get("cause")
    if error is None:
        return ""
    text = f": {_line(error)}"
    return text if cause is None else f"{text} (from {_line(cause)})"


def _said(error: BaseException) -> dict[str, Any]:
    message = "its message cannot be read"
    with contextlib.suppress(Exception):  # Of somebody's own class, whose __str__ may fail.
        message = str(error)
    return {"class": type(error).__name__, "message": message[:_CHARACTERS]}


def _line(error: dict[str, Any]) -> str:
    return ": ".join(part for part in (error["class"], error["message"]) if part)
