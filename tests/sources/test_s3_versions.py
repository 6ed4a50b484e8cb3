"""A bucket that keeps versions, each of which is one: listed, noticed, and the same by either way."""

from __future__ import annotations

import random
from typing import Any

import anyio
import pytest

from notifiers.clock import SYSTEM
from sensord.sources import s3_listing
from sensord.sources.s3 import S3Config
from sensord.sources.s3_listing import Bucket, open_bucket
from sensord.sources.s3_pages import Page
from sensord.sources.s3_trouble import S3Trouble
from sensord.sources.s3_walk import Part, Walk
from tests.doubles.s3 import S3Double, serving
from tests.sources.directory_kit import Recorder
from tests.sources.s3_kit import KEYS, Sensor, sensing
from tests.sources.s3_queue_kit import World, server, world

__all__ = ["server", "world"]

Met = list[tuple[str, str]]


async def walked(bucket: Bucket, parallel: int, prefix: str = "", after: str | None = None) -> Met:
    """The keys and version ids of a pass, in the order in which it met them."""
    met: Met = []

    async def take(part: Part | None, page: Page) -> None:
        await anyio.lowlevel.checkpoint()
        met.extend(zip(page.keys, page.ids, strict=True))
        if part is not None and page.last is not None:
            part.after = page.last

    async def said(_: Part, trouble: S3Trouble | None) -> None:
        assert trouble is None

    parts = [Part(prefix, after=after)]
    assert not await Walk(bucket=bucket, parts=parts, parallel=parallel, take=take, said=said).run()
    return met


def any_history(chance: random.Random) -> dict[str, list[tuple[str, bytes | None]]]:
    """Keys of a few levels with their versions, some of them deleted and made again."""
    found: dict[str, list[tuple[str, bytes | None]]] = {}
    for _ in range(chance.choice([0, 1, 5, 30])):
        key = "/".join([*chance.choices("ab", k=chance.choice([0, 0, 1, 2])), chance.choice("xyz")])
        versions = chance.choice([1, 1, 1, 2, 3, 9])
        found[key] = [(f"v{number}", None if chance.random() < 0.2 else b"x") for number in range(versions)]
    return found


@pytest.mark.parametrize("from_marker", [False, True])
async def test_every_version_is_met_and_the_older_first(from_marker: bool) -> None:
    async with serving(S3Double(page=4, from_marker=from_marker)) as double:
        config = S3Config.model_validate({"bucket": "data", "endpoint_url": double.url, "versions": True, **KEYS})
        async with open_bucket(config, SYSTEM) as bucket:
            for seed in range(40):
                chance = random.Random(seed)
                double.versions = any_history(chance)
                prefix, after = chance.choice(["", "", "a", "a/"]), chance.choice([None, None, "a/x", "b"])
                parallel = chance.choice([1, 1, 8])
                met = await walked(bucket, parallel, prefix, after)
                wanted = [
                    (key, one)
                    for key, versions in sorted(double.versions.items())
                    for one, body in versions
                    if body is not None and key.startswith(prefix) and key >= (after or "")
                ]
                if not from_marker or after is None:
                    wanted = [one for one in wanted if one[0] != after]
                    assert set(met) == set(wanted), seed
                if from_marker:
                    assert set(met) >= {one for one in wanted if one[0] != after}, seed
                elif parallel == 1 and max(map(len, double.versions.values()), default=0) <= 4:
                    assert met == wanted, seed


async def test_a_key_of_more_versions_than_a_page_holds_is_listed_through() -> None:
    many: list[tuple[str, bytes | None]] = [(f"{number:04}", b"x") for number in range(50)]
    async with (
        serving(S3Double(page=4, versions={"a": [("1", b"x")], "many": many, "z": [("2", b"x")]})) as double,
        sensing(double.url, versions=True) as sensor,
    ):
        assert len(sensor.keys) == len({one.key for one in sensor.emit.sensed}) == 52
        await sensor.listed()
        assert len(sensor.keys) == 52
        many.append(("9999", b"y"))
        await sensor.listed()
        assert sensor.emit.sensed[-1].key == "data/many@9999"


async def test_a_server_that_knows_no_versions_is_named() -> None:
    async with serving(S3Double(objects={"a": b"x"})) as double, sensing(double.url, wait=False) as sensor:
        assert await sensor.emitted(1) == ["a"]
        double.always = (501, "NotImplemented")
        for _ in range(4):
            await sensor.wait(60)
        assert "NotImplemented" in await sensor.failed()


def ids(sensor: Sensor) -> list[str]:
    return [one.key.partition("@")[2] for one in sensor.emit.sensed]


