"""The supervisor's memory: what is torn reads as absent, what is damaged is said, what was reserved can be written."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from sensord.launchers.command_journal import NAME, SLOT, Journal, Record
from tests.launchers.command_kit import fill, small_disk

BOOT, OTHER_BOOT = "boot-a", "boot-b"
MARK, EXIT, PID = 1023, 512, 384


def a_record(number: int, boot: str = BOOT) -> Record:
    return Record(
        {
            "token": f"{number:036x}.1",
            "day": "2026-11-21",
            "boot": boot,
            "batch": 0,
            "due": None,
            "grace": 10.0,
            "limit": 1 << 24,
        }
    )


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[int]:
    opened = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    yield opened
    os.close(opened)


def begun(journal: Journal, *numbers: int) -> list[Record]:
    """Records whose processes were made, one batch."""
    records = [a_record(number) for number in numbers]
    journal.begin(records)
    journal.sync()
    for record in records:
        journal.starting(record)
        record.pid, record.since, record.started = 4242 + record.slot, [7, 8], 1_000_000
        journal.started(record)
    return records


def finish(journal: Journal, record: Record, code: int) -> None:
    record.end("", code, "")
    journal.ended(record)
    journal.sync()


def spoil(path: Path, slot: int, offset: int, data: bytes) -> None:
    with (path / NAME).open("r+b") as file:
        file.seek(slot * SLOT + offset)
        file.write(data)


def test_what_was_written_is_read_again(folder: int) -> None:
    first, second = begun(Journal(folder, BOOT), 1, 2)
    journal = Journal(folder, BOOT)
    finish(journal, journal.records[first.token], 7)
    again = Journal(folder, BOOT).records
    assert (again[first.token].code, again[first.token].why) == (7, "")
    assert again[first.token].ended == journal.records[first.token].ended
    assert (again[second.token].pid, again[second.token].since) == (second.pid, [7, 8])
    assert again[second.token].ended is None


def test_a_start_torn_by_a_loss_of_power_is_absent_and_no_damage(folder: int, tmp_path: Path) -> None:
    journal = Journal(folder, BOOT)
    (first,) = begun(journal, 1)
    torn = a_record(2)
    journal.begin([torn])
    spoil(tmp_path, torn.slot, 100, b"\0" * 100)
    again = Journal(folder, OTHER_BOOT)
    assert set(again.records) == {first.token}
    assert again.damaged is None


@pytest.mark.parametrize("place", ["in the middle", "at the end, but acted upon"])
def test_a_start_that_cannot_be_read_is_damage_which_is_kept_and_said(folder: int, tmp_path: Path, place: str) -> None:
    journal = Journal(folder, BOOT)
    (first,), (second,) = begun(journal, 1), begun(journal, 2)
    spoilt, whole = (first, second) if place == "in the middle" else (second, first)
    spoil(tmp_path, spoilt.slot, 20, b"#")
    again = Journal(folder, BOOT)
    assert set(again.records) == {whole.token}
    (aside,) = tmp_path.glob(f"{NAME}.damaged-*")
    assert spoilt.token[10:].encode() in aside.read_bytes()
    assert again.damaged == int(aside.name.rpartition("-")[2])
    assert Journal(folder, BOOT).damaged == again.damaged, "it is said for as long as the file lies there"
    aside.unlink()
    assert Journal(folder, BOOT).damaged is None


def test_a_journal_that_is_none_is_set_aside(folder: int, tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(b"something else entirely\n" * 100)
    journal = Journal(folder, BOOT)
    assert not journal.records
    assert journal.damaged is not None
    assert next(tmp_path.glob(f"{NAME}.damaged-*")).read_bytes().startswith(b"something else")


def test_a_torn_exit_is_absent_so_that_the_end_is_unknown_and_never_a_success(folder: int, tmp_path: Path) -> None:
    journal = Journal(folder, BOOT)
    (record,) = begun(journal, 1)
    finish(journal, record, 0)
    spoil(tmp_path, record.slot, EXIT + 12, b"\0\0\0\0")
    again = Journal(folder, OTHER_BOOT).records[record.token]
    assert (again.ended, again.code) == (None, None)


def test_a_start_without_its_mark_was_not_acted_upon_unless_the_machine_restarted(folder: int) -> None:
    journal = Journal(folder, BOOT)
    record = a_record(1)
    journal.begin([record])
    journal.sync()
    assert record.token not in Journal(folder, BOOT).records
    journal = Journal(folder, BOOT)
    journal.begin([record])
    journal.sync()
    assert record.token in Journal(folder, OTHER_BOOT).records


def test_a_mostly_forgotten_journal_is_rewritten_small_and_keeps_the_rest(folder: int, tmp_path: Path) -> None:
    journal = Journal(folder, BOOT)
    records = begun(journal, *range(3000))
    finish(journal, records[-1], 5)
    for record in records[:-1]:
        journal.forget(record)
    journal.tidy()
    assert (tmp_path / NAME).stat().st_size == 2 * SLOT
    (fresh,) = begun(journal, 9000)
    again = Journal(folder, BOOT).records
    assert set(again) == {records[-1].token, fresh.token}
    assert again[records[-1].token].code == 5


def test_a_forgotten_record_stays_forgotten(folder: int) -> None:
    journal = Journal(folder, BOOT)
    first, second = begun(journal, 1, 2)
    finish(journal, first, 0)
    journal.forget(first)
    assert set(Journal(folder, BOOT).records) == {second.token}


def test_a_reason_is_cut_to_what_fits(folder: int) -> None:
    journal = Journal(folder, BOOT)
    record = a_record(1)
    journal.begin([record])
    journal.starting(record)
    record.end("refused", None, "no such é\n" * 500)
    journal.ended(record)
    journal.sync()
    kept = Journal(folder, BOOT).records[record.token].text
    assert kept.startswith("no such é")
    assert len(kept) < 400


@pytest.fixture
def tiny(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB."""
    with small_disk(tmp_path / "tiny", "1m") as place:
        yield place


def begins(journal: Journal, record: Record) -> bool:
    """Whether there was room for it."""
    try:
        journal.begin([record])
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        return False
    return True


def test_a_full_disk_refuses_a_start_and_swallows_no_exit_code(tiny: Path) -> None:
    folder = os.open(tiny, os.O_RDONLY | os.O_DIRECTORY)
    try:
        journal = Journal(folder, BOOT)
        running = begun(journal, 1, 2)
        ballast = fill(tiny)
        reserved = 0
        while begins(journal, a_record(100 + reserved)):
            reserved += 1
        for code, record in enumerate(running, 40):
            finish(journal, record, code)
        journal.forget(running[0])
        again = Journal(folder, BOOT)
        assert again.records[running[1].token].code == 41
        assert f"{100 + reserved:036x}.1" not in again.records, "what was refused is unknown"
        ballast.unlink()
        begun(again, 500)
        assert f"{500:036x}.1" in Journal(folder, BOOT).records
    finally:
        os.close(folder)
