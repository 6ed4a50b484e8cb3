from __future__ import annotations

from pathlib import Path

import aiohttp
import anyio
import pytest

from sensord.ledger.requests import request_runs
from sensord.web.api import serve, serve_unix
from tests.web.site import TOKEN, Site


async def ended(site: Site, run: str, status: str) -> None:
    await site.stage.until(f"{run}.1")
    site.stage.end(f"{run}.1", status)
    await site.settled(run, status)


async def test_one_sentence_says_whether_all_is_well(both: Site) -> None:
    assert (await both.get("/api/overview"))["sentence"] == "All well: no runs yet today."
    await ended(both, await both.launch(), "succeeded")
    overview = await both.get("/api/overview")
    assert (overview["well"], overview["sentence"]) == (True, "All well: 1 run today, none failed.")
    failed = await both.launch()
    await ended(both, failed, "failed")
    overview = await both.get("/api/overview")
    assert (overview["well"], overview["sentence"]) == (False, "1 run of 2 today did not succeed.")
    assert overview["today"] == {"succeeded": 1, "failed": 1}
    await both.app.sensings["drop"].failed("/in: permission denied")
    overview = await both.get("/api/overview")
    assert overview["sentence"] == "2 things need a look."
    assert [one["kind"] for one in overview["problems"]] == ["sensor", "runs"]
    assert "permission denied" in overview["problems"][0]["text"]


async def test_a_failure_that_was_repeated_with_success_is_mended_however_often_it_took(both: Site) -> None:
    failed = await both.launch()
    await ended(both, failed, "failed")
    run = failed
    for status, well in (("lost", False), ("succeeded", True)):
        _, again = await both.call("POST", f"/api/runs/{run}/retry")
        run = again["id"]
        await ended(both, run, status)
        assert (await both.get("/api/overview"))["well"] is well
    sentence = (await both.get("/api/overview"))["sentence"]
    assert sentence == "All well: 3 runs today, what failed was repeated with success."
    await ended(both, await both.launch(), "failed")
    assert (await both.get("/api/overview"))["sentence"] == "1 run of 4 today did not succeed."


async def test_the_story_of_a_run_is_told(site: Site) -> None:
    run = await site.launch()
    story = await site.get(f"/api/explain?what={run}")
    assert story["kind"] == "run"
    for query in ("", "?what=", "?what=%00", "?why=x"):
        status, _ = await site.call("GET", f"/api/explain{query}")
        assert status == 400


async def test_the_same_api_is_served_on_a_unix_socket(site: Site, tmp_path: Path) -> None:
    path = tmp_path / "api.sock"
    async with serve_unix(site.app, path):
        connector = aiohttp.UnixConnector(str(path))
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with (
            aiohttp.ClientSession(connector=connector, headers=headers) as http,
            http.get("http://localhost/api/jobs") as answer,
        ):
            assert answer.status == 200
            assert len((await answer.json())["items"]) == 2


async def test_a_port_that_is_taken_is_said_and_a_closed_server_listens_no_more(site: Site) -> None:
    port = int(site.url.rpartition(":")[2])
    taken = site.app.config.http.model_copy(update={"port": port})
    site.app.config = site.app.config.model_copy(update={"http": taken})
    with pytest.raises(OSError, match=str(port)):
        async with serve(site.app):
            raise AssertionError("two servers on one port")
    free = taken.model_copy(update={"port": 0})
    site.app.config = site.app.config.model_copy(update={"http": free})
    async with serve(site.app) as url:
        assert (await site.http.get(f"{url}/healthz")).status == 200
    with pytest.raises(aiohttp.ClientConnectorError):
        await site.http.get(f"{url}/healthz")


async def test_a_run_on_its_way_to_the_database_is_answered_while_the_server_stops(site: Site) -> None:
    """A request that has come in whole is done and answered: stopping waits for it."""
    statuses: list[int] = []

    async def launch(url: str) -> None:
        async with site.http.post(
            f"{url}/api/jobs/load/runs", json={}, headers={"Authorization": f"Bearer {TOKEN}"}
        ) as answer:
            statuses.append(answer.status)

    held = anyio.Event()
    let_go = anyio.Event()
    write = site.app.database.write

    async def slow(op: object, item: object, *, patient: bool = False) -> object:
        if op is request_runs:
            held.set()
            await let_go.wait()
        return await write(op, item, patient=patient)  # type: ignore[arg-type]

    site.app.database.write = slow  # type: ignore[method-assign,assignment]
    with anyio.fail_after(10):
        async with anyio.create_task_group() as group, serve(site.app) as url:
            group.start_soon(launch, url)
            await held.wait()
            group.start_soon(_later, let_go)
    site.app.database.write = write  # type: ignore[method-assign]
    assert statuses == [201]


async def _later(event: anyio.Event) -> None:
    for _ in range(100):
        await anyio.lowlevel.checkpoint()
    event.set()
