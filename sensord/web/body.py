"""Request bodies: JSON only, bounded before they are read, and nothing in them that readers take differently.

That is: duplicate keys, NaN, numbers beyond 64 bits, lone surrogates, great depth.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Collection, Mapping
from typing import Any

import orjson
from aiohttp import hdrs, web

from sensord.web.problems import Problem, shown

MAX_BODY = 1 << 20
MAX_DEPTH = 64
JSON_TYPES = frozenset({"application/json"})
_SECONDS = 30.0
_GREATEST = 2**63


async def read_json(request: web.Request, types: Collection[str] = JSON_TYPES) -> Any:
    """The request's body as a value; Problem says what is wrong with it."""
    check_type(request, types)
    return parse_json(await read_body(request))


async def read_object(request: web.Request, known: Collection[str]) -> dict[str, Any]:
    """The body as an object with no other keys than these. No body is an object without keys."""
    if not request.body_exists:
        return {}
    check_type(request, JSON_TYPES)
    raw = await read_body(request)
    value = parse_json(raw) if raw else {}
    if not isinstance(value, dict):
        raise Problem(400, f"the body is {kind(value)}; send a JSON object")
    for name in value:
        if name not in known:
            raise Problem(400, f"{shown(name)} is no key of this request; it may have {', '.join(sorted(known))}")
    return value


def check_type(request: web.Request, types: Collection[str]) -> None:
    """Pass a body that is declared to be JSON and comes as it is; Problem 415 otherwise."""
    if request.headers.get(hdrs.CONTENT_ENCODING, "identity").strip().lower() != "identity":
        raise Problem(415, "compressed bodies are not taken; send it without Content-Encoding")
    if request.content_type not in types or request.charset not in (None, "utf-8", "UTF-8"):
        raise Problem(415, f"send the body as {' or '.join(sorted(types))}, in UTF-8, with that Content-Type")


async def read_body(request: web.Request) -> bytes:
    """The body, at most 1 MiB of it: more is refused before it is read, or as soon as it has come to that much."""
    if (request.content_length or 0) > MAX_BODY:
        raise too_large()
    if request.headers.get(hdrs.EXPECT, "").lower() == "100-continue":
        assert request.transport is not None  # noqa: S101 - the request is being handled
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    if request.content.is_eof():
        return request.content.read_nowait()
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(_SECONDS):
            while chunk := await request.content.readany():
                size += len(chunk)
                if size > MAX_BODY:
                    raise too_large()
                parts.append(chunk)
    except TimeoutError:
        raise Problem(408, f"the body did not come within {_SECONDS:.0f} s; send it again") from None
    except web.RequestPayloadError:
        raise Problem(400, "the body ended early, or its chunks are malformed; send it again") from None
    return b"".join(parts)


def too_large() -> Problem:
    """The answer to a body that is too long."""
    return Problem(413, "the body is longer than 1 MiB; send less, e.g. a link to the data instead of the data")


def parse_json(raw: bytes) -> Any:
    """Bytes as a JSON value of which every reader understands the same; Problem 400 says what is wrong."""
    try:
        value = orjson.loads(raw)  # The stricter about UTF-8, surrogates and NaN.
        if _is_plain(value, raw):
            return value
        value = _STRICT.decode(raw.decode())
    except orjson.JSONDecodeError as error:
        raise Problem(400, f"the body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}") from None
    except (ValueError, RecursionError) as error:
        reason = f"it is nested deeper than {MAX_DEPTH}" if isinstance(error, RecursionError) else str(error)
        raise Problem(400, f"the body is not taken: {reason}") from None
    _check_depth(value)
    return value


def _is_plain(value: Any, raw: bytes) -> bool:
    """Whether it is certain at a glance that every reader takes these bytes for this value. Most are.

    Without an escape each colon of the bytes stands in a text that is in the value, or behind a key: as many here as
    there say that no key came twice. A whole number that orjson makes a float of is beyond 64 bits.
    """
    if b"\\u" in raw:
        return False
    colons = 0
    level = [value]
    for _ in range(MAX_DEPTH):
        below: list[Any] = []
        for one in level:
            kind_ = type(one)
            if kind_ is str:
                colons += one.count(":")
            elif kind_ is dict:
                if one:
                    colons += ":".join(one).count(":") + 1
                    below += one.values()
            elif kind_ is list:
                below += one
            elif (kind_ is int or kind_ is float) and not -_GREATEST < one < _GREATEST:
                return False
        if not below:
            return colons == raw.count(b":")
        level = below
    return False


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise ValueError(f"an object has the key {shown(twice)} twice; keep one of them")
    return value


def _integer(text: str) -> int:
    if len(text) > len(str(_GREATEST)) + 1 or not -_GREATEST <= (value := int(text)) < _GREATEST:
        raise ValueError(f"the number {shown(text, 24)} has more than 64 bits; send it as a string")
    return value


def _number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"the number {shown(text, 24)} is too large; send it as a string")
    return value


_STRICT = json.JSONDecoder(object_pairs_hook=_object, parse_int=_integer, parse_float=_number)


def _check_depth(value: Any) -> None:
    level = [value] if isinstance(value, dict | list) else []
    depth = 0
    while level:
        depth += 1
        if depth > MAX_DEPTH:
            raise Problem(400, f"the body is nested deeper than {MAX_DEPTH}; flatten it")
        inner = (item for one in level for item in (one.values() if isinstance(one, dict) else one))
        level = [item for item in inner if isinstance(item, dict | list)]


def kind(value: Any) -> str:
    """What a JSON value is, in words."""
    names = {dict: "an object", list: "a list", str: "text", bool: "true or false", int: "a number", float: "a number"}
    return "null" if value is None else names[type(value)]


def text_of(body: Mapping[str, Any], name: str, *, limit: int = 4096, empty: bool = False) -> str | None:
    """A text of the body, None where it is absent or null; Problem 400 where it is none that can be kept."""
    value = body.get(name)
    if value is None:
        return None
    if not isinstance(value, str):
        raise Problem(400, f"{name} is {kind(value)}; send text")
    if value and len(value) <= limit and value.isascii() and "\0" not in value:
        return value  # As nearly every one is.
    return checked_text(name, value, limit=limit, empty=empty)


def checked_text(name: str, value: str, *, limit: int = 4096, empty: bool = False) -> str:
    """Text that every database can keep: no NUL, no lone surrogate, no more than `limit` characters."""
    if not value and not empty:
        raise Problem(400, f"{name} is empty; leave it out or give it a value")
    if len(value) > limit:
        raise Problem(400, f"{name} has {len(value)} characters; at most {limit} are taken")
    if "\0" in value or not _encodable(value):
        raise Problem(400, f"{name} holds a NUL or half a character, which cannot be kept; leave it out")
    return value


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def object_of(body: Mapping[str, Any], name: str) -> dict[str, Any]:
    """An object of the body, empty where it is absent."""
    value = body.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise Problem(400, f"{name} is {kind(value)}; send an object")
    return value


def integer_of(body: Mapping[str, Any], name: str, low: int, high: int) -> int | None:
    """A whole number of the body within bounds, None where it is absent."""
    value = body.get(name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise Problem(400, f"{name} must be a whole number from {low} to {high}")
    return value
