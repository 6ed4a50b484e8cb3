"""The other side tells of the end by itself, to the whole daemon over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from sensord.app import App
from sensord.web.api import serve
from tests.conftest import rows
from tests.doubles.rest import Plain
from tests.launchers.conformance_kit import until
from tests.sources.app_kit import ended, launch, running

JOBS = """
jobs:
  load:
    retry: {attempts: 2, backoff: 0s}
    http:
      url: URL/runs
      idempotency_header: Idempotency-Key
      allow_private: true
      body: {to: "{{ run.callback }}", secret: "{{ run.secret }}"}
      follow: {callback: "http://sensord.example.com/at/"}
"""


@pytest.fixture
def double() -> Iterator[Plain]:
    one = Plain()
    with one.served():
        yield one


@asynccontextmanager
async def daemon(folder: Path, double: Plain) -> AsyncIterator[tuple[App, str]]:
    jobs = JOBS.replace("URL", double.url)
    async with running(folder, "http: {port: 0, token: the-token-of-all}", jobs=jobs) as app, serve(app) as url:
        yield app, url


async def call(url: str, run: str, secret: str, **body: Any) -> int:
    headers = {"X-Sensord-Secret": secret} if secret else {}
    path = f"{url}/api/runs/{run}/callback"
    async with aiohttp.ClientSession() as http, http.post(path, json=body, headers=headers) as answer:
        return answer.status


async def test_a_call_with_the_secret_ends_the_run_once(tmp_path: Path, double: Plain) -> None:
    async with daemon(tmp_path, double) as (app, url):
        wish = await launch(app, "load")
        await until(lambda: double.bodies)
        secret = double.bodies[0]["secret"]
        assert double.bodies[0]["to"] == f"http://sensord.example.com/at/api/runs/{wish.id}/callback"
        for wrong in ("", "x", secret[:-1], "the-token-of-all"):
            assert await call(url, wish.id, wrong, status="succeeded") == 401
        assert await call(url, f"{wish.id[:-1]}x", secret, status="succeeded") in (401, 404)
        assert await call(url, wish.id, secret, status="won") == 400
        assert await call(url, wish.id, secret, status="succeeded", metadata={"rows": 3}) == 200
        (row,) = await ended(app, "load", 1)
        assert (row["status"], row["metadata"]) == ("succeeded", '{"rows":3}')
        assert await call(url, wish.id, secret, status="failed") == 200, "it is known how it ended"
        (row,) = rows(app.database, "SELECT status FROM runs")
        assert row["status"] == "succeeded"


async def test_a_call_that_is_taken_counts_after_a_restart(tmp_path: Path, double: Plain) -> None:
    async with daemon(tmp_path, double) as (app, url):
        wish = await launch(app, "load")
        await until(lambda: double.bodies)
        await until(lambda: rows(app.database, "SELECT 1 FROM runs WHERE status = 'running'"))
    async with daemon(tmp_path, double) as (app, url):
        await until(lambda: app.launchers["load"]._live)  # type: ignore[attr-defined]
        assert await call(url, wish.id, double.bodies[0]["secret"], status="failed", error="no rows") == 200
        await until(lambda: len(double.bodies) == 2)
        assert await call(url, wish.id, double.bodies[0]["secret"], status="succeeded") == 401, "an earlier attempt's"
        assert await call(url, wish.id, double.bodies[1]["secret"], status="failed", error="no rows again") == 200
        (row,) = await ended(app, "load", 1)
        assert (row["status"], row["error"]) == ("failed", "no rows again")
    assert sorted(double.starts.values()) == [1, 1]


async def test_a_call_that_comes_before_the_answer_counts(tmp_path: Path, double: Plain) -> None:
    double.faults += ["hold"]
    async with daemon(tmp_path, double) as (app, url):
        wish = await launch(app, "load")
        await until(lambda: double.bodies)
        assert await call(url, wish.id, double.bodies[0]["secret"], status="succeeded", metadata={"rows": 1}) == 200
        double.let_go()
        (row,) = await ended(app, "load", 1)
        assert (row["status"], row["metadata"]) == ("succeeded", '{"rows":1}')
    assert list(double.starts.values()) == [1]
