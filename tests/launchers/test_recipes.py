"""The README's jobs are right as they stand there. Airflow's and GitLab's are run too: `conformance_entries`."""

from __future__ import annotations

from pathlib import Path

import pytest

from sensord.config import load
from tests.launchers.python_kit import ended, jobs
from tests.test_readme import block

SECRETS = dict.fromkeys(("AIRFLOW_TOKEN", "GITLAB_TOKEN", "GITLAB_TRIGGER_TOKEN"), "a-secret-of-ours")


@pytest.mark.parametrize(
    ("name", "kind"), [("python", "python"), ("dagster", "dagster"), ("airflow", "http"), ("gitlab", "http")]
)
def test_a_job_of_the_readme_is_one(tmp_path: Path, name: str, kind: str) -> None:
    (tmp_path / "sensord.yaml").write_text(block(f"test: {name} job"))
    config = load(tmp_path / "sensord.yaml", SECRETS)
    (job,) = config.jobs.values()
    assert job.kind == kind
    assert "a-secret-of-ours" not in repr(config)


async def test_the_function_of_the_readme_runs_as_it_is_said_there(tmp_path: Path) -> None:
    (tmp_path / "my_team").mkdir()
    body = "from datetime import date\nfrom pathlib import Path\n"
    body += 'def load(path: Path, day: date, cluster): return {"rows": 12, "workers": len(cluster.workers)}\n'
    (tmp_path / "my_team" / "jobs.py").write_text(body)
    resources = {"cluster": {"factory": "dask.distributed:LocalCluster"}}
    resources["cluster"]["arguments"] = {"n_workers": 1, "processes": False, "dashboard_address": None}  # type: ignore[assignment]
    written = {"python": "my_team.jobs:load", "warm": 0, "resources": resources}
    async with jobs(tmp_path, load=written) as (launchers, _):
        outcome = await ended(launchers["load"], path="a.csv", day="2026-01-02")
    assert (outcome.metadata["rows"], outcome.metadata["workers"]) == (12, 1)
