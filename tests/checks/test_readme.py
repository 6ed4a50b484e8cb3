"""The README's blocks about data, run as they stand there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from rules.checks import KINDS
from sensord.checks.settings import read_settings
from sensord.config import load
from tests.test_readme import block


def test_the_checks_of_the_readme_are_checks_one_of_each_kind(tmp_path: Path) -> None:
    (tmp_path / "sensord.yaml").write_text(block("test: quality configuration"))
    config = load(tmp_path / "sensord.yaml", {})
    assert config.mask == ["email", "*phone*"]
    found = read_settings(config.jobs["load_houses"].checks)
    assert {check.kind for check in found.of} == set(KINDS)
    assert {check.name for check in found.of} > {"range(traffic)", "columns"}


def test_the_schema_of_the_readme_tells_which_rows_are_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SENSORD_REPORT", str(tmp_path / "report.jsonl"))
    scope: dict[str, Any] = {
        "__name__": "script",
        "houses": pd.DataFrame({"name": ["mill", "farm"], "traffic": [120, -3]}),
    }
    exec(compile(block("test: pandera"), "README.md", "exec", dont_inherit=True), scope)
    told = [json.loads(line) for line in (tmp_path / "report.jsonl").read_text().splitlines()]
    (failed,) = [one for one in told if not one["passed"]]
    assert failed["check"] == "traffic: greater_than_or_equal_to(0)"
    assert failed["sample"] == [{"row": 1, "traffic": -3, "name": "farm"}]
