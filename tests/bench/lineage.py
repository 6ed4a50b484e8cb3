"""OpenLineage events accepted durably, from as many connections as a scheduler's workers have.

Beside it, what aiohttp itself answers in this run with nothing behind it. `python -m tests.bench lineage`.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
from pathlib import Path

from notifiers.clock import new_uuid7
from tests.bench.figures import bar, daemon, get, process_seconds
from tests.bench.posting import bare, send

COUNT = 20_000
CONNECTIONS = 32
CONFIG = """
database: sqlite:///sensord.db
http: {port: 0}
jobs: {job: {command: ["true"]}}
sensors: {after: {lineage: {job: another}, job: job}}
log: {level: warning}
"""
KIND = "application/json"
PATH = "/api/v1/lineage"


def event(number: int) -> bytes:
    """A COMPLETE as Airflow's provider sends it: a run id of the time, facets, an input and an output with schemas."""
    fields = [{"name": f"column_{one}", "type": "VARCHAR"} for one in range(10)]
    producer = "https://github.com/apache/airflow/tree/providers-openlineage/2.0.0"
    schema = "https://openlineage.io/spec/facets/1-1-1/SchemaDatasetFacet.json#/$defs/SchemaDatasetFacet"
    facet = {"_producer": producer, "_schemaURL": schema, "fields": fields}
    body = {
        "eventType": "COMPLETE",
        "eventTime": "2026-11-21T01:02:03.123456Z",
        "producer": producer,
        "schemaURL": "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent",
        "run": {"runId": new_uuid7(), "facets": {"nominalTime": {"nominalStartTime": "2026-11-21T01:00:00Z"}}},
        "job": {"namespace": "airflow", "name": f"etl.load_{number % 50}", "facets": {}},
        "inputs": [{"namespace": "postgres://db:5432", "name": "public.houses", "facets": {"schema": facet}}],
        "outputs": [{"namespace": "s3://lake", "name": "houses", "facets": {"schema": facet}}],
    }
    return json.dumps(body).encode()


def main() -> bool:
    """Print the figures and the bar."""
    bodies = [event(number) for number in range(COUNT)]
    print(f"{COUNT:,} OpenLineage events of {len(bodies[0]):,} bytes over {CONNECTIONS} connections (events/s)")
    with tempfile.TemporaryDirectory(prefix="sensord-bench-") as name:
        folder = Path(name)
        (folder / "sensord.yaml").write_text(CONFIG)
        with daemon(folder) as (pid, url):
            before = process_seconds(pid)
            rate = asyncio.run(send(url, PATH, bodies, kind=KIND, connections=CONNECTIONS))
            spent = process_seconds(pid) - before
            kept = get(url, "/api/events?type=lineage.complete&limit=1")["items"]
            assert len(kept) == 1
    limit = bare(PATH, bodies, kind=KIND, connections=CONNECTIONS)
    print(f"  aiohttp alone {limit:.0f}\n  sensord {rate:.0f}, {spent / COUNT * 1e6:.0f} us of processor each")
    return bar("events/s accepted durably", rate, 2000, at_least=True)
