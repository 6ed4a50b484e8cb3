"""A job's last durations as a picture: JSON on standard input, a PNG on standard output. A program of its own.

Drawing takes a second and a hundred megabytes, most of it to load the library; the daemon spends neither.
"""

from __future__ import annotations

import io
import json
import os
import resource
import sys
from collections.abc import Sequence
from datetime import datetime
from statistics import median
from typing import Any, Final

CPU_SECONDS: Final = 30
WIDTH, HEIGHT, DPI = 7.2, 4.3, 150
"""Inches and dots: 1080 by 645, what a phone shows without making it smaller."""

# Okabe and Ito's colours can be told apart by everybody; hatching says the same without any.
LOOKS: Final = {
    "succeeded": ("#0072B2", ""),
    "failed": ("#D55E00", "//"),
    "lost": ("#D55E00", "xx"),
    "cancelled": ("#999999", ".."),
}
PAPER, INK, FAINT = "#FAFAFC", "#1B1F24", "#6B7280"
"""A light card: it keeps its colours where the chat is dark."""

_TITLE: Final = 48
_FEW: Final = 8
_LINES: Final = 5
_STEPS: Final = [
    *(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30),
    *(60 * one for one in (1, 2, 5, 10, 15, 30)),
    *(3600 * one for one in (1, 2, 3, 6, 12, 24, 48, 120, 240)),
]
"""What people count time in, in seconds."""

Point = tuple[str, float, str, str]
"""A run: its id, seconds, status, and when it ended (RFC 3339)."""


def main() -> None:
    """Draw what stands on standard input."""
    os.nice(10)  # Nobody waits for it as for the daemon's own work.
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    asked = json.loads(sys.stdin.buffer.read())
    sys.stdout.buffer.write(draw([tuple(one) for one in asked["points"]], asked["words"], asked.get("mark")))


def draw(points: Sequence[Any], words: dict[str, Any], mark: str | None) -> bytes:
    """The PNG. `words` are what it says: title, sub, middle, mark, statuses, and the reader's lang and zone."""
    import matplotlib as mpl

    mpl.rcParams.update({"font.family": "DejaVu Sans", "hatch.linewidth": 1.4, "text.parse_math": False})
    # Not through pyplot, which takes half a second more to load.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, HEIGHT), dpi=DPI, facecolor=PAPER)
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.set_facecolor(PAPER)
    _bars(axes, points, mark)
    _axes(axes, points, words)
    _mark(axes, points, words, mark)
    _legend(axes, points, words, _middle(axes, points))
    title = words["title"] if len(words["title"]) <= _TITLE else f"{words['title'][: _TITLE - 1]}…"
    figure.text(0.025, 0.945, title, fontsize=15, fontweight="bold", color=INK, va="center")
    figure.text(0.025, 0.885, words["sub"], fontsize=10.5, color=FAINT, va="center")
    figure.subplots_adjust(left=0.125, right=0.955, top=0.74, bottom=0.135)
    out = io.BytesIO()
    figure.savefig(out, format="png", facecolor=PAPER)
    return out.getvalue()


def _bars(axes: Any, points: Sequence[Point], mark: str | None) -> None:
    for place, (run, seconds, status, _) in enumerate(points):
        colour, hatch = LOOKS.get(status, LOOKS["cancelled"])
        marked = run == mark
        axes.bar(
            place,
            seconds,
            width=0.74,
            color=colour if marked or mark is None else _paler(colour),
            hatch=hatch,
            edgecolor=INK if marked else PAPER,
            linewidth=2.2 if marked else 0.8,
            zorder=3,
        )


def _paler(colour: str) -> tuple[float, ...]:
    """The colour half-way to the paper's: what is seen through shows the grid."""
    from matplotlib.colors import to_rgb

    return tuple(0.55 * own + 0.45 * paper for own, paper in zip(to_rgb(colour), to_rgb(PAPER), strict=True))


