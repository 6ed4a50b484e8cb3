"""Nothing that a document holds is refused, changed or lost on its way into a chat: short here, whole by

`pytest -m campaign -k hostile_documents -s`: every length up to 200,000 in steps of 97, and a million documents. That
is hours of one core; `python -m tests.campaigns.hostile_pieces` does the same, and can go on where it was ended.
"""

from __future__ import annotations

import os

import pytest

from notifiers.channels import telegram_text
from tests.campaigns.hostile import SCRIPTS
from tests.campaigns.hostile_pieces import CHANNELS, LENGTHS, MILLION, Piece, documents, judge, lengths, run

PROCESSES = os.cpu_count() or 1


@pytest.mark.parametrize("channel", CHANNELS)
def test_no_hostile_document_is_refused_or_loses_anything(channel: str) -> None:
    numbers = range(1_000_000, 1_010_000)
    assert judge(Piece(channel, numbers)) == (Piece(channel, numbers), len(numbers), "")


def test_what_is_wrong_with_a_document_is_said_with_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telegram_text, "render", lambda _: [])
    assert judge(Piece("telegram", range(7, 9)))[1:] == (
        0,
        "telegram: document(7): AssertionError: there is a text in every message",
    )


def test_pieces_are_all_of_the_work_and_each_of_it_once() -> None:
    for channel in CHANNELS:
        mine = [piece.numbers for piece in documents(range(5, 7_777)) if piece.channel == channel]
        assert [number for numbers in mine for number in numbers] == list(range(5, 7_777))
        assert sorted(number for piece in lengths(channel, "ascii") for number in piece.numbers) == list(LENGTHS)


@pytest.mark.campaign
@pytest.mark.parametrize("script", SCRIPTS)
def test_hostile_documents_of_every_length_arrive_whole(script: str) -> None:
    assert not run([piece for channel in CHANNELS for piece in lengths(channel, script)], PROCESSES)


@pytest.mark.campaign
def test_no_hostile_document_of_a_million_is_refused_or_loses_anything() -> None:
    assert not run(list(documents(range(MILLION))), PROCESSES)
