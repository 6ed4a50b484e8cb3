"""The console: readable, harmless to a terminal, one message at a time."""

from __future__ import annotations

import io
import os
import subprocess
import sys

import anyio
import pytest
from hypothesis import given, settings

from notifiers.channels import DeliveryError, Reason
from notifiers.channels.console import open_console
from notifiers.message import Link, Message, Pre, Table, Text
from rules.event import Severity
from tests.channels.slack_messages import messages

MESSAGE = Message(
    title="load_houses failed",
    severity=Severity.error,
    note="This may be a repeat.",
    facts=[("run", "42"), ("rows", "3\n[bold]")],
    body=[Text("Two lines\nof text"), Pre("  Traceback\n    x", title="log"), Table(["check", "n"], [["nulls", "7"]])],
    links=[Link("run", "https://example.org/42")],
)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


async def printed(message: Message, stream: io.StringIO) -> str:
    async with open_console(stream) as channel:
        for part in channel.render(message):
            await channel.send("", part)
    return stream.getvalue()


async def test_a_message_is_printed_as_a_person_reads_it() -> None:
    assert (await printed(MESSAGE, io.StringIO())).splitlines() == [
        "This may be a repeat.",
        "[error] load_houses failed",
        "  run: 42",
        "  rows: 3\\n[bold]",
        "  Two lines",
        "  of text",
        "  log",
        "      Traceback",
        "        x",
        "   check   n ",
        "  ───────────",
        "   nulls   7 ",
        "  run: https://example.org/42",
    ]


async def test_a_terminal_gets_colours_and_only_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    text = await printed(Message(title="\x1b[2Jgone\x07", severity=Severity.error), Terminal())
    assert text == "\x1b[1;31m[error] \u241b[2Jgone\u2407\x1b[0m\n"


async def test_no_color_is_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in await printed(MESSAGE, Terminal())


@settings(max_examples=40, deadline=None)
@given(message=messages)
def test_no_message_can_move_the_cursor_or_imitate_another(message: Message) -> None:
    text = anyio.run(printed, message, io.StringIO())
    assert not [c for c in text if (ord(c) < 32 and c != "\n") or 0x7F <= ord(c) < 0xA0 or c in "\u202e\u2066"]
    unindented = [line for line in text.split("\n") if line and not line.startswith("  ")]
    assert len(unindented) <= 2  # The note and the title.


async def test_a_long_table_cell_is_folded_and_not_cut() -> None:
    text = await printed(Message(title="t", body=[Table(["c"], [["x" * 5_000]])]), io.StringIO())
    assert text.count("x") == 5_000


async def test_concurrent_messages_do_not_mix() -> None:
    stream = io.StringIO()
    async with open_console(stream) as channel, anyio.create_task_group() as group:
        for n in range(20):
            (part,) = channel.render(Message(title=f"t{n}", body=[Text(f"b{n}")]))
            group.start_soon(channel.send, "", part)
    lines = stream.getvalue().splitlines()
    assert all(lines[at + 1].strip() == "b" + lines[at].split("t")[-1] for at in range(0, 40, 2))


async def test_a_closed_pipe_is_a_destination_that_is_gone() -> None:
    read, write = os.pipe()
    os.close(read)
    stream = os.fdopen(write, "w")
    async with open_console(stream) as channel:
        (part,) = channel.render(MESSAGE)
        with pytest.raises(DeliveryError, match="console is closed") as caught:
            await channel.send("", part)
    with pytest.raises(BrokenPipeError):
        stream.close()
    assert (caught.value.reason, caught.value.pause) == (Reason.gone, True)


async def test_a_closed_stream_is_gone_as_well() -> None:
    stream = io.StringIO()
    async with open_console(stream) as channel:
        (part,) = channel.render(MESSAGE)
        stream.close()
        with pytest.raises(DeliveryError):
            await channel.send("", part)


async def test_a_stream_of_few_letters_gets_escapes() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    async with open_console(stream) as channel:
        (part,) = channel.render(Message(title="Запуск"))
        await channel.send("", part)
    assert raw.getvalue().startswith(b"[info] \\u0417")


def test_importing_the_console_does_not_import_rich() -> None:
    code = "import sys, notifiers.channels.console; print('rich' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "False"
