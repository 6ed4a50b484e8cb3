"""Nothing that a document holds is refused, changed or lost on its way into a chat: short here, whole by

`pytest -m campaign -k hostile_documents -s`: a million documents, and every length up to 200,000 in steps of 97.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import pytest

from notifiers.message import Message, Text
from tests.campaigns.hostile import SCRIPTS, Judge, Slack, Telegram, document, sized

CHANNELS: dict[str, Callable[[], Judge]] = {"telegram": Telegram, "slack": Slack}
MILLION = int(os.environ.get("HOSTILE_DOCUMENTS", "1000000"))
LENGTHS = range(0, 200_001, 97)


def judge_documents(judge: Judge, numbers: range) -> None:
    """Judge these documents; the message of a failure has the number of the one that failed."""
    begin = time.perf_counter()
    for done, number in enumerate(numbers, start=1):
        try:
            judge(document(number))
        except Exception as error:
            raise AssertionError(f"document({number}): {error}") from error
        if done % 20_000 == 0:
            name = type(judge).__name__
            print(f"{name}: {done:,} documents of {len(numbers):,}, {time.perf_counter() - begin:.0f} s", flush=True)


@pytest.mark.parametrize("channel", CHANNELS)
def test_no_hostile_document_is_refused_or_loses_anything(channel: str) -> None:
    judge_documents(CHANNELS[channel](), range(1_000_000, 1_010_000))


@pytest.mark.campaign
@pytest.mark.parametrize("channel", CHANNELS)
def test_no_hostile_document_of_a_million_is_refused_or_loses_anything(channel: str) -> None:
    judge_documents(CHANNELS[channel](), range(MILLION))


@pytest.mark.campaign
@pytest.mark.parametrize("script", SCRIPTS)
@pytest.mark.parametrize("channel", CHANNELS)
def test_hostile_documents_of_every_length_arrive_whole(channel: str, script: str) -> None:
    judge, begin = CHANNELS[channel](), time.perf_counter()
    for number, length in enumerate(LENGTHS, start=1):
        judge(Message(title="t", body=[Text(sized(script, length))]))
        if number % 200 == 0:
            print(f"{channel}, {script}: {length:,} characters, {time.perf_counter() - begin:.0f} s", flush=True)
