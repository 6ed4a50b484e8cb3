"""The key `checks` of a job or a sensor: what it says, and how it is read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from rules.checks import Check, CheckError, read_checks
from rules.templates import TemplateError, TextTemplate, compile_text

FILE = "{{ run.config.path }}"
FORMATS = {"csv": "csv", "tsv": "csv", "jsonl": "jsonl", "ndjson": "jsonl", "parquet": "parquet", "pq": "parquet"}
"""The end of a file's name, and the format that it stands for."""

_KEYS = ("file", "format", "separator", "timeout", "memory", "of")
_SIZE = re.compile(r"(\d+)\s*(MiB|GiB|MB|GB)")
_SIZES = {"MiB": 1 << 20, "GiB": 1 << 30, "MB": 10**6, "GB": 10**9}
_LEAST_MEMORY = 256 << 20  # Below, the library itself cannot begin.

SCHEMA: dict[str, Any] = {
    "anyOf": [
        {"type": "array", "minItems": 1, "items": {"type": "object"}},
        {
            "type": "object",
            "additionalProperties": False,
            "required": ["of"],
            "properties": {
                "file": {"type": "string", "default": FILE},
                "format": {"type": "string", "enum": ["csv", "jsonl", "parquet"]},
                "separator": {"type": "string", "minLength": 1, "maxLength": 1, "default": ","},
                "timeout": {"type": "string", "default": "5m"},
                "memory": {"type": "string", "default": "1GiB"},
                "of": {"type": "array", "minItems": 1, "items": {"type": "object"}},
            },
        },
    ],
}
"""JSON Schema of the key. What a check itself may be is said by `rules.checks`."""


class Checks(Struct, frozen=True, kw_only=True):
    """Which checks a file undergoes, and which file. `timeout` is seconds and `memory` bytes, of the process."""

    file: TextTemplate
    format: str | None
    separator: str | None
    timeout: float
    memory: int
    of: tuple[Check, ...]


def read_settings(value: Any) -> Checks:
    """`[checks…]`, or `{of: [checks…], file, format, separator, timeout, memory}`. CheckError: what is wrong, where."""
    settings = value if isinstance(value, dict) else {"of": value}
    for key in settings:
        if key not in _KEYS:
            raise CheckError(f"unknown key; it takes {', '.join(_KEYS)}", key)
    try:
        of = read_checks(settings.get("of"))
    except CheckError as error:
        place = ("of", *error.place) if isinstance(value, dict) else error.place
        raise CheckError(str(error), *place) from None
    return Checks(
        file=_file(settings.get("file", FILE)),
        format=_format(settings.get("format")),
        separator=_separator(settings.get("separator")),
        timeout=_timeout(settings.get("timeout", "5m")),
        memory=_memory(settings.get("memory", "1GiB")),
        of=of,
    )


def _file(value: Any) -> TextTemplate:
    try:
        if isinstance(value, str) and value:
            return compile_text(value)
    except TemplateError as error:
        raise CheckError(str(error), "file") from None
    raise CheckError(f'a template of the path of a file, e.g. "{FILE}"', "file")


def _format(value: Any) -> str | None:
    if value is not None and value not in FORMATS.values():
        raise CheckError("a format is one of csv, jsonl, parquet", "format")
    return None if value is None else str(value)


def _separator(value: Any) -> str | None:
    if value is not None and (not isinstance(value, str) or len(value.encode()) != 1):
        raise CheckError("one ASCII character", "separator")
    return value


def _timeout(value: Any) -> float:
    from notifiers.settings import parse_duration

    try:
        seconds = parse_duration(value)
    except ValueError as error:
        raise CheckError(str(error), "timeout") from None
    if not 1 <= seconds <= 86_400:  # noqa: PLR2004 - a day
        raise CheckError("from 1s to 1d", "timeout")
    return seconds


def _memory(value: Any) -> int:
    match = _SIZE.fullmatch(value) if isinstance(value, str) else None
    size = int(match[1]) * _SIZES[match[2]] if match else 0
    if not _LEAST_MEMORY <= size < 1 << 44:
        raise CheckError("a size of at least 256MiB: 512MiB, 2GiB", "memory")
    return size


def format_of(checks: Checks, path: str) -> tuple[str, str] | None:
    """The format of a file, as configured or as its name ends, and its separator. None: its name does not say."""
    end = path.rpartition(".")[2].lower()
    format_ = checks.format or FORMATS.get(end)
    return None if format_ is None else (format_, checks.separator or ("\t" if end == "tsv" else ","))


def checks_field(value: Any) -> Mapping[str, Any] | list[Any]:
    """The key's value as it is, once it was seen to be right. Errors stand at their own places."""
    from importlib.util import find_spec

    from sensord.config.fields import located

    try:
        read_settings(value)
    except CheckError as error:
        located("checks", iter([(error.place, str(error))]))
    if find_spec("polars") is None:
        raise ValueError("checks of files need polars: pip install 'sensord[checks]'")
    return value  # type: ignore[no-any-return]
