"""A check's result in words: how it stands beside the earlier ones, how many rows of how many, and its trend."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rules.trend import TREND, ordinal, sparkline

_MOST = 1 << 53


def stands(what: str, data: Mapping[str, Any]) -> str:
    """`failed`, `failed again (3rd time in a row)`, `recovered after 3 failures`, `passed`."""
    times = _count(data.get("in_a_row"))
    if what == "failed" and times is not None and times > 1:
        return f"failed again ({ordinal(times)} time in a row)"
    after = _count(data.get("recovered_after"))
    if what == "passed" and after:
        return f"recovered after {after:,} failure{'s' if after > 1 else ''}"
    return what


def figures(data: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """What was counted, as label and value: rows that failed of how many, every other metric, and the trend."""
    found: list[tuple[str, Any]] = []
    metrics = data.get("metrics")
    given = dict(metrics) if isinstance(metrics, Mapping) else {}
    failed, rows = _count(given.get("failed")), _count(given.get("rows"))
    if failed is not None and rows is not None:
        share = f" ({_percent(failed, rows)})" if failed and rows else ""
        found.append(("rows that failed", f"{failed:,} of {rows:,}{share}"))
        del given["failed"], given["rows"]
    found += [(str(key).replace("_", " "), value) for key, value in given.items() if value is not None]
    if line := trend(data.get("trend")):
        found.append(("trend", line))
    return found


def trend(counts: Any) -> str:
    """`▁▁▃█ the last 4: 0 … 12`, of two results or more of which one failed; nothing else."""
    if not isinstance(counts, Sequence) or isinstance(counts, str):
        return ""
    shown = [count for count in map(_count, counts) if count is not None][-TREND:]
    if len(shown) < 2 or not any(shown):  # noqa: PLR2004 - one result has no trend
        return ""
    return f"{sparkline(shown)} the last {len(shown)}, at most {max(shown):,}"


def _percent(part: int, whole: int) -> str:
    share = 100 * part / whole
    return f"{share:.0f}%" if share >= 10 or share == round(share) else f"{share:.2g}%"  # noqa: PLR2004


def _count(value: Any) -> int | None:
    is_count = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _MOST
    return value if is_count else None