@pytest.fixture
async def kept(world: World) -> World:
    """That bucket, keeping versions."""
    enabled = {"Status": "Enabled"}
    await world.clients["s3"].put_bucket_versioning(Bucket=world.bucket, VersioningConfiguration=enabled)
    return world


async def put(world: World, key: str, body: bytes = b"x") -> str:
    answer = await world.clients["s3"].put_object(Bucket=world.bucket, Key=key, Body=body)
    return str(answer["VersionId"])


async def test_each_upload_is_one_whatever_its_bytes_and_a_deletion_none(kept: World) -> None:
    first = [await put(kept, "a.csv"), await put(kept, "a.csv"), await put(kept, "b.csv", b"other")]
    emit = Recorder()
    async with kept.sensing(emit, wait=True, queue_url=None, listing=True, versions=True) as sensor:
        assert ids(sensor) == first
        assert [one.context["object"]["latest"] for one in emit.sensed] == [False, True, True]
        await kept.clients["s3"].delete_object(Bucket=kept.bucket, Key="b.csv")
        later = [await put(kept, "a.csv"), await put(kept, "a.csv", b"new")]
        await sensor.listed(3)
        assert ids(sensor) == [*first, *later]
    async with kept.sensing(emit, wait=True, queue_url=None, listing=True, versions=True) as sensor:
        await sensor.listed()
        assert ids(sensor) == [*first, *later]
    assert not emit.forgotten


async def test_by_default_an_upload_of_the_same_bytes_is_the_same(kept: World) -> None:
    await kept.notify_queue()
    async with kept.sensing(wait=True, listing=True) as sensor:
        for body in (b"x", b"x", b"y"):
            await put(kept, "a.csv", body)
        await sensor.emitted(2)
        await kept.empty()
        await sensor.listed()
        assert len(sensor.keys) == 2


async def test_notices_and_listings_of_versions_tell_each_once(kept: World) -> None:
    told = await put(kept, "told.csv")
    record = {"eventName": "ObjectCreated:Put", "eventTime": "2026-11-20T12:00:00.000Z"}
    thing = {"key": "told.csv", "size": 1, "eTag": "9dd4e461268c8034f5c8564e155c67a6", "versionId": told}
    notice = {"Records": [record | {"s3": {"bucket": {"name": kept.bucket}, "object": thing}}]}
    await kept.send(notice)
    async with kept.sensing(versions=True) as sensor:
        assert await sensor.emitted(1) == ["told.csv"]
        assert ids(sensor) == [told]
        # This server's own notices name no version: the object is asked for it.
        await kept.notify_queue()
        await kept.empty()
        asked = await put(kept, "asked.csv")
        await sensor.emitted(2)
        assert ids(sensor) == [told, asked]
        await kept.send(notice)
        await kept.empty()
    async with kept.sensing(sensor.emit, wait=True, queue_url=None, listing=True, versions=True) as sensor:
        await sensor.listed()
        assert ids(sensor) == [told, asked]


async def test_what_a_bucket_held_before_it_kept_versions_is_told_by_its_etag(world: World) -> None:
    await world.put("old.csv")
    async with world.sensing(wait=True, queue_url=None, listing=True, versions=True) as sensor:
        assert ids(sensor) == ["9dd4e461268c8034f5c8564e155c67a6"]
        assert sensor.emit.sensed[0].context["object"]["version"] is None


async def test_versions_are_listed_page_by_page(kept: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3_listing, "_KEYS_A_PAGE", 3)
    wanted = [await put(kept, key) for key in ("a/1", "a/2", "a/2", "b/1", "b/1", "b/1", "b/1", "c/1", "c/2")]
    async with kept.sensing(wait=True, queue_url=None, listing=True, versions=True, parallel=1) as sensor:
        assert ids(sensor) == wanted


async def test_a_version_can_be_found_by_its_id(kept: World) -> None:
    old, new = await put(kept, "a.csv", b"old"), await put(kept, "a.csv", b"newer")
    await put(kept, "a.csv.gz")
    keys: dict[str, Any] = {"bucket": kept.bucket, "endpoint_url": kept.server, "versions": True, **KEYS}
    async with open_bucket(S3Config.model_validate(keys), SYSTEM) as bucket:
        for one, size in ((old, 3), (new, 5), (None, 5)):
            found = await bucket.find("a.csv", one)
            assert found is not None
            assert (found.version, found.size) == (one or new, size)
        assert await bucket.find("a.csv", "nothing") is None
        assert await bucket.find("a") is None
        await kept.clients["s3"].delete_object(Bucket=kept.bucket, Key="a.csv")
        assert await bucket.find("a.csv") is None
