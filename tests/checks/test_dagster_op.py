"""The schema in a real Dagster op. `SENSORD_DAGSTER_PYTHON` names an interpreter that has dagster and pandera."""

from __future__ import annotations

import os
from pathlib import Path

import anyio
import pytest

from sensord.ledger.database import open_database
from tests.dagster.environment import dagster_python
from tests.web.site import TOKEN, open_site

pytestmark = pytest.mark.campaign

PROGRAM = """
import pandas as pd
import pandera.pandas as pa
from dagster import job, op
from pandera.typing import Series
from sensord.hooks.pandera import report

class SomeDFWithGeo(pa.DataFrameModel):
    name: Series[str] = pa.Field(description="POI name")
    traffic: Series[int] = pa.Field(ge=0, nullable=False, description="Traffic nearby")

@op
def load():
    return report(SomeDFWithGeo, pd.DataFrame({"name": ["mill", "farm"], "traffic": [120, -3]}), job="spatial_job")

@job
def spatial_job():
    load()

assert spatial_job.execute_in_process().success
"""


async def test_a_schema_in_a_dagster_op_tells_which_rows_are_wrong(tmp_path: Path) -> None:
    python = dagster_python()
    if (await anyio.run_process([str(python), "-c", "import pandera"], check=False)).returncode:
        pytest.skip("the interpreter that SENSORD_DAGSTER_PYTHON names has no pandera")
    (tmp_path / "site").mkdir()
    async with (
        open_database(f"sqlite:///{tmp_path}/x.db") as database,
        open_site(database, tmp_path / "site") as site,
    ):
        await site.call("POST", "/api/subscriptions", {"topic": "quality.*.failed", "to": "inbox:"})
        spool = {"SENSORD_URL": site.url, "SENSORD_TOKEN": TOKEN, "SENSORD_SPOOL": str(tmp_path / "spool")}
        root = str(Path(__file__).parents[2])
        env = {**os.environ, **spool, "PYTHONPATH": root, "DAGSTER_HOME": ""}
        await anyio.run_process([str(python), "-c", PROGRAM], env=env)
        (told,) = await site.found("/api/inbox")
        assert told["title"] == "spatial_job: check traffic: greater_than_or_equal_to(0) failed"
        assert "farm" in told["text"]
