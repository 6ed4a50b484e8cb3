"""Programs that are no runs of ours and tell what they found in their data: the daemon has it as its own."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import anyio

from tests.web.site import TOKEN, Site

SCRIPT = """
import pandas as pd
import pandera.pandas as pa
from pandera.typing import Series
from sensord.hooks.pandera import report

class SomeDFWithGeo(pa.DataFrameModel):
    name: Series[str] = pa.Field(description="POI name")
    traffic: Series[int] = pa.Field(ge=0, nullable=False, description="Traffic nearby")

houses = pd.DataFrame({"name": ["mill", "farm"], "traffic": [120, -3]})
for _ in range(2):
    assert report(SomeDFWithGeo, houses, job="houses") is houses
"""
REPORTED = Path(__file__).parents[1] / "quality_files" / "dbt_run_results.json"


def environment(site: Site, folder: Path) -> dict[str, str]:
    spool = {"SENSORD_URL": site.url, "SENSORD_TOKEN": TOKEN, "SENSORD_SPOOL": str(folder / "spool")}
    return {**{name: value for name, value in os.environ.items() if name != "SENSORD_REPORT"}, **spool}


async def test_a_schema_in_a_plain_script_tells_which_rows_are_wrong(site: Site, tmp_path: Path) -> None:
    await site.call("POST", "/api/subscriptions", {"topic": "quality.houses.failed", "to": "inbox:"})
    await anyio.run_process([sys.executable, "-c", SCRIPT], env=environment(site, tmp_path))
    with anyio.fail_after(20):
        while len(told := (await site.get("/api/inbox"))["items"]) < 2:
            await site.app.database.read(lambda _conn: None)
    newest = told[0]
    check = "check traffic: greater_than_or_equal_to(0)"
    assert newest["title"] == f"houses: {check} failed again (2 times in a row)"
    assert "1 of 2" in newest["text"]
    assert "-3" in newest["text"]
    assert "farm" in newest["text"]


async def test_what_dbt_found_is_reported_by_a_command(site: Site, tmp_path: Path) -> None:
    command = [str(Path(sys.executable).parent / "sensord"), "report", "dbt"]
    done = await anyio.run_process([*command, str(REPORTED), "--job", "dwh"], env=environment(site, tmp_path))
    assert done.stdout.decode() == "6 results reported, 3 of checks that failed\n"
    found = await site.found("/api/checks?job=dwh&status=failed")
    assert "not_null_houses_name" in {one["check"] for one in found}
    wrong = await anyio.run_process([*command, str(tmp_path / "gone.json")], check=False)
    assert (wrong.returncode, b"cannot be read" in wrong.stderr) == (2, True)
    (tmp_path / "x.json").write_text("{}")
    wrong = await anyio.run_process([*command, str(tmp_path / "x.json")], check=False)
    assert (wrong.returncode, b"run_results.json" in wrong.stderr) == (2, True)
