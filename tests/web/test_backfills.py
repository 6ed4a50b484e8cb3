"""Backfills and partitions over HTTP."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from tests.web.site import Site

FIRST = {"from": "2026-01-01", "to": "2026-01-03"}


async def begun(site: Site, count: int = 3, **body: Any) -> dict[str, Any]:
    """A backfill of three days whose runs are all going on."""
    status, item = await site.call("POST", "/api/jobs/load/backfills", {**FIRST, **body})
    assert status == 201, item
    for run in await opened(site, item["id"], count):
        await site.stage.until(f"{run}.1")
    return dict(item)


async def opened(site: Site, backfill: str, count: int) -> list[str]:
    with anyio.fail_after(10):
        while len(found := await runs(site, backfill)) < count:
            await site.app.database.read(lambda _conn: None)
    return found


async def runs(site: Site, backfill: str) -> list[str]:
    items = (await site.get(f"/api/backfills/{backfill}/partitions"))["items"]
    return [item["run"] for item in items if item["run"] is not None]


async def over(site: Site, backfill: str) -> dict[str, Any]:
    with anyio.fail_after(10):
        while (found := await site.get(f"/api/backfills/{backfill}"))["ended_at"] is None:
            await site.app.database.read(lambda _conn: None)
    return dict(found)


async def test_one_is_begun_looked_at_and_ends(both: Site) -> None:
    item = await begun(both, run_config={"path": "x"})
    assert (item["status"], item["total"], item["concurrency"], item["order"]) == ("running", 3, 4, "oldest")
    assert (item["first"], item["last"], item["run_config"]) == ("2026-01-01", "2026-01-03", {"path": "x"})
    found = await both.get(f"/api/backfills/{item['id']}")
    assert found["counts"]["running"] + found["counts"]["queued"] == 3
    ids = await runs(both, item["id"])
    for run, status in zip(ids, ("succeeded", "failed", "succeeded"), strict=True):
        both.stage.end(f"{run}.1", status, error="it broke" if status == "failed" else "")
    found = await over(both, item["id"])
    assert (found["status"], found["counts"]["succeeded"], found["counts"]["failed"]) == ("failed", 2, 1)
    bad = (await both.get(f"/api/backfills/{item['id']}/partitions?status=failed"))["items"]
    assert [(one["partition_key"], one["run"], one["error"]) for one in bad] == [("2026-01-02", ids[1], "it broke")]
    assert bad[0]["start"] == "2026-01-02T00:00:00.000000Z"
    told = await both.get(f"/api/explain?what={ids[1]}")
    assert any(f"for partition 2026-01-02 by backfill {item['id']}" in line["text"] for line in told["story"])


async def test_a_dry_run_and_one_that_has_nothing_to_do_change_nothing(site: Site) -> None:
    status, plan = await site.call("POST", "/api/jobs/load/backfills", {**FIRST, "order": "newest", "dry_run": True})
    assert (status, plan["total"], plan["covered"]) == (200, 3, 3)
    assert plan["partitions"] == ["2026-01-03", "2026-01-02", "2026-01-01"]
    status, plan = await site.call("POST", "/api/jobs/load/backfills", {**FIRST, "only": "failed"})
    assert (status, plan["total"], plan["covered"]) == (200, 0, 3)
    assert (await site.get("/api/backfills"))["items"] == []


async def test_the_list_has_pages_and_filters(both: Site) -> None:
    ids = [(await begun(both))["id"] for _ in range(3)]
    page = await both.get("/api/backfills?limit=2")
    assert [item["id"] for item in page["items"]] == ids[:0:-1]
    rest = await both.get(f"/api/backfills?limit=2&after={page['next']}")
    assert ([item["id"] for item in rest["items"]], rest["next"]) == (ids[:1], None)
    assert (await both.get("/api/backfills?status=succeeded&status=failed"))["items"] == []
    assert len((await both.get("/api/backfills?job=load&status=running"))["items"]) == 3
    assert (await both.call("GET", "/api/backfills?colour=red"))[0] == 400
    partitions = f"/api/backfills/{ids[0]}/partitions"
    page = await both.get(f"{partitions}?limit=2")
    assert ([item["position"] for item in page["items"]], page["next"]) == ([0, 1], "1")
    rest = await both.get(f"{partitions}?limit=2&after=1")
    assert ([item["position"] for item in rest["items"]], rest["next"]) == ([2], None)


async def test_a_cancel_ends_it_once(both: Site) -> None:
    item = await begun(both, 1, concurrency=1)
    status, found = await both.call("POST", f"/api/backfills/{item['id']}/cancel")
    assert (status, found["status"]) == (202, "cancelled")
    found = await over(both, item["id"])
    assert (found["counts"]["cancelled"], found["counts"]["not_started"]) == (1, 2)
    status, answer = await both.call("POST", f"/api/backfills/{item['id']}/cancel")
    assert (status, answer["error"]) == (409, "the backfill has ended already: it is cancelled")


@pytest.mark.parametrize(
    ("body", "status", "sentence"),
    [
        ({"from": "2026-01-0"}, 422, "'2026-01-0' is no daily partition; write for example 2026-11-21"),
        ({"from": "2025-12-31"}, 422, "'2025-12-31' is before the first daily partition, '2026-01-01'"),
        ({"from": "2026-01-03", "to": "2026-01-01"}, 422, "write them the other way round"),
        ({"to": "2199-12-31"}, 422, "has not ended yet"),
        ({"run_config": {"path": 3}}, 422, "run_config: $.path"),
        ({"only": "some"}, 400, "only is 'some'; send all or missing or failed"),
        ({"order": "random"}, 400, "order is 'random'; send oldest or newest"),
        ({"concurrency": 0}, 400, "concurrency must be a whole number from 1 to 1000"),
        ({"concurrency": "4"}, 400, "concurrency must be a whole number"),
        ({"dry_run": 1}, 400, "dry_run must be true or false"),
        ({"form": "2026-01-01"}, 400, "'form' is no key of this request"),
        ({"from": 20260101}, 400, "from is a number; send text"),
        ({"from": "2026\0"}, 400, "NUL"),
    ],
)
async def test_what_is_wrong_is_said(site: Site, body: dict[str, Any], status: int, sentence: str) -> None:
    found, answer = await site.call("POST", "/api/jobs/load/backfills", body)
    assert found == status, answer
    assert sentence in answer["error"]
    assert (await site.get("/api/backfills"))["items"] == []


async def test_a_job_without_partitions_and_none_at_all(site: Site) -> None:
    status, answer = await site.call("POST", "/api/jobs/sum/backfills", {})
    assert status == 422
    assert "job sum has no partitions; say which slices its data comes in" in answer["error"]
    assert (await site.call("GET", "/api/jobs/sum/partitions"))[0] == 404
    assert (await site.call("POST", "/api/jobs/none/backfills", {}))[0] == 404
    assert (await site.call("GET", "/api/jobs/none/partitions"))[0] == 404
    nobody = "0189abcd-0000-7000-8000-00000000000f"
    for method, path in (("GET", ""), ("GET", "/partitions"), ("POST", "/cancel")):
        status, answer = await site.call(method, f"/api/backfills/{nobody}{path}")
        assert (status, "there is no backfill" in answer["error"]) == (404, True)
    assert (await site.get("/api/jobs/sum"))["partitions"] is None
    assert (await site.get("/api/jobs/load"))["partitions"] == {
        "timezone": "UTC",
        "every": "daily",
        "start": "2026-01-01",
    }


async def test_the_partitions_of_a_job_have_their_states(both: Site) -> None:
    item = await begun(both, concurrency=3)
    first, second, third = await runs(both, item["id"])
    both.stage.end(f"{first}.1")
    both.stage.end(f"{second}.1", "failed")
    await both.settled(second, "failed")
    await both.settled(first, "succeeded")
    await both.settled(third, "running")
    found = await both.get("/api/jobs/load/partitions?limit=1")
    assert (found["every"], found["timezone"]) == ("daily", "UTC")
    assert found["items"][0]["state"] == "missing"
    assert found["next"] == found["items"][0]["key"]
    counts = found["counts"]
    assert (counts["succeeded"], counts["failed"], counts["running"]) == (1, 1, 1)
    assert counts["missing"] == found["total"] - 3
    rest = await both.get(f"/api/jobs/load/partitions?limit=1000&after={found['next']}")
    assert len(rest["items"]) == found["total"] - 1
    assert rest["items"][-1] == {
        "key": "2026-01-01",
        "start": "2026-01-01T00:00:00Z",
        "end": "2026-01-02T00:00:00Z",
        "state": "succeeded",
        "run": first,
    }
    found = await both.get("/api/jobs/load/partitions?state=failed&state=running")
    assert [(one["key"], one["run"]) for one in found["items"]] == [("2026-01-03", third), ("2026-01-02", second)]
    assert (await both.call("GET", "/api/jobs/load/partitions?after=yesterday"))[0] == 400
    both.stage.end(f"{third}.1")
    await over(both, item["id"])
