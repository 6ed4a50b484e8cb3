"""OpenLineage's own client against the real server: taken unmodified, in any order, once for each run and state."""

from __future__ import annotations

import gzip
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from uuid import RFC_4122, UUID, uuid4, uuid5

import aiohttp
import anyio
import pytest
from anyio import to_thread
from openlineage.client import OpenLineageClient
from openlineage.client.event_v2 import InputDataset, Job, OutputDataset, Run, RunEvent, RunState
from openlineage.client.facet_v2 import data_quality_assertions_dataset, error_message_run
from openlineage.client.transport.http import HttpCompression, HttpConfig, HttpTransport
from openlineage.client.uuid import generate_new_uuid

from sensord.app import App
from sensord.web.api import serve
from sensord.web.lineage import _NAMESPACE, STATES, _id
from tests.conftest import rows
from tests.sources.app_kit import ended, running, runs_of
from tests.sources.directory_kit import until

PRODUCER = "https://example.com/etl"
SENSORS = """
sensors:
  upstream:
    lineage: {namespace: "airflow*", job: "etl.*", state: [complete]}
    job: tell
    run_config: {of: "{{ lineage.run.runId }}", job: "{{ lineage.job.name }}", into: "{{ lineage.outputs[0].name }}"}
"""


@asynccontextmanager
async def daemon(folder: Path, text: str = SENSORS) -> AsyncIterator[tuple[App, str]]:
    async with running(folder, f"http: {{port: 0}}\n{text}") as app, serve(app) as url:
        yield app, url


def sender(url: str, **keys: Any) -> OpenLineageClient:
    return OpenLineageClient(transport=HttpTransport(HttpConfig(url=url, **keys)))


def said(
    state: RunState, run: str, *, name: str = "etl.load", namespace: str = "airflow-prod", **keys: Any
) -> RunEvent:
    return RunEvent(
        eventType=state,
        eventTime=datetime.now(UTC).isoformat(),
        run=Run(runId=run, facets=keys.pop("facets", {})),
        job=Job(namespace=namespace, name=name),
        producer=PRODUCER,
        **{"outputs": [OutputDataset(namespace="s3://lake", name="houses")], **keys},
    )


async def send(url: str, *events: RunEvent, **keys: Any) -> None:
    def all_of_them() -> None:
        client = sender(url, **keys)
        for one in events:
            client.emit(one)
        client.close()

    await to_thread.run_sync(all_of_them)


def kept(app: App) -> list[dict[str, Any]]:
    return rows(app.database, "SELECT * FROM events WHERE source = 'sensord:openlineage' ORDER BY seq")


async def test_each_run_and_state_is_one_trigger_in_any_order_and_however_often(tmp_path: Path) -> None:
    one, two = str(uuid4()), str(uuid4())
    async with daemon(tmp_path) as (app, url):
        done = said(RunState.COMPLETE, one)
        await send(url, done, said(RunState.START, one), done, said(RunState.RUNNING, one), said(RunState.RUNNING, one))
        await send(url, said(RunState.START, two), said(RunState.COMPLETE, two), said(RunState.COMPLETE, one))
        found = await ended(app, "tell", 2)
        assert len(found) == 2
        assert [json.loads(row["run_config"])["of"] for row in found] == [one, two]
        assert json.loads(found[0]["run_config"]) == {"of": one, "job": "etl.load", "into": "houses"}
        assert found[0]["run_key"] == f"{one}@complete"
        assert [row["type"] for row in kept(app)] == [
            *("lineage.complete", "lineage.start", "lineage.running", "lineage.start", "lineage.complete"),
        ]


async def test_only_the_jobs_that_are_looked_at_count(tmp_path: Path) -> None:
    async with daemon(tmp_path) as (app, url):
        await send(
            url,
            said(RunState.COMPLETE, str(uuid4()), name="other"),
            said(RunState.COMPLETE, str(uuid4()), namespace="dbt"),
            said(RunState.FAIL, str(uuid4())),
            said(RunState.COMPLETE, str(uuid4())),
        )
        assert len(await ended(app, "tell", 1)) == 1
        assert len(kept(app)) == 4


