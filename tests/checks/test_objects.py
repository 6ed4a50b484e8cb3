"""Checks of objects: a job of an S3 sensor, whose file lies in a bucket of a real server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from notifiers.clock import SYSTEM
from sensord.checks import objects
from sensord.checks.launcher import CheckedLauncher, checking
from sensord.checks.objects import Objects
from sensord.checks.settings import read_settings
from sensord.launchers import LaunchDelayed, Outcome, Run
from sensord.ledger.database import LedgerDatabase
from sensord.run_events import Hooks
from sensord.sources.s3 import S3Config
from tests.checks.test_runs import Inner
from tests.sources.app_kit import ended, running
from tests.sources.s3_bucket_kit import bucket, put, server, url
from tests.sources.s3_kit import KEYS

__all__ = ["bucket", "server", "url"]
JOB = """
jobs:
  load:
    command: ["true", "{{ run.config.path }}"]
    checks: [{rows: {min: 2}}, {nulls: [a, b]}]
"""
SENSOR = """
sensors:
  drop:
    s3: {{bucket: data, endpoint_url: "{url}", region: us-east-1, access_key: {access_key}, secret_key: {secret_key}}}
    job: load
    run_config: {{path: "{{{{ object.uri }}}}"}}
"""


async def test_what_lies_in_a_bucket_is_checked_before_its_job_starts(tmp_path: Path, bucket: Path, url: str) -> None:
    put(bucket, "in/a good+one.csv", "a,b\n1,2\n3,4\n")
    put(bucket, "in/short.csv", "a,b\n1,2\n")
    async with running(tmp_path, SENSOR.format(url=url, **KEYS), jobs=JOB) as app:
        told = {row["run_key"].rpartition("/")[2]: row for row in await ended(app, "load", 2)}
        state = app.config.state
    found = {name.partition(".csv")[0]: (row["status"], row["error"] or "") for name, row in told.items()}
    assert found["a good+one"] == ("succeeded", "")
    assert found["short"][0] == "failed"
    assert "check rows failed" in found["short"][1]
    assert not [path for path in state.iterdir() if path.name.startswith("tmp")], "nothing of it is left"


def checked(database: LedgerDatabase, folder: Path, url: str, inner: Inner) -> CheckedLauncher:
    config = S3Config.model_validate({"bucket": "data", "endpoint_url": url, **KEYS})
    shared = checking(database, SYSTEM, lambda: None, {}, Objects({"drop": config}, folder))
    return CheckedLauncher(inner, shared, read_settings([{"rows": {"min": 1}}]), Hooks(), folder)


def a_run(path: str, sensor: str = "drop") -> Run:
    return Run(
        id=SYSTEM.new_id(),
        job="load",
        attempt=1,
        run_key=None,
        run_config={"path": path},
        tags={},
        sensor=sensor,
        partition_key=None,
        requested_at=SYSTEM.now(),
    )


async def outcome(launcher: CheckedLauncher, run: Run) -> Outcome:
    return await launcher.launch(run, lambda _at: None)


@pytest.mark.parametrize(
    ("path", "sensor", "reason"),
    [
        ("s3://data/gone.csv", "drop", "HTTP 404"),
        ("s3://data/long.csv", "drop", "larger than the 1 MiB"),
        ("s3://other/a.csv", "drop", "nor an object of its sensor's bucket"),
        ("s3://data/a.csv", "another", "nor an object of its sensor's bucket"),
    ],
)
async def test_what_cannot_be_fetched_is_a_failed_check_with_its_reason(
    database: LedgerDatabase,
    tmp_path: Path,
    bucket: Path,
    url: str,
    monkeypatch: pytest.MonkeyPatch,
    path: str,
    sensor: str,
    reason: str,
) -> None:
    monkeypatch.setattr(objects, "MOST", 1 << 20)
    put(bucket, "long.csv", "a\n" * (1 << 20))
    inner = Inner()
    said: Any = await outcome(checked(database, tmp_path, url, inner), a_run(path, sensor))
    assert (said.status, reason in said.error) == ("failed", True), said.error


async def test_a_server_that_is_away_says_nothing_of_the_object(database: LedgerDatabase, tmp_path: Path) -> None:
    inner = Inner()
    launcher = checked(database, tmp_path, "http://127.0.0.1:9", inner)
    with pytest.raises(LaunchDelayed, match="cannot be fetched for now: Connection refused"):
        await outcome(launcher, a_run("s3://data/a.csv"))
    assert inner.asked == []
