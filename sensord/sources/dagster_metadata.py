"""Metadata of Dagster's materialisations as plain values, and not too many of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import orjson

from rules.event import rfc3339

LONGEST = 10_000
"""Characters of one value: longer text is cut, longer JSON left out."""
TOGETHER = 100_000
"""Characters of all entries: what comes after so many is left out."""

ENTRIES = """metadataEntries {
  __typename label
  ... on TextMetadataEntry { text }
  ... on UrlMetadataEntry { url }
  ... on PathMetadataEntry { path }
  ... on NotebookMetadataEntry { path }
  ... on MarkdownMetadataEntry { mdStr }
  ... on JsonMetadataEntry { jsonString }
  ... on IntMetadataEntry { intRepr }
  ... on FloatMetadataEntry { floatValue }
  ... on BoolMetadataEntry { boolValue }
  ... on TimestampMetadataEntry { timestamp }
  ... on AssetMetadataEntry { assetKey { path } }
  ... on PipelineRunMetadataEntry { runId }
  ... on JobMetadataEntry { jobName }
}"""
"""What is asked of each entry; tables and their like have no plain value."""

_Read = Callable[[Mapping[str, Any]], Any]


def _text(field: str) -> _Read:
    return lambda entry: entry[field][:LONGEST]


_VALUES: Mapping[str, _Read] = {
    "TextMetadataEntry": _text("text"),
    "UrlMetadataEntry": _text("url"),
    "PathMetadataEntry": _text("path"),
    "NotebookMetadataEntry": _text("path"),
    "MarkdownMetadataEntry": _text("mdStr"),
    "PipelineRunMetadataEntry": _text("runId"),
    "JobMetadataEntry": _text("jobName"),
    "JsonMetadataEntry": lambda entry: orjson.loads(entry["jsonString"]),
    # GraphQL's own numbers end at 32 bits.
    "IntMetadataEntry": lambda entry: int(entry["intRepr"]),
    "FloatMetadataEntry": lambda entry: entry["floatValue"],
    "BoolMetadataEntry": lambda entry: entry["boolValue"],
    "TimestampMetadataEntry": lambda entry: rfc3339(datetime.fromtimestamp(entry["timestamp"], UTC)),
    "AssetMetadataEntry": lambda entry: "/".join(entry["assetKey"]["path"])[:LONGEST],
    "NullMetadataEntry": lambda _: None,
}


def metadata_of(entries: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Labels and values: text, numbers, booleans, and what JSON holds; times are RFC 3339, assets `geo/houses`.

    A number that is none (NaN, infinite) is None; what cannot be read as what it says it is, is left out.
    """
    found: dict[str, Any] = {}
    left = TOGETHER
    for entry in entries:
        read = _VALUES.get(entry["__typename"])
        if read is None or len(entry.get("jsonString", "")) > LONGEST:
            continue
        left -= sum(min(len(text), LONGEST) for text in entry.values() if isinstance(text, str))
        if left < 0:
            break
        try:
            found[entry["label"]] = read(entry)
        except (ValueError, OverflowError):
            # Numbers of thousands of digits, times beyond the year 9999, JSON with NaN in it.
            continue
    return found
