"""Checks over HTTP: taken from outside bounded and masked, listed, and shown with their last results."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from rules.quality import MAX_CELL, MAX_ROWS
from tests.web.site import Site


def result(passed: bool, job: str = "load", **data: Any) -> dict[str, Any]:
    what = "passed" if passed else "failed"
    return {
        "topic": f"quality.{job}.{what}",
        "type": f"quality.{what}",
        "severity": "info" if passed else "error",
        "message": f"{job}: check {data.get('check')} {what}",
        "data": data,
    }


async def told(site: Site, passed: bool, **data: Any) -> None:
    status, answer = await site.call("POST", "/api/events", result(passed, **data))
    assert status == 202, answer


async def test_checks_are_listed_those_that_fail_first_filtered_and_a_page_at_a_time(both: Site) -> None:
    await told(both, passed=True, check="rows", metrics={"failed": 0, "rows": 12})
    await told(both, passed=False, check="nulls", metrics={"failed": 3, "rows": 12}, detail="3 of 12", severity="warn")
    await told(both, passed=False, check="nulls", metrics={"failed": 5, "rows": 12}, detail="5 of 12", severity="warn")
    await told(both, passed=True, job="sum", check="nulls")
    page = await both.get("/api/checks")
    assert [(one["job"], one["check"], one["status"], one["in_a_row"]) for one in page["items"]] == [
        ("load", "nulls", "failed", 2),
        ("load", "rows", "passed", 1),
        ("sum", "nulls", "passed", 1),
    ]
    first = page["items"][0]
    assert (first["failed"], first["rows"], first["trend"], first["line"]) == (5, 12, [3, 5], "▅█")
    assert (await both.get("/api/checks?job=load&status=passed"))["items"] == [page["items"][1]]
    one = await both.get("/api/checks?limit=1")
    assert (await both.get(f"/api/checks?limit=2&after={one['next']}"))["items"] == page["items"][1:]


async def test_one_check_is_shown_with_its_last_results_and_no_other_s(both: Site) -> None:
    batch: list[dict[str, Any]] = []
    for number in range(40):
        counted: dict[str, Any] = {"metrics": {"failed": number}, "detail": f"{number} rows"}
        batch += [result(number % 3 != 0, check="nulls", **counted), result(passed=True, check="rows")]
    assert (await both.call("POST", "/api/events", batch))[0] == 202
    (check,) = (await both.get("/api/checks?check=nulls"))["items"]
    shown = await both.get(f"/api/checks/{check['id']}")
    assert [one["detail"] for one in shown["results"]] == [f"{number} rows" for number in range(39, 9, -1)]
    assert shown["results"][0]["status"] == "failed"
    status, answer = await both.call("POST", f"/api/checks/{check['id']}/accept")
    assert (status, "compares with no earlier file" in answer["error"]) == (409, True)
    for method, path in (("GET", ""), ("POST", "/accept")):
        status, answer = await both.call(method, f"/api/checks/{'0' * 8}-0000-0000-0000-{'0' * 12}{path}")
        assert (status, "there is no check" in answer["error"]) == (404, True)


async def test_a_result_from_outside_is_bounded_masked_and_told_on_the_job_s_hook(site: Site) -> None:
    hooks = dict(site.app.hooks)
    hooks["load"] = replace(hooks["load"], quality="bp.load.quality", mask=("*mail",))
    site.app.hooks = hooks
    sample = [{"row": number, "EMail": "a@b", "text": "x" * 5000} for number in range(50)]
    await told(site, passed=False, check="c", sample=sample, metrics={"mail": "a@b"}, detail="d" * 9000)
    (event,) = (await site.get("/api/events?topic=bp.load.quality"))["items"]
    data = event["data"]
    assert (len(data["sample"]), len(data["sample"][0]["text"]), len(data["detail"])) == (MAX_ROWS, MAX_CELL, 2000)
    assert "a@b" not in str(event)
    assert (event["job"], event["also"]) == ("load", "bp.load.quality")


async def test_an_assertion_of_a_dataset_is_a_check_with_a_history_and_masked_alike(site: Site) -> None:
    site.app.hooks = {**site.app.hooks, "etl": replace(site.app.hooks["load"], mask=("mail",))}
    for number, (dataset, success) in enumerate([("a", False), ("b", True), ("a", False), ("b", True)]):
        facet = {"assertions": [{"assertion": "max", "success": success, "column": "mail", "actual": "z@z"}]}
        body = {
            "eventType": "COMPLETE",
            "eventTime": "2026-11-21T01:02:03Z",
            "run": {"runId": f"00000000-0000-0000-0000-00000000000{number}"},
            "job": {"namespace": "n", "name": "etl"},
            "inputs": [{"namespace": "db", "name": dataset, "inputFacets": {"dataQualityAssertions": facet}}],
            "outputs": [],
        }
        assert (await site.call("POST", "/api/v1/lineage", body))[0] == 202
    found = (await site.get("/api/checks?job=etl"))["items"]
    assert [(one["series"], one["status"], one["in_a_row"]) for one in found] == [
        ("db/a", "failed", 2),
        ("db/b", "passed", 2),
    ]
    assert "z@z" not in str(await site.get("/api/events?topic=quality.etl.failed"))