async def test_a_failed_run_says_why_and_its_topic_holds_no_wildcard_whatever_its_names(tmp_path: Path) -> None:
    why = error_message_run.ErrorMessageRunFacet(message="disk full", programmingLanguage="python")
    name = "a.b *>" + "x" * 300
    async with daemon(tmp_path) as (app, url):
        await send(url, said(RunState.FAIL, str(uuid4()), name=name, facets={"errorMessage": why}))
        (row,) = kept(app)
    assert row["message"] == f"{name} fail: disk full"
    assert (row["severity"], row["topic"].count("."), row["topic"].split(".")[3]) == (40, 3, "fail")
    assert not {"*", ">", " "} & set(row["topic"])


async def test_assertions_of_datasets_are_quality_events_once(tmp_path: Path) -> None:
    facet = data_quality_assertions_dataset.DataQualityAssertionsDatasetFacet(
        assertions=[
            data_quality_assertions_dataset.Assertion(assertion="not_null", success=False, column="traffic"),
            data_quality_assertions_dataset.Assertion(assertion="row_count", success=True),
        ]
    )
    checked = InputDataset(namespace="pg", name="houses", inputFacets={"dataQualityAssertions": facet})
    event = said(RunState.COMPLETE, str(uuid4()), inputs=[checked])
    async with daemon(tmp_path) as (app, url):
        await send(url, event, event)
        found = [row for row in kept(app) if row["type"].startswith("quality.")]
    assert [(row["topic"], row["severity"]) for row in found] == [
        ("quality.etl%2Eload.failed", 40),
        ("quality.etl%2Eload.passed", 20),
    ]
    assert found[0]["message"] == "etl.load: check not_null(traffic) failed for pg/houses"


async def test_assertions_are_found_under_whatever_escapes_their_name_is_written_with(tmp_path: Path) -> None:
    checks = {"dataQualityAssertions": {"assertions": [{"assertion": "not_null", "success": False}]}}
    whole = {**with_run(), "inputs": [{"namespace": "pg", "name": "houses", "inputFacets": checks}]}
    raw = json.dumps(whole).replace("QualityAssertions", "Quality\\u0041ssertions")
    assert "dataQualityAssertions" not in raw
    async with daemon(tmp_path) as (app, url), aiohttp.ClientSession() as session:
        headers = {"Content-Type": "application/json"}
        async with session.post(f"{url}/api/v1/lineage", data=raw.encode(), headers=headers) as answer:
            assert answer.status in (200, 201, 202), await answer.text()
        assert [row["topic"] for row in kept(app) if row["type"].startswith("quality.")] == ["quality.j.failed"]


async def test_a_compressed_event_is_taken_and_a_long_facet_left_out(tmp_path: Path) -> None:
    plan = error_message_run.ErrorMessageRunFacet(message="m", programmingLanguage="p", stackTrace="x" * 100_000)
    async with daemon(tmp_path) as (app, url):
        event = said(RunState.OTHER, str(uuid4()), facets={"spark.logicalPlan": plan})
        await send(url, event, compression=HttpCompression.GZIP)
        (row,) = kept(app)
    data = json.loads(row["data"])
    assert "spark.logicalPlan" not in data["run"]["facets"]
    assert "tags" in data["run"]["facets"]
    assert data["run"]["facets_left_out"] == ["spark.logicalPlan"]


WHOLE: dict[str, Any] = {"eventType": "COMPLETE", "run": {"runId": "r"}, "job": {"namespace": "n", "name": "j"}}


def with_run(**run: Any) -> dict[str, Any]:
    return {**WHOLE, "run": {"runId": str(uuid4()), **run}}


def refused() -> Iterator[Any]:
    yield from ([], "x", 1)
    for key in ("run", "job"):
        values: list[Any] = [[], "x", {}, {"runId": 5}]
        yield from ({**WHOLE, key: value} for value in values)
    states: list[Any] = ["DONE", 5, {}]
    yield from ({**WHOLE, "eventType": value} for value in states)
    times: list[Any] = ["yesterday", "2026-11-21", 5]
    yield from ({**WHOLE, "eventTime": value} for value in times)
    ids: list[Any] = ["", "a\0b", "x" * 2000, None]
    yield from (with_run(runId=value) for value in ids)


