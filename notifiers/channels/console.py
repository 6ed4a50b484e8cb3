"""The console: messages printed where a person reads them."""

from __future__ import annotations

import io
import json
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TextIO

import anyio
import anyio.to_thread

from notifiers.channels import Channel, DeliveryError, Part, Reason, Receipt
from notifiers.clock import SYSTEM, Clock
from notifiers.message import Block, Message, Pre, Table, Text
from notifiers.text import visible
from rules.event import Severity
from rules.pacing import Window

if TYPE_CHECKING:
    from rich.console import Console as RichConsole

WIDEST = 1_000
"""Columns: cells of a table that is wider are folded. Lines are left to the terminal to wrap."""

_STYLES = {
    Severity.debug: "dim",
    Severity.info: "bold",
    Severity.warning: "bold yellow",
    Severity.error: "bold red",
    Severity.critical: "bold white on red",
}


@asynccontextmanager
async def open_console(stream: TextIO, *, clock: Clock = SYSTEM) -> AsyncIterator[Channel]:
    """Open the channel `console` on a stream, which stays open. It has one target, the empty one.

    Messages are styled where the stream is a terminal and NO_COLOR is not set.
    """
    yield Console(stream, clock, styled=stream.isatty() and "NO_COLOR" not in os.environ)


class Console:
    """The channel. Prints one message at a time, whole."""

    def __init__(self, stream: TextIO, clock: Clock, *, styled: bool) -> None:
        self._stream = stream
        self._clock = clock
        self._styled = styled
        self._turn = anyio.Lock()

    def render(self, message: Message) -> Sequence[Part]:
        """One part: the message as lines of text, and the same with a terminal's styles."""
        return [Part(text=_print(message, styled=False), payload={"styled": _print(message, styled=True)})]

    def windows(self, target: str) -> Sequence[Window]:  # noqa: ARG002 - the contract's
        """No limits."""
        return []

    async def send(self, target: str, part: Part) -> Receipt:
        """Print. A closed stream is a destination that is gone."""
        if target:
            raise DeliveryError(f"console: has no target, found {target!r}", Reason.gone, permanent=True, pause=True)
        text = part.payload["styled"] if self._styled else part.text
        encoding = self._stream.encoding or "utf-8"
        text = text.encode(encoding, "backslashreplace").decode(encoding)
        try:
            async with self._turn:
                await anyio.to_thread.run_sync(self._write, text)
        except (OSError, ValueError) as error:
            failure = DeliveryError(f"the console is closed: {type(error).__name__}", Reason.gone, pause=True)
        else:
            return Receipt(id=self._clock.new_id())
        raise failure

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


def _print(message: Message, *, styled: bool) -> str:
    """The message as lines. Nothing in it is markup, and only body text may begin lines of its own, indented."""
    from rich.console import Console as RichConsole

    out = io.StringIO()
    console = RichConsole(
        file=out, force_terminal=styled, color_system="standard" if styled else None, width=_width(message),
        markup=False, emoji=False, highlight=False, soft_wrap=True, legacy_windows=False, _environ={},
    )  # fmt: skip
    if message.note:
        console.print(_line(message.note), style="italic")
    console.print(f"[{message.severity.name}] {_line(message.title)}", style=_STYLES[message.severity])
    for label, value in message.facts:
        console.print(f"  {_line(label)}: {_line(value)}")
    for block in message.body:
        _print_block(console, block)
    for link in message.links:
        console.print(f"  {_line(link.text)}: {_line(link.url)}", style="cyan")
    for file in message.attachments:
        console.print(f"  {_line(file.name)} ({len(file.content):,} bytes)", style="dim")
    return out.getvalue()


def _print_block(console: RichConsole, block: Block) -> None:
    if not isinstance(block, Text) and block.title:
        console.print(f"  {_line(block.title)}", style="underline")
    match block:
        case Text(text) | Pre(text):
            for line in visible(text).split("\n"):
                console.print(f"    {line}" if isinstance(block, Pre) else f"  {line}")
        case Table():
            _print_table(console, block)


def _print_table(console: RichConsole, table: Table) -> None:
    from rich import box
    from rich.padding import Padding
    from rich.table import Table as RichTable
    from rich.text import Text as RichText

    grid = RichTable(box=box.SIMPLE_HEAD, show_edge=False)
    for name in table.header:
        grid.add_column(RichText(_line(name)), overflow="fold")
    for row in table.rows:
        grid.add_row(*(RichText(_line(cell)) for cell in row))
    console.print(Padding(grid, (0, 0, 0, 2), expand=False), soft_wrap=False)


def _width(message: Message) -> int:
    columns = max((len(block.header) for block in message.body if isinstance(block, Table)), default=0)
    return max(WIDEST, 20 * columns)


def _line(text: str) -> str:
    r"""A string on one line: its line ends are shown as `\n`."""
    return visible(text).replace("\n", json.dumps("\n")[1:-1])
