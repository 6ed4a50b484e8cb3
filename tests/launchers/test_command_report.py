"""A job's own report: bounded, forgiving, and never able to hold the daemon up."""

from __future__ import annotations

import os
from pathlib import Path

import orjson
import pytest

from sensord.launchers.command_report import MAX_BYTES, MAX_LINES, read_report, report_size


def written(tmp_path: Path, *lines: object) -> Path:
    path = tmp_path / "report.jsonl"
    path.write_bytes(b"\n".join(line if isinstance(line, bytes) else orjson.dumps(line) for line in lines))
    return path


def test_later_metadata_wins_and_log_events_are_kept(tmp_path: Path) -> None:
    report = read_report(
        written(
            tmp_path,
            {"metadata": {"rows": 1, "file": "a"}},
            {"metadata": {"rows": 2}},
            {"log": "half way", "level": "info"},
        )
    )
    assert report.as_metadata() == {"rows": 2, "file": "a", "log": [{"level": "info", "log": "half way"}]}
    assert not report.errors


@pytest.mark.parametrize(
    "line",
    [
        b"no json",
        b"[1, 2]",
        b'"text"',
        b"{}",
        b'{"rows": 3}',
        b'{"metadata": [1]}',
        b'{"metadata": {"x": NaN}}',
        b'{"metadata": {"x": "\\ud800"}}',
        b'{"check": "c"}',
        b'{"check": "", "passed": true}',
        b'{"check": "c", "passed": "yes"}',
        b'{"check": "c", "passed": true, "severity": "fatal"}',
        b'{"check": "c", "passed": true, "metrics": []}',
        b'{"quality": ["c"]}',
        b"\xff\xfe",
        b"[" * 100_000,
    ],
)
def test_a_line_that_is_wrong_is_a_note_and_the_others_count(tmp_path: Path, line: bytes) -> None:
    report = read_report(written(tmp_path, {"metadata": {"before": 1}}, line, {"metadata": {"after": 2}}))
    assert report.metadata == {"before": 1, "after": 2}
    assert len(report.errors) == 1
    assert report.errors[0].startswith("line 2: ")
    assert not report.quality


@pytest.mark.parametrize("torn", [b'{"metada', b'{"metadata": {"rows": 2', b'{"metadata": {"rows": 2}}\0\0\0'])
def test_a_last_line_that_its_job_did_not_finish_is_a_note_and_the_others_count(tmp_path: Path, torn: bytes) -> None:
    report = read_report(written(tmp_path, {"metadata": {"rows": 1}}, torn))
    assert report.metadata == {"rows": 1}
    assert [error.partition(":")[0] for error in report.errors] == ["line 2"]


def test_one_line_that_is_too_long_is_not_read_at_all_and_it_is_said(tmp_path: Path) -> None:
    report = read_report(written(tmp_path, {"metadata": {"x": "x" * MAX_BYTES}}))
    assert report.metadata == {}
    assert report.errors == [f"only the first {MAX_BYTES} bytes of the report were read"]


def test_a_sample_is_cut_to_rows_columns_and_characters(tmp_path: Path) -> None:
    row = {f"column {number}": "x" * 600 for number in range(60)}
    result = {"check": "c", "passed": False, "sample": [row] * 22, "detail": "d" * 9000, "metrics": row}
    (check,) = read_report(written(tmp_path, result)).quality
    assert len(check.sample) == 20
    assert len(check.sample[0]) == 50
    assert all(len(cell) == 500 for cell in check.sample[0].values())
    assert len(check.detail) == 2000
    assert len(check.metrics) == 50


def test_a_nested_cell_is_text(tmp_path: Path) -> None:
    (check,) = read_report(written(tmp_path, {"check": "c", "passed": False, "sample": [{"a": {"b": [1]}}, 7]})).quality
    assert list(check.sample) == [{"a": '{"b":[1]}'}, {"value": 7}]


def test_too_many_lines_are_cut_and_it_is_said(tmp_path: Path) -> None:
    report = read_report(written(tmp_path, *({"metadata": {"n": number}} for number in range(MAX_LINES + 5))))
    assert report.metadata == {"n": MAX_LINES - 1}
    assert "1005" in report.errors[0]


def test_too_many_bytes_are_cut_at_a_line_and_it_is_said(tmp_path: Path) -> None:
    lines = [{"metadata": {str(number): "x" * 10_000}} for number in range(200)]
    report = read_report(written(tmp_path, *lines))
    assert sum(len(value) for value in report.metadata.values()) <= MAX_BYTES
    assert len(report.metadata) == 104, "every line that fits"
    assert report.errors == [f"only the first {MAX_BYTES} bytes of the report were read"]


def test_a_pipe_or_a_link_in_its_place_is_refused_without_waiting(tmp_path: Path) -> None:
    pipe, link, secret = tmp_path / "pipe", tmp_path / "link", written(tmp_path, {"metadata": {"secret": 1}})
    os.mkfifo(pipe)
    link.symlink_to(secret)
    for path in (pipe, link):
        report = read_report(path)
        assert report.metadata == {}
        assert len(report.errors) == 1


def test_no_report_is_no_news(tmp_path: Path) -> None:
    assert report_size(tmp_path / "none") == 0
    assert read_report(tmp_path / "none").as_metadata() == {}