def _middle(axes: Any, points: Sequence[Point]) -> tuple[Any, float] | None:
    """A line at the median of the runs that came through: what is usual. With it, what it stands at."""
    well = [seconds for _, seconds, status, _ in points if status == "succeeded"]
    if len(well) < 2:  # noqa: PLR2004 - one run is not usual
        return None
    at = median(well)
    return axes.axhline(at, color=INK, linewidth=1.3, linestyle=(0, (4, 2)), zorder=4), at


def _mark(axes: Any, points: Sequence[Point], words: dict[str, Any], mark: str | None) -> None:
    """The marked run's duration above all bars, and a line down to its own."""
    top = axes.get_ylim()[1]
    for place, (run, seconds, _, _) in enumerate(points):
        if run != mark:
            continue
        where = place / max(1, len(points) - 1)
        side = "left" if where < 0.3 else "right" if where > 0.7 else "center"  # noqa: PLR2004 - thirds, about
        text = f"{words['mark']}: {_said(seconds, words)}"
        ends = {"left": place - 0.37, "right": place + 0.37, "center": place}
        look = {"fontsize": 11.5, "fontweight": "bold", "color": INK, "zorder": 7, "clip_on": False}
        axes.text(ends[side], top * 1.015, text, ha=side, va="bottom", **look)
        axes.plot([place, place], [seconds, top], color=INK, linewidth=1.3, zorder=2, clip_on=False)


def _axes(axes: Any, points: Sequence[Point], words: dict[str, Any]) -> None:
    room = max(0.0, (_FEW - len(points)) / 2)
    axes.set_xlim(-0.7 - room, len(points) - 0.3 + room)
    most = max(seconds for _, seconds, _, _ in points) or 1.0
    step = next((one for one in _STEPS if most / one <= _LINES), most / _LINES)
    ticks = [step * count for count in range(int(most / step) + 2) if step * count <= most * 1.05]
    axes.set_ylim(0, most * 1.06)
    axes.set_yticks(ticks, [_said(tick, words) if tick else "0" for tick in ticks])
    every = max(1, -(-len(points) // 5))
    shown = list(range(len(points) - 1, -1, -every))[::-1]
    axes.set_xticks(shown, [_when(points[place][3], words) for place in shown])
    axes.tick_params(colors=FAINT, labelsize=9.5, length=0, pad=6)
    axes.grid(axis="y", color="#E3E6EA", linewidth=1, zorder=0)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color("#C4C9D1")


def _legend(axes: Any, points: Sequence[Point], words: dict[str, Any], middle: tuple[Any, float] | None) -> None:
    from matplotlib.patches import Patch

    there = [status for status in LOOKS if any(one[2] == status for one in points)]
    handles: list[Any] = [Patch(facecolor=LOOKS[one][0], hatch=LOOKS[one][1], edgecolor=PAPER) for one in there]
    labels = [words["statuses"].get(one, one) for one in there]
    if middle is not None:
        handles.append(middle[0])
        labels.append(words["middle"].replace("{}", _said(middle[1], words)))
    axes.legend(
        handles,
        labels,
        loc="lower left",
        bbox_to_anchor=(-0.125, 1.105),
        ncols=len(labels),
        frameon=False,
        fontsize=10,
        labelcolor=INK,
        handlelength=1.6,
        handletextpad=0.5,
        columnspacing=1.3,
        borderaxespad=0,
    )


def _said(seconds: float, words: dict[str, Any]) -> str:
    from notifiers.reading import Reader
    from notifiers.reading.language import language

    text = language(Reader(words["lang"], words["zone"])).duration(round(float(seconds), 3))
    return " ".join(text.split()[:4])


def _when(text: str, words: dict[str, Any]) -> str:
    from notifiers.reading import Reader
    from notifiers.reading.language import language

    said = language(Reader(words["lang"], words["zone"])).moment(datetime.fromisoformat(text))
    day, _, rest = said.rpartition(" ")
    day, _, clock = day.rpartition(" ")
    return f"{day}\n{clock}" if rest else said


if __name__ == "__main__":
    main()