def odd() -> Iterator[Any]:
    """What the schema does not foresee, beside a whole run: taken all the same."""
    message: Any
    for message in ([], {"message": {}}, {"message": "a\0"}):
        yield with_run(facets={"errorMessage": message})
    facets: Any
    for facets in ([], "x"):
        yield with_run(facets=facets)
    inputs: Any
    for inputs in ("x", [1], [{"inputFacets": []}], [{"facets": {"dataQualityAssertions": []}}]):
        yield {**with_run(), "inputs": inputs}
    assertion: Any
    for assertion in (1, {}, {"success": "yes"}, {"success": True, "column": {}, "assertion": ["a\0"], "severity": {}}):
        checks = {"dataQualityAssertions": {"assertions": [assertion]}}
        yield {**with_run(), "inputs": [{"name": {}, "inputFacets": checks}]}
    yield {"eventTime": "2026-11-21T00:00:00Z", "dataset": {"namespace": "n", "name": "d"}}


async def test_what_is_no_event_is_refused_with_a_sentence_and_nothing_breaks(tmp_path: Path) -> None:
    async with daemon(tmp_path) as (_, url), aiohttp.ClientSession() as session:
        for body in refused():
            async with session.post(f"{url}/api/v1/lineage", json=body) as answer:
                assert answer.status == 400, (body, await answer.text())
                assert len((await answer.json())["error"]) > 10
        for body in odd():
            async with session.post(f"{url}/api/v1/lineage", json=body) as answer:
                assert answer.status == 202, (body, await answer.text())
        packed = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
        bomb, whole = gzip.compress(b"[" + b"1," * (1 << 20) + b"1]"), gzip.compress(b"{}")
        for raw, status in ((bomb, 413), (whole[:-9], 400), (b"x", 400), (whole, 400)):
            async with session.post(f"{url}/api/v1/lineage", data=raw, headers=packed) as answer:
                assert answer.status == status, raw[:20]
        for raw in (b"{", b'{"a": NaN}', b'"\xff"', b"[" * 5000):
            headers = {"Content-Type": "application/json"}
            async with session.post(f"{url}/api/v1/lineage", data=raw, headers=headers) as answer:
                assert answer.status == 400, raw[:20]


@pytest.mark.parametrize("topic", ["lineage.airflow-prod.etl%2Eload.complete"])
async def test_nobody_can_pretend_to_be_a_run_elsewhere_by_the_topic_alone(tmp_path: Path, topic: str) -> None:
    async with daemon(tmp_path) as (app, url), aiohttp.ClientSession() as session:
        for source in ("openlineage", "sensord:openlineage"):
            body = {"topic": topic, "type": "lineage.complete", "message": "x", "source": source}
            async with session.post(f"{url}/api/events", json=body) as answer:
                assert answer.status == (202 if source == "openlineage" else 400)
        await send(url, said(RunState.COMPLETE, str(uuid4())))
        assert len(await ended(app, "tell", 1)) == 1


async def test_many_clients_at_once_lose_nothing(tmp_path: Path) -> None:
    async with daemon(tmp_path) as (app, url), anyio.create_task_group() as group:
        for _ in range(8):
            group.start_soon(partial(send, url, *[said(RunState.COMPLETE, str(uuid4())) for _ in range(10)]))
        await until(lambda: len(kept(app)) == 80)
        await ended(app, "tell", 80)
        assert len({row["run_key"] for row in await runs_of(app, "tell")}) == 80


@pytest.mark.parametrize(
    "run", ["", "a run", "ünï", str(UUID(int=0xABCDEF << 104 | 7 << 76)).upper(), "x" * 14 + "7" + "x" * 21]
)
def test_an_id_is_a_uuid_of_its_parts(run: str) -> None:
    for parts in ((), ("COMPLETE",), ("x" * 1000, "y")):
        name = "".join(f"{len(part)} {part} " for part in (run, *parts))
        assert _id(run, *parts) == str(uuid5(_NAMESPACE, name))


def test_an_id_of_a_run_with_a_time_begins_with_that_time() -> None:
    run = str(generate_new_uuid())
    ids = {_id(run, state) for state in STATES} | {_id(str(generate_new_uuid()), STATES[0])}
    assert len(ids) == len(STATES) + 1
    assert {(UUID(one).version, UUID(one).variant) for one in ids} == {(8, RFC_4122)}
    assert {one[:13] for one in (_id(run, state) for state in STATES)} == {run[:13]}
    assert _id(run, "FAIL") == _id(run, "FAIL")
