"""Materialisations of a real Dagster's assets: each is emitted once, with its partition and its metadata."""

from __future__ import annotations

import time
from typing import Any
from uuid import uuid4

import pytest

from sensord.sources import dagster_assets, dagster_graphql
from tests.sources.dagster_kit import Dagster, Ledger, aside, sensing


@pytest.fixture
def team() -> str:
    """Where assets are that nobody has materialised yet."""
    return f"team_{uuid4().hex[:8]}"


def milliseconds(ago: float = 0.0) -> int:
    return round((time.time() - ago) * 1000)


def seen(emit: Ledger, *fields: str) -> list[Any]:
    found = [one.context["materialization"] for one in emit.sensed]
    return [one[fields[0]] if len(fields) == 1 else tuple(one[field] for field in fields) for one in found]


async def test_each_materialisation_from_now_on_is_emitted_once(dagster: Dagster, team: str) -> None:
    await aside(dagster, "materialize", asset=[team, "old"], at=milliseconds(ago=5))
    async with sensing(dagster, assets=f"{team}/*") as sensor:
        assert sensor.subjects == []
        await aside(dagster, "materialize", asset=[team, "old"], partitions=["riga", "oslo"], at=milliseconds())
        await aside(dagster, "materialize", asset=[team, "new"], at=milliseconds() + 1, metadata={"rows": 7})
        await aside(dagster, "materialize", asset=[team, "deep", "down"])
        await sensor.look()
        assert await sensor.look() == sensor.subjects
    assert seen(sensor.emit, "asset", "partition") == [
        (f"{team}/old", "riga"),
        (f"{team}/old", "oslo"),
        (f"{team}/new", None),
    ]
    riga, _, new = sensor.emit.sensed
    told = riga.context["materialization"]
    assert riga.partition_key == "riga"
    assert riga.key.startswith(f"{team}/old[riga]@-@")
    assert (told["run_id"], told["run_url"], told["path"]) == (None, None, [team, "old"])
    assert told["url"] == f"{dagster.url}/assets/{team}/old"
    assert new.context["materialization"]["metadata"] == {"rows": 7}
    assert sensor.source.why(riga.subject) is None
    assert sensor.source.why(f"{team}/deep/down") == f"{team}/deep/down is none of the assets {team}/*"


async def test_a_look_that_finds_nothing_new_is_one_request(dagster: Dagster, team: str) -> None:
    async with sensing(dagster, assets=f"{team}/**") as sensor:
        await aside(dagster, "materialize", asset=[team, "a"])
        await sensor.look()
        await sensor.look()
        sensor.asked.clear()
        await sensor.look()
        assert len(sensor.asked) == 1
        assert len(sensor.emit.sensed) == 1


async def test_a_night_of_many_assets_is_drained_in_small_pages_in_order(
    dagster: Dagster, team: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dagster_assets, "_MANY", 2)
    night = milliseconds(ago=8 * 3600)
    for at in range(6):
        for asset in range(5):
            partitions = [f"p{at}", f"q{at}"]
            moment = night + at * 600_000 + asset
            await aside(dagster, "materialize", asset=[team, f"a{asset}"], partitions=partitions, at=moment)
    since = f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(night / 1000 - 1))}Z"
    emit = Ledger()
    emit.stops_at = 25
    async with sensing(dagster, emit, assets=f"{team}/*", since=since, page=7, overlap="5m", wait=False):
        await emit.until(lambda: len(emit.sensed) > 15)
    before = list(emit.sensed)
    emit = emit.after_a_restart()
    async with sensing(dagster, emit, assets=f"{team}/*", page=7, overlap="5m"):
        assert len(before) + len(emit.sensed) == 60
    emit.sensed = before + emit.sensed
    assert len({one.key for one in emit.sensed}) == 60
    assert seen(emit, "at") == sorted(seen(emit, "at"))
    assert emit.failures == []


async def test_what_dagster_shows_late_is_found_and_not_twice(dagster: Dagster, team: str) -> None:
    async with sensing(dagster, assets=f"{team}/*", since="1971-01-01T00:00:00Z", overlap="60s") as sensor:
        await aside(dagster, "materialize", asset=[team, "a"], partitions=["now"])
        await sensor.look()
        await aside(dagster, "materialize", asset=[team, "a"], partitions=["late"], at=milliseconds(ago=50))
        await aside(dagster, "materialize", asset=[team, "b"], partitions=["other"], at=milliseconds(ago=40))
        await sensor.look()
        assert sorted(seen(sensor.emit, "partition")) == ["late", "now", "other"]
    async with sensing(dagster, sensor.emit.after_a_restart(), assets=f"{team}/*", overlap="60s") as sensor:
        assert sensor.subjects == []


