"""`/run` of a job whose parameters nobody wrote down: its function says what it is asked."""

from __future__ import annotations

import json
from pathlib import Path

from tests.chat.kit import telegram
from tests.chat.test_run_dialogue import ROLES, choose, newest
from tests.sources.app_kit import runs_of
from tests.sources.directory_kit import until

MODULE = """
from pathlib import Path
from typing import Literal

def load(path: Path, region: Literal["eu", "us"], rows: int = 100): return {"rows": rows}
"""


async def test_a_functions_parameters_are_asked_for_checked_and_given(tmp_path: Path, database_url: str) -> None:
    (tmp_path / "asked_jobs.py").write_text(MODULE)
    jobs = 'jobs: {load: {python: "asked_jobs:load"}}'
    async with telegram(tmp_path, database_url, roles=ROLES, jobs=jobs) as it:
        assert "load: path? (1 of 3)\nwanted: text" in await it.ask("/run load")
        assert "region? (2 of 3)" in await it.ask("/data/a.csv")
        assert list(newest(it).buttons) == ["eu", "us", "Cancel"]
        assert "rows? (3 of 3)\nwanted: a whole number, or nothing" in await choose(it, "us")
        assert "'many' is not of type 'integer'" in await it.ask("many")
        assert "Run load?\npath: /data/a.csv\nregion: us\nrows: 7" in await it.ask("7")
        assert "load is queued" in await choose(it, "Run")
        (run,) = await runs_of(it.app, "load")
        await until(lambda: it.rows("SELECT id FROM runs WHERE status = 'succeeded'") != [])
        assert json.loads(run["run_config"]) == {"path": "/data/a.csv", "region": "us", "rows": 7}
