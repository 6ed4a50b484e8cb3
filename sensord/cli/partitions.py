"""`sensord jobs show`: what became of a job's partitions, a cell for each."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from rich.text import Text

    from sensord.cli.client import Client

_ROWS = 26
_ASKED = 1_000
# State → its cell and its colour. The cells differ without colours as well.
CELLS: Mapping[str, tuple[str, str]] = {
    "succeeded": ("■", "green"),
    "failed": ("✗", "bold red"),
    "lost": ("?", "bold magenta"),
    "cancelled": ("/", "yellow"),
    "running": ("▶", "bold blue"),
    "queued": ("○", "cyan"),
    "missing": ("·", "bright_black"),
}


def more(api: Client, job: Mapping[str, Any]) -> dict[str, Any]:
    """The states of a job's newest partitions, where it has partitions."""
    if job["partitions"] is None:
        return {}
    from sensord.cli.client import ApiError

    try:
        found = api.call("GET", f"/api/jobs/{job['name']}/partitions", query=[("limit", str(_ASKED))])
    except ApiError as error:  # Schedules that do not agree: the job itself can be shown all the same.
        return {"partitions": job["partitions"] | {"error": str(error)}}
    return {"partitions": job["partitions"] | found}


def drawn(job: dict[str, Any]) -> None:
    """Print a job's facts, and its partitions below them."""
    from sensord.cli.show import facts, plain

    partitions = job["partitions"]
    facts({name: value for name, value in job.items() if name not in ("partitions", "config_schema")})
    parameters(job["config_schema"])
    if partitions is None:
        return
    typer.echo()
    if "error" in partitions:
        typer.echo(plain(partitions["error"]))
        return
    from rich.console import Console

    console = Console(highlight=False)
    for line in lines(partitions, shutil.get_terminal_size().columns):
        console.print(line, soft_wrap=True)


def parameters(schema: Mapping[str, Any] | None) -> None:
    """Print what a run of the job is given, a line for each parameter."""
    from sensord.cli.show import plain
    from sensord.parameters import in_words, parameters_of

    found = parameters_of(schema)
    width = max((len(one.name) for one in found), default=0)
    if found:
        typer.echo("\nparameters")
    for one in found:
        typer.echo(f"  {plain(one.name).ljust(width)}  {plain(in_words(one))}{'  (needed)' if one.required else ''}")


def lines(partitions: Mapping[str, Any], width: int) -> list[Text]:
    """The partitions as lines, of time one for each month (of days), day (of hours) or year; then what cells mean."""
    from rich.text import Text

    every, items = partitions["every"], partitions["items"]
    rows = _named(items, width) if every is None else _dated(every, items[::-1])
    shown = rows[-_ROWS:] if every is not None else rows[:_ROWS]
    found = [Text(f"{partitions['total']:,} {every or 'static'} partitions{_of(partitions)}")]
    indent = max((len(label) for label, _ in shown), default=0)
    for label, states in shown:
        line = Text(label.ljust(indent) + " " if indent else "")
        for state in states:
            cell, colour = CELLS[state] if state is not None else (" ", "")
            line.append(cell, colour)
        found.append(line)
    drawn_count = sum(state is not None for _, states in shown for state in states)
    if drawn_count < partitions["total"]:
        which = "newest" if every is not None else "first"
        found.append(Text(f"(the {which} {drawn_count:,} are drawn)", "bright_black"))
    return [*found, _legend(partitions["counts"])]


def _of(partitions: Mapping[str, Any]) -> str:
    items = partitions["items"]
    if partitions["every"] is None or not items:
        return ""
    return f" in {partitions['timezone']}, the last {items[0]['key']}"


Row = tuple[str, list[str | None]]
"""What stands before a line, and its cells: a state each, None for a place without a partition."""


def _dated(every: str, items: Sequence[Mapping[str, Any]]) -> list[Row]:
    """The oldest first. Cells of one column are the same day of the month, hour of the day, and so on."""
    rows: list[Row] = []
    for item in items:
        label, column = _place(every, item["key"])
        if not rows or rows[-1][0] != label:
            rows.append((label, []))
        cells = rows[-1][1]
        # An hour that the clock shows twice stands behind itself, and pushes on those that follow.
        cells += [None] * (column - len(cells))
        cells.append(item["state"])
    return rows


def _place(every: str, key: str) -> tuple[str, int]:
    if every == "hourly":
        return key[:10], int(key[11:13])
    if every == "daily":
        return key[:7], int(key[8:10]) - 1
    if every == "monthly":
        return key[:4], int(key[5:7]) - 1
    return key[:4], (date.fromisoformat(key).timetuple().tm_yday - 1) // 7


def _named(items: Sequence[Mapping[str, Any]], width: int) -> list[Row]:
    """Names one below the other while they fit on a screen, else a strip of cells as wide as the terminal."""
    from sensord.cli.show import plain

    if len(items) <= _ROWS:
        return [(plain(item["key"]), [item["state"]]) for item in items]
    states: list[str | None] = [item["state"] for item in items]
    return [("", states[start : start + width]) for start in range(0, len(states), width)]


def _legend(counts: Mapping[str, int]) -> Text:
    from rich.text import Text

    line = Text()
    for state, (cell, colour) in CELLS.items():
        if counts.get(state) or state in ("succeeded", "failed", "missing"):
            line.append(f"{'   ' if line else ''}")
            line.append(cell, colour)
            line.append(f" {state} {counts.get(state, 0):,}")
    return line
