from __future__ import annotations

import os
from functools import partial
from pathlib import Path

import aiohttp
import anyio
from anyio import to_thread

from notifiers.clock import from_us
from sensord.web.api import serve
from tests.sources.app_kit import launch, running
from tests.sources.directory_kit import until
from tests.web.site import TOKEN, Site

NOBODY = "00000000-0000-7000-8000-000000000000"


async def test_a_launched_run_is_told_whole_from_queue_to_end(both: Site) -> None:
    run = await both.launch(run_config={"path": "/in/a.csv"}, tags={"who": "me"}, partition_key="2026", priority=3)
    both.stage.end(f"{run}.1", metadata={"rows": 12})
    found = await both.settled(run, "succeeded")
    assert found["tags"] == {"team": "geo", "who": "me"}
    assert found["run_config"] == {"path": "/in/a.csv"}
    assert (found["job"], found["sensor"], found["attempt"], found["priority"]) == ("load", None, 1, 3)
    assert found["metadata"] == {"rows": 12}
    assert found["requested_at"] <= found["started_at"] <= found["ended_at"]
    assert found["ended_at"].endswith("Z")
    events = (await both.get(f"/api/events?run={run}"))["items"]
    assert [event["type"] for event in events] == ["run.succeeded", "run.started", "run.queued"]


async def test_a_run_key_that_is_held_gives_the_run_that_holds_it_until_it_is_forgotten(both: Site) -> None:
    run = await both.launch(run_key="a.csv")
    status, again = await both.call("POST", "/api/jobs/load/runs", {"run_key": "a.csv"})
    assert (status, again["id"], again["duplicate"]) == (200, run, True)
    (key,) = (await both.get("/api/keys?sensor=-&job=load&run_key=a.csv"))["items"]
    assert (key["sensor"], key["run"]) == (None, run)
    status, gone = await both.call("DELETE", "/api/keys", {"job": "load", "run_key": "a.csv"})
    assert (status, gone["run"]) == (200, run)
    status, _ = await both.call("DELETE", "/api/keys", {"job": "load", "run_key": "a.csv"})
    assert status == 404
    status, fresh = await both.call("POST", "/api/jobs/load/runs", {"run_key": "a.csv"})
    assert status == 201
    assert fresh["id"] != run


async def test_many_at_once_with_one_run_key_are_one_run(site: Site) -> None:
    found: list[tuple[int, str]] = []

    async def ask() -> None:
        status, run = await site.call("POST", "/api/jobs/load/runs", {"run_key": "k"})
        found.append((status, run["id"]))

    async with anyio.create_task_group() as group:
        for _ in range(30):
            group.start_soon(ask)
    assert sorted(status for status, _ in found) == [200] * 29 + [201]
    assert len({run for _, run in found}) == 1


NO_LAUNCHES: list[tuple[object, int, str]] = [
    ({"run_config": {"path": 7}}, 422, "$.path"),
    ({"run_config": []}, 400, "object"),
    ({"tags": {"a": 1}}, 400, "'a'"),
    ({"tags": "a"}, 400, "object"),
    ({"run_key": ""}, 400, "empty"),
    ({"run_key": "a\0"}, 400, "NUL"),
    ({"priority": "high"}, 400, "whole number"),
    ({"priority": True}, 400, "whole number"),
    ({"priority": 2**31}, 400, "whole number"),
    ({"config": {}}, 400, "'config'"),
    ([], 400, "object"),
]


async def test_a_launch_that_cannot_be_is_refused_with_what_to_do(site: Site) -> None:
    for body, status, word in NO_LAUNCHES:
        found, answer = await site.call("POST", "/api/jobs/load/runs", body)
        assert found == status, body
        assert word in answer["error"]
    assert (await site.get("/api/runs"))["items"] == []


async def test_what_is_not_there_is_404_and_says_what_is(site: Site) -> None:
    status, answer = await site.call("POST", "/api/jobs/lod/runs", {})
    assert status == 404
    assert "load" in answer["error"]
    for path in (f"/api/runs/{NOBODY}/cancel", f"/api/runs/{NOBODY}/retry"):
        status, answer = await site.call("POST", path)
        assert status == 404, path
    for path in ("runs", "events", "subscriptions", "deliveries"):
        status, answer = await site.call("GET", f"/api/{path}/{NOBODY}")
        assert status == 404
        assert path in answer["error"]
    status, _ = await site.call("GET", f"/api/runs/{NOBODY}/log")
    assert status == 404


