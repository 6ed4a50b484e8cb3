"""What may be wrong with a Dagster, or with what is before it: each is said in a sentence, and nothing is lost."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import aiohttp
import anyio
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from sensord.sources import dagster_graphql, dagster_runs
from tests.sources.dagster_kit import Dagster, aside, sensing

TOKEN = "agent:prod:0123456789abcdef"
Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def answering(answer: Answer) -> AsyncIterator[str]:
    """What stands where Dagster should, or before it."""
    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", answer)
    async with TestServer(app, host="127.0.0.1") as server:
        yield str(server.make_url("")).rstrip("/")


def saying(text: str, status: int = 200, **headers: str) -> Answer:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(text=text, status=status, headers=headers)

    return answer


async def test_a_web_server_that_is_restarted_is_told_of_and_what_ended_meanwhile_comes(dagster: Dagster) -> None:
    async with sensing(dagster, jobs="meanwhile") as sensor:
        emit = sensor.emit
        [before] = await aside(dagster, "runs", job="meanwhile")
        assert await sensor.look() == [before]
        dagster.stop()
        meanwhile = await aside(dagster, "runs", job="meanwhile", count=3)
        looks, recoveries = emit.looks, emit.recoveries
        assert await sensor.look() == [before]
        assert await sensor.look() == [before]
        assert emit.failures[0].startswith(f"Dagster at {dagster.url} cannot be reached (")
        assert emit.failures == 2 * emit.failures[:1]
        assert (emit.looks, emit.recoveries) == (looks, recoveries)
        dagster.start()
        assert await sensor.look() == [before, *meanwhile]
        assert emit.recoveries > recoveries


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (saying("<html><h1>Hello</h1>"), "no GraphQL answers at {url}/graphql (HTTP 200: <html><h1>Hello</h1>); check"),
        (
            saying("Method Not Allowed", 405),
            "no GraphQL answers at {url}/graphql (HTTP 405: Method Not Allowed); check",
        ),
        (saying("{}"), "no GraphQL answers at {url}/graphql (HTTP 200: {{}}); check url"),
        (saying("no", 401), "Dagster at {url} refuses us (HTTP 401); check token, or headers"),
        (saying("no", 403), "Dagster at {url} refuses us (HTTP 403); check token, or headers"),
        (saying("", 302, Location="/login?t=s3cret"), "Dagster at {url} sends us elsewhere (HTTP 302); write its real"),
        (saying("slow down", 429), "Dagster at {url} cannot answer now (HTTP 429); it is asked again"),
        (saying("<html>", 502), "Dagster at {url} cannot answer now (HTTP 502); it is asked again"),
        (
            saying('{"data": null, "errors": [{"message": "database is locked\\nTraceback …"}]}', 500),
            "Dagster at {url} cannot answer: database is locked; it is asked again",
        ),
        (
            saying('{"data": {"version": "1", "runs": {"__typename": "PythonError", "message": "psycopg2: gone"}}}'),
            "Dagster at {url} cannot answer: psycopg2: gone; it is asked again",
        ),
    ],
)
async def test_what_answers_in_its_place_is_said(answer: Answer, reason: str) -> None:
    async with answering(answer) as url, sensing(url, token=TOKEN) as sensor:
        await sensor.emit.until(lambda: sensor.emit.failures)
    said = sensor.emit.failures[0]
    assert said.startswith(reason.format(url=url))
    assert TOKEN not in said
    assert "s3cret" not in said
    assert sensor.emit.looks == 0


async def test_a_dagster_that_does_not_know_what_it_is_asked_is_too_old(
    dagster: Dagster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dagster_runs, "_LISTED", dagster_runs._LISTED.replace("updateTime", "lastUpdated"))
    async with sensing(dagster, wait=False) as sensor:
        await sensor.emit.until(lambda: sensor.emit.failures)
    assert "Cannot query field 'lastUpdated' on type 'Run'." in sensor.emit.failures[0]
    assert sensor.emit.failures[0].endswith("upgrade Dagster")


async def test_an_answer_without_end_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dagster_graphql, "BODY", 100_000)

    async def endless(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        while request.transport is not None and not request.transport.is_closing():
            await answer.write(b"x" * 10_000)
        return answer

    async with answering(endless) as url, sensing(url) as sensor:
        assert sensor.emit.failures == [f"Dagster at {url} answers with more than 100000 bytes at once"]


async def test_an_answer_that_takes_too_long_is_given_up() -> None:
    gone = anyio.Event()

    async def never(_: web.Request) -> web.Response:
        await gone.wait()
        return web.Response()

    async with answering(never) as url, sensing(url, timeout="200ms") as sensor:
        gone.set()
        assert sensor.emit.failures[0].startswith(f"Dagster at {url} cannot be reached (")


async def test_the_token_and_the_headers_open_what_is_before_dagster(dagster: Dagster) -> None:
    wanted = {"Dagster-Cloud-Api-Token": TOKEN, "X-Team": "geo"}
    async with aiohttp.ClientSession() as http:

        async def guarded(request: web.Request) -> web.Response:
            if request.path != "/prod/graphql" or any(request.headers.get(name) != wanted[name] for name in wanted):
                return web.Response(status=401)
            kind = {"Content-Type": request.headers["Content-Type"]}
            async with http.post(f"{dagster.url}/graphql", data=await request.read(), headers=kind) as answer:
                return web.Response(body=await answer.read(), status=answer.status, content_type="application/json")

        async with answering(guarded) as url:
            async with sensing(f"{url}/prod", token=TOKEN, headers={"X-Team": "geo"}, jobs="guarded") as sensor:
                [run] = await aside(dagster, "runs", job="guarded")
                assert await sensor.look() == [run]
                assert sensor.emit.failures == []
            async with sensing(f"{url}/prod/", token="another", headers={"X-Team": "geo"}) as sensor:
                assert sensor.emit.failures == [f"Dagster at {url}/prod refuses us (HTTP 401); check token, or headers"]


async def test_a_run_config_longer_than_an_answer_may_be_is_left_out_and_its_run_is_not(
    dagster: Dagster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dagster_graphql, "BODY", 20_000)
    async with sensing(dagster, jobs="long") as sensor:
        runs = await aside(dagster, "runs", job="long", count=10, config={"text": "x" * 5000})
        [huge] = await aside(dagster, "runs", job="long", config={"text": "x" * 30_000})
        assert await sensor.look() == [*runs, huge]
        configs = [one.context["run"]["run_config"] for one in sensor.emit.sensed]
        assert configs == [{"text": "x" * 5000}] * 10 + [{}]


async def test_a_run_that_dagster_itself_cannot_tell_all_of_holds_nobody_up(dagster: Dagster) -> None:
    """A file's name that is no UTF-8, for example: Dagster keeps it, and its own page breaks on it."""
    async with sensing(dagster, jobs="odd") as sensor:
        [odd] = await aside(dagster, "runs", job="odd", config={"path": "caf\udce9.csv"})
        [good] = await aside(dagster, "runs", job="odd", config={"path": "cafe.csv"})
        assert await sensor.look() == [odd, good]
        assert [one.context["run"]["run_config"] for one in sensor.emit.sensed] == [{}, {"path": "cafe.csv"}]
        assert sensor.emit.failures == []
