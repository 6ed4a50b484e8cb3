"""How a check went of late: how many rows failed at each of its last results, as numbers and as a line of text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

TREND: Final = 30
"""So many results are remembered."""
_BARS: Final = "▁▂▃▄▅▆▇█"
_MOST: Final = 1 << 53
_TEENS: Final = (11, 12, 13)


def counted(passed: bool, metrics: Any) -> int:
    """How many rows failed: `failed` of the metrics; where they do not count, 1 for a failure and 0 else."""
    value = metrics.get("failed") if isinstance(metrics, Mapping) else None
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < _MOST:
        return int(value)
    return 0 if passed else 1


def sparkline(counts: Sequence[int]) -> str:
    """One bar a number, oldest first, the highest for the greatest; nothing but the lowest for 0."""
    shown = [max(0, count) for count in counts[-TREND:]]
    most = max(shown, default=0)
    return "".join(_BARS[0] if not count else _BARS[1 + (count * (len(_BARS) - 2)) // most] for count in shown)


def ordinal(number: int) -> str:
    """A place in a row: 1st, 2nd, 3rd, 4th, 11th, 21st."""
    last = 0 if number % 100 in _TEENS else number % 10
    return f"{number:,}" + {1: "st", 2: "nd", 3: "rd"}.get(last, "th")
