"""How commands show what they got: JSON, or tables that no file name can spoil."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import typer


def as_json(value: Any) -> None:
    """Print JSON."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def plain(value: Any) -> str:
    """A cell: times without the date of today's noise, nothing for None, and no control character."""
    if value is None:
        return ""
    if isinstance(value, str):
        text = _local(value)
    elif isinstance(value, bool | int | float):
        text = str(value)
    else:
        text = json.dumps(value, ensure_ascii=False, default=str)
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)


def _local(text: str) -> str:
    """An RFC 3339 time of ours as local time to the second; other text as it is."""
    if len(text) == len("2026-11-21T01:02:03.000004Z") and text.endswith("Z") and text[10] == "T":
        try:
            return f"{datetime.fromisoformat(text).astimezone():%Y-%m-%d %H:%M:%S}"
        except ValueError:
            return text
    return text


def table(items: Sequence[Mapping[str, Any]], columns: Sequence[str], empty: str) -> None:
    """Print rows under their columns' names."""
    if not items:
        typer.echo(empty)
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    drawn = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        drawn.add_column(column.replace("_", " "), overflow="fold")
    for item in items:
        drawn.add_row(*(Text(plain(item.get(column))) for column in columns))
    if console.is_terminal:
        console.print(drawn)
    else:
        Console(width=400).print(drawn)  # A pipe has no width: rows stay whole.


def facts(item: Mapping[str, Any]) -> None:
    """Print one thing, a field a line."""
    width = max((len(name) for name in item), default=0)
    for name, value in item.items():
        typer.echo(f"{name.ljust(width)}  {plain(value)}".rstrip())


@contextmanager
def counting(what: str) -> Iterator[Callable[[int], None]]:
    """Show on a terminal how far something long has come: call it with the number so far."""
    from rich.console import Console

    with Console(stderr=True).status(f"0 {what}") as status:
        yield lambda number: status.update(f"{number:,} {what}")