async def test_the_same_told_twice_in_a_millisecond_is_two_things(dagster: Dagster, team: str) -> None:
    moment = milliseconds(ago=60)
    await aside(dagster, "materialize", asset=[team, "a"], partitions=["x"] * 12, at=moment + 0.25, run="r")
    await aside(dagster, "materialize", asset=[team, "a"], partitions=["x"] * 3, at=moment + 1, run="r")
    async with sensing(dagster, assets=f"{team}/a", since="beginning", page=5) as sensor:
        keys = [one.key for one in sensor.emit.sensed]
    first = f"{team}/a[x]@r@{moment}"
    assert sorted(keys[:12]) == sorted([first, *(f"{first}#{at}" for at in range(2, 13))])
    assert keys[12:] == [f"{team}/a[x]@r@{moment + 1}{nth}" for nth in ("", "#2", "#3")]


async def test_an_asset_that_was_wiped_is_none_until_it_is_made_again(dagster: Dagster, team: str) -> None:
    async with sensing(dagster, assets=f"{team}/*") as sensor:
        await aside(dagster, "materialize", asset=[team, "a"], partitions=["one"])
        await sensor.look()
        await aside(dagster, "wipe", asset=[team, "a"])
        await sensor.look()
        await aside(dagster, "materialize", asset=[team, "a"], partitions=["two"])
        await sensor.look()
        assert seen(sensor.emit, "partition") == ["one", "two"]
        assert sensor.emit.failures == []


async def test_a_cursor_from_the_future_gives_way_to_what_happens_now(dagster: Dagster, team: str) -> None:
    await aside(dagster, "materialize", asset=[team, "a"], partitions=["before"])
    emit = Ledger(cursor="2199-01-01T00:00:00.000000Z since 2020-01-01T00:00:00.000000Z")
    async with sensing(dagster, emit, assets=f"{team}/*", overlap="1s") as sensor:
        await aside(dagster, "materialize", asset=[team, "a"], partitions=["after"])
        await sensor.look()
        assert "after" in seen(emit, "partition")


async def test_metadata_longer_than_an_answer_may_be_is_left_out_and_the_rest_is_told(
    dagster: Dagster, team: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    moment = milliseconds(ago=60)
    text = {"text": "x" * 3000}
    for at in range(8):
        await aside(dagster, "materialize", asset=[team, "a"], partitions=[f"p{at}"], at=moment + at, metadata=text)
    huge = {"text": "x" * 400_000}
    await aside(dagster, "materialize", asset=[team, "a"], partitions=["huge"], at=moment + 8, metadata=huge)
    async with sensing(dagster, assets=f"{team}/a", wait=False) as sensor:
        await sensor.look()  # How long the answer is that names all assets is no matter of this test.
        length = len(str(sensor.asked))
    monkeypatch.setattr(dagster_graphql, "BODY", 64_000 + length)
    async with sensing(dagster, assets=f"{team}/a", since="beginning") as sensor:
        assert sensor.emit.failures == []
        told = dict(seen(sensor.emit, "partition", "metadata"))
    assert told == {**{f"p{at}": text for at in range(8)}, "huge": {}}


async def test_metadata_that_dagster_itself_cannot_tell_holds_nobody_up(dagster: Dagster, team: str) -> None:
    """A file's name that is no UTF-8, for example: Dagster keeps it, and its own page breaks on it."""
    async with sensing(dagster, assets=f"{team}/*") as sensor:
        moment = milliseconds()
        await aside(dagster, "materialize", asset=[team, "a"], at=moment, metadata={"n": 1})
        await aside(dagster, "materialize", asset=[team, "a"], at=moment + 5, metadata={"path": "caf\udce9.csv"})
        await aside(dagster, "materialize", asset=[team, "b"], at=moment + 6, metadata={"n": 3})
        await sensor.look()
        assert seen(sensor.emit, "asset", "metadata") == [
            (f"{team}/a", {"n": 1}),
            (f"{team}/a", {}),
            (f"{team}/b", {"n": 3}),
        ]
        assert sensor.emit.failures == []
