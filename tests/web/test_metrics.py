from __future__ import annotations

from datetime import timedelta

import anyio
from prometheus_client.parser import text_string_to_metric_families

from tests.web.site import TOKEN, Site


async def scrape(site: Site) -> dict[tuple[str, ...], float]:
    """(name, label values in the order of their names…) → value."""
    async with site.http.get(f"{site.url}/metrics", headers={"Authorization": f"Bearer {TOKEN}"}) as answer:
        assert answer.status == 200
        text = await answer.text()
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def test_the_figures_are_those_of_what_happened(both: Site) -> None:
    await both.call("POST", "/api/subscriptions", {"topic": "runs.>", "to": "inbox:"})
    before = await scrape(both)
    assert before["sensord_run_steps_total", "load", "succeeded"] == 0
    both.shelf.put("a.csv")
    both.shelf.put("empty.csv", size=0)
    await both.call("POST", "/api/sensors/drop/tick")
    (run,) = (await both.get("/api/runs"))["items"]
    await both.stage.until(f"{run['id']}.1")
    await both.settled(run["id"], "running")
    during = await scrape(both)
    assert during["sensord_runs", "load", "running"] == 1
    assert during["sensord_attempts_running",] == 1
    assert during["sensord_ticks_total", "requested", "drop"] == 1
    assert during["sensord_ticks_total", "skipped", "drop"] == 1
    both.stage.end(f"{run['id']}.1")
    await both.settled(run["id"], "succeeded")
    await both.found("/api/deliveries?status=delivered")
    await both.call("POST", "/api/events", {"topic": "runs.load.failed", "type": "run.failed", "job": "load"})
    after = await scrape(both)
    assert after["sensord_runs", "load", "running"] == 0
    assert after["sensord_run_steps_total", "load", "succeeded"] == 1
    assert after["sensord_run_steps_total", "load", "failed"] == 0, "an event from outside is no run of ours"
    assert after["sensord_events_total", "other"] == 1
    assert after["sensord_events_total", "run.succeeded"] == 1
    assert after["sensord_deliveries", "inbox", "delivered"] >= 1
    assert after["sensord_sensor_failing", "drop"] == 0
    assert after["sensord_sensor_look_age_seconds", "drop"] >= 0
    assert after["sensord_sensor_lag_seconds", "drop"] == 0
    both.app.sensings["drop"].behind(both.app.clock.now() - timedelta(minutes=5))
    assert (await scrape(both))["sensord_sensor_lag_seconds", "drop"] >= 300
    both.app.sensings["drop"].behind(None)
    assert after["sensord_queue_length",] == 0
    assert after["sensord_database_commits_total",] > before["sensord_database_commits_total",]
    assert after["sensord_database_trouble",] == 0
    assert after["process_resident_memory_bytes",] > 0
    assert any(name[0] == "sensord_build_info" for name in after)
    assert (await scrape(both))["sensord_run_steps_total", "load", "succeeded"] == 1, (
        "a second look counts nothing twice"
    )


async def test_health_is_the_process_and_readiness_what_it_needs(site: Site) -> None:
    for path in ("/healthz", "/readyz"):
        async with site.http.get(f"{site.url}{path}") as answer:
            assert answer.status == 200
    site.app.ready = False
    async with site.http.get(f"{site.url}/readyz") as answer:
        assert (answer.status, (await answer.json())["reason"]) == (503, "it is starting")
    site.app.ready = True

    async def troubled(path: str) -> str:
        """The answer while the database is in trouble, which the next commit of anybody's would end."""
        with anyio.fail_after(10):
            while True:
                site.app.database.trouble = "disk full on /secret/place"
                async with site.http.get(f"{site.url}{path}", headers={"Authorization": f"Bearer {TOKEN}"}) as answer:
                    text = await answer.text()
                    if site.app.database.trouble is not None:
                        return f"{answer.status} {text}"

    ready = await troubled("/readyz")
    assert ready.startswith("503 ")
    assert "/secret" not in ready
    assert "disk full" in await troubled("/api/overview")
    assert (await troubled("/healthz")).startswith("200 ")
