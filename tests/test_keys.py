"""Policies of run_keys in the whole app: what becomes of the run that had the key, and how keys are let go of."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import aiohttp
import anyio
import pytest
from anyio import to_thread

from sensord.app import App
from sensord.config import ConfigError
from sensord.web.api import serve
from tests.conftest import rows
from tests.sources.app_kit import configured, ended, event, running, runs_of
from tests.sources.directory_kit import until


def sensor(keys: str) -> str:
    return f'sensors: {{s: {{topic: "in.*", job: j, run_key: "{{{{ event.data.key }}}}", keys: {keys}}}}}\n'


async def say(app: App, key: str) -> None:
    await app.bus.publish([event("in.x", data={"key": key})])
    app.published()


def reasons(app: App) -> list[str]:
    return [row["reason"] for row in rows(app.database, "SELECT reason FROM ticks WHERE outcome = 'duplicate'")]


async def test_the_latest_version_cancels_a_run_of_an_older_one_and_takes_its_place(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    jobs = f"jobs: {{j: {{command: [sh, -c, 'read x < {gate}; echo $x'], concurrency: 1}}}}"
    async with running(tmp_path, sensor("latest_wins"), jobs=jobs) as app:
        await say(app, "a")
        await until(lambda: rows(app.database, "SELECT id FROM runs WHERE status = 'running'"))
        await say(app, "a")  # Takes the place of one that runs,
        (first, *_) = await ended(app, "j", 1)
        await say(app, "a")  # and of one that waits or has just begun.
        (_, second, *_) = await ended(app, "j", 2)
        with anyio.fail_after(20):
            await to_thread.run_sync(gate.write_text, "go\n")
        found = await ended(app, "j", 3)
    assert [first["status"], second["status"]] == ["cancelled", "cancelled"]
    assert [run["status"] for run in found] == ["cancelled", "cancelled", "succeeded"]


async def test_only_a_run_that_came_to_nothing_gives_its_key_away(tmp_path: Path) -> None:
    jobs = f"jobs: {{j: {{command: [sh, -c, 'test -e {tmp_path}/well']}}}}"
    async with running(tmp_path, sensor("retry_failed"), jobs=jobs) as app:
        await say(app, "a")
        assert [run["status"] for run in await ended(app, "j", 1)] == ["failed"]
        (tmp_path / "well").touch()
        await say(app, "a")
        found = await ended(app, "j", 2)
        assert [run["status"] for run in found] == ["failed", "succeeded"]
        await say(app, "a")
        await until(lambda: reasons(app))
        assert reasons(app) == [f"run {found[1]['id']} holds this run_key"]
        assert len(await runs_of(app, "j")) == 2


async def test_each_version_has_a_key_of_its_own_and_a_ttl_ends_a_claim(tmp_path: Path) -> None:
    jobs = "jobs: {j: {command: ['true']}}"
    async with running(tmp_path, sensor("per_version"), jobs=jobs) as app:
        await say(app, "a")
        await say(app, "a")
        first, second = await ended(app, "j", 2)
        assert first["run_key"].startswith("a@")
        assert first["run_key"] != second["run_key"]
    (tmp_path / "other").mkdir()
    async with running(tmp_path / "other", sensor("{ttl: 1ms}"), jobs=jobs) as app:
        for number in (1, 2, 3):
            await say(app, "a")
            assert len(await ended(app, "j", number)) == number


async def test_old_keys_are_forgotten_over_http_a_slice_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sensord.ledger.keys._SLICE", 2)
    jobs = "jobs: {j: {command: ['true']}}"
    text = sensor("once") + "http: {port: 0}\n"
    async with running(tmp_path, text, jobs=jobs) as app, serve(app) as url, aiohttp.ClientSession() as http:

        async def expire(**asked: Any) -> tuple[int, Any]:
            async with http.post(f"{url}/api/keys/expire", json=asked) as answer:
                return answer.status, await answer.json()

        for name in "abcde":
            await say(app, name)
        await ended(app, "j", 5)
        assert await expire(older_than="1d") == (200, {"forgotten": 0, "next": '["s", "j", "b"]'})
        forgotten, asked = 0, {"older_than": "0s", "sensor": "s", "job": "j"}
        while True:
            status, found = await expire(**asked)
            assert status == 200
            forgotten += found["forgotten"]
            if found["next"] is None:
                break
            asked["after"] = found["next"]
        assert forgotten == 5
        await say(app, "a")
        assert len(await ended(app, "j", 6)) == 6
        for wrong in (
            {},
            {"older_than": "soon"},
            {"older_than": "1d", "after": "x"},
            {"older_than": "1d", "after": "[1]"},
        ):
            status, found = await expire(**wrong)
            assert status == 400, wrong
            assert found["error"]


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ("latest", "keys"),
        ("{policy: once, ttl: 0s}", "ttl"),
        ("{polcy: once}", "policy"),
    ],
)
def test_policies_that_there_are_not_are_refused(tmp_path: Path, keys: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        configured(tmp_path, sensor(keys), "jobs: {j: {command: ['true']}}")


def test_a_policy_of_versions_wants_a_run_key_without_one(tmp_path: Path) -> None:
    text = 'sensors: {s: {topic: "in.*", job: j, keys: latest_wins}}'
    with pytest.raises(ConfigError, match="add a run_key that leaves the version out"):
        configured(tmp_path, text, "jobs: {j: {command: ['true']}}")
