"""One entry for each source, and what runs a test on each."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.sources.conformance_kit import Entry
from tests.sources.conformance_outsides import (
    Folder,
    Lineage,
    Listing,
    Log,
    Minutes,
    Notices,
    Runs,
    Topic,
    open_bucket,
    opening,
)
from tests.sources.dagster_outside import open_assets, open_runs
from tests.sources.s3_kit import ACCESS, SECRET

KEYS = f"endpoint_url: '{{url}}', region: us-east-1, access_key: {ACCESS}, secret_key: {SECRET}"
PYTHON = "python: {{module: team, function: mine, interval: {interval}}}"
ENTRIES = (
    Entry(
        "directory",
        opening(Folder),
        'directory: {{path: in, pattern: "*.csv"}}',
        left_out=("{folder}/in/x.txt", "its name does not match '*.csv'"),
    ),
    Entry(
        "polled directory",
        opening(Folder),
        'directory: {{path: in, pattern: "*.csv", poll: {interval}}}',
        left_out=("{folder}/in/.x.csv", "its name is ignored by '.*'"),
    ),
    Entry("topic", opening(Topic), 'topic: "bp.test.*"', breaks=False),
    Entry("lineage", opening(Lineage), 'lineage: {{job: "etl.*"}}', breaks=False),
    Entry("runs", opening(Runs), "runs: {{job: extract}}", breaks=False),
    Entry(
        "schedule",
        opening(Minutes),
        'schedule: {{cron: "* * * * *", catch_up: all}}',
        meanwhile=False,
        wakes=False,
        left_out=("2026-01-01T00:00:30Z", "is not due then"),
    ),
    Entry(
        "s3",
        open_bucket,
        f's3: {{{{bucket: {{bucket}}, pattern: "*.csv", interval: {{interval}}, {KEYS}}}}}',
        server="rclone_server",
        left_out=("s3://{bucket}/x.txt", "its key does not match '*.csv'"),
    ),
    Entry(
        "s3 notices",
        Notices.opened,
        f"s3: {{{{bucket: {{bucket}}, listing: false, queue_url: '{{queue}}', {KEYS}}}}}",
        server="moto_server",
        meanwhile=False,
        at_once=False,
        left_out=("s3://{bucket}/x/", "its key ends in a slash: it stands for a folder"),
    ),
    Entry(
        "dagster",
        open_runs,
        "dagster: {{url: '{front}', jobs: '{team}', since: beginning, every: {interval}}}",
        server="dagster",
        left_out=("x.csv", "it is no run of Dagster at"),
    ),
    Entry(
        "dagster materialisations",
        open_assets,
        "dagster: {{url: '{front}', assets: '{team}/*', since: beginning, every: {interval}}}",
        server="dagster",
        left_out=("other/x.csv", "other/x.csv is none of the assets "),
    ),
    Entry("python", opening(Listing), PYTHON, left_out=("x.csv", "its function team.mine decides")),
    Entry("python with a cursor", opening(Log), PYTHON, left_out=("x.csv", "its function team.mine decides")),
)


def of_each(which: Callable[[Entry], object] = lambda _entry: True) -> pytest.MarkDecorator:
    """Run a test, which takes a `world`, on the sources of which that holds."""
    entries = [pytest.param(entry, id=entry.name.replace(" ", "_")) for entry in ENTRIES if which(entry)]
    return pytest.mark.parametrize("world", entries, indirect=True)