async def test_a_running_run_is_cancelled_and_an_ended_one_is_not(both: Site) -> None:
    run = await both.launch()
    status, answer = await both.call("POST", f"/api/runs/{run}/cancel")
    assert status == 202
    assert answer["id"] == run
    await both.settled(run, "cancelled")
    status, answer = await both.call("POST", f"/api/runs/{run}/cancel")
    assert status == 409
    assert "cancelled" in answer["error"]


async def test_a_retry_is_a_new_run_with_the_same_wishes_that_takes_no_key(both: Site) -> None:
    run = await both.launch(run_key="a.csv", run_config={"path": "/in/a.csv"}, tags={"who": "me"})
    status, _ = await both.call("POST", f"/api/runs/{run}/retry")
    assert status == 409
    both.stage.end(f"{run}.1", "failed", error="exit code 3")
    failed = await both.settled(run, "failed")
    assert failed["error"] == "exit code 3"
    status, again = await both.call("POST", f"/api/runs/{run}/retry", {})
    assert status == 201
    assert again["id"] != run
    assert again["tags"] == {"team": "geo", "who": "me", "sensord/retry_of": run}
    assert (again["run_key"], again["run_config"]) == ("a.csv", {"path": "/in/a.csv"})
    await both.stage.until(f"{again['id']}.1")
    (key,) = (await both.get("/api/keys"))["items"]
    assert key["run"] == run


async def test_a_log_is_read_whole_from_its_end_and_as_it_grows_until_the_attempt_ends(site: Site) -> None:
    run = await site.launch()
    site.stage.write(f"{run}.1", "first line\n<b>second</b>\n")
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with site.http.get(f"{site.url}/api/runs/{run}/log", headers=headers) as answer:
        assert await answer.text() == "first line\n<b>second</b>\n"
        assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
    async with site.http.get(f"{site.url}/api/runs/{run}/log?tail=5", headers=headers) as answer:
        assert await answer.text() == "</b>\n"[-5:]
    with anyio.fail_after(10):
        async with site.http.get(f"{site.url}/api/runs/{run}/log?follow=1&attempt=1", headers=headers) as answer:
            seen = await answer.content.readuntil(b"</b>\n")
            site.stage.write(f"{run}.1", "third\n")
            seen += await answer.content.readline()
            site.stage.write(f"{run}.1", "last\n")
            site.stage.end(f"{run}.1")
            seen += await answer.content.read()
    assert seen.decode() == "first line\n<b>second</b>\nthird\nlast\n"


async def test_the_log_of_a_run_that_waits_for_its_slot_is_followed_from_its_start(tmp_path: Path) -> None:
    gates = [tmp_path / "first", tmp_path / "second"]
    for gate in gates:
        os.mkfifo(gate)
    jobs = 'jobs: {gated: {command: [sh, -c, "echo begun; read x < {{ run.config.gate }}"]}}'
    async with (
        running(tmp_path, "http: {port: 0}\nconcurrency: 1", jobs=jobs) as app,
        serve(app) as url,
        aiohttp.ClientSession() as http,
    ):
        first, second = [await launch(app, "gated", gate=str(gate)) for gate in gates]
        seen: list[str] = []

        async def follow() -> None:
            async with http.get(f"{url}/api/runs/{second.id}/log?follow=1") as answer:
                assert answer.status == 200
                seen.append(await answer.text())

        with anyio.fail_after(20):
            async with anyio.create_task_group() as group:
                group.start_soon(follow)
                for run, gate in zip((first, second), gates, strict=True):
                    log = app.launchers["gated"].log
                    await until(partial(log, run.id, 1, from_us(run.requested_at)))
                    await to_thread.run_sync(gate.write_text, "go\n")
    assert seen == ["begun\n"]


async def test_a_log_is_asked_for_in_words_that_exist(site: Site) -> None:
    run = await site.launch()
    for query in ("attempt=0", "attempt=-1", "attempt=..", "follow=maybe", "tail=x", "lines=3"):
        status, _ = await site.call("GET", f"/api/runs/{run}/log?{query}")
        assert status == 400, query
    status, answer = await site.call("GET", f"/api/runs/{run}/log?attempt=2")
    assert status == 404
    assert "attempt" in answer["error"]


async def test_a_followed_log_ends_with_the_server(site: Site) -> None:
    run = await site.launch()
    headers = {"Authorization": f"Bearer {TOKEN}"}
    with anyio.fail_after(10):
        async with serve(site.app) as url:
            answer = await site.http.get(f"{url}/api/runs/{run}/log?follow=1", headers=headers)
        await answer.read()
