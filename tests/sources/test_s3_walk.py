"""A pass over a bucket, cut into parts: whatever the keys, each is met, and few requests are made."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence

import anyio
import pytest

from notifiers.clock import SYSTEM
from rules.request import Sensed
from sensord.sources.s3 import S3Config
from sensord.sources.s3_listing import Bucket, open_bucket
from sensord.sources.s3_pages import Page
from sensord.sources.s3_trouble import S3Trouble
from sensord.sources.s3_walk import Part, Walk
from tests.doubles.s3 import S3Double, serving
from tests.sources.directory_kit import Recorder, until
from tests.sources.s3_kit import KEYS, sensing


async def walked(bucket: Bucket, parts: list[Part], parallel: int) -> Counter[str]:
    """How often each key was met."""
    met: Counter[str] = Counter()

    async def take(part: Part | None, page: Page) -> None:
        await anyio.lowlevel.checkpoint()
        met.update(page.keys)
        if part is not None and page.last is not None:
            part.after = page.last

    async def said(_: Part, trouble: S3Trouble | None) -> None:
        assert trouble is None

    assert not await Walk(bucket=bucket, parts=parts, parallel=parallel, take=take, said=said).run()
    assert parts == []
    return met


def any_keys(chance: random.Random) -> set[str]:
    """Keys of a few levels, of names that share beginnings and sort around the slash."""
    names = ["a", "a-", "a.", "b", "é", "0", "00", "~", "😀", "x y", "+"]
    keys = set()
    for _ in range(chance.choice([0, 1, 7, 60, 300])):
        depth = chance.choice([0, 1, 1, 2, 4])
        keys.add("/".join([*chance.choices(names, k=depth), f"{chance.choice(names)}{chance.randrange(20)}"]))
    return keys


async def test_every_key_is_met_whatever_the_shape_of_the_bucket() -> None:
    async with serving(S3Double(page=5)) as double:
        config = S3Config.model_validate({"bucket": "data", "endpoint_url": double.url, **KEYS})
        async with open_bucket(config, SYSTEM) as bucket:
            for seed in range(60):
                chance = random.Random(seed)
                keys = any_keys(chance)
                double.objects = dict.fromkeys(keys, b"x")
                double.asked.clear()
                prefix = chance.choice(["", "", "a", "a/", "b/a", "é/"])
                after = chance.choice([None, None, "a/b", "b"])
                parallel = chance.choice([1, 2, 8])
                met = await walked(bucket, [Part(prefix, after=after)], parallel)
                assert set(met) == {key for key in keys if key.startswith(prefix) and key > (after or "")}, seed
                assert len(double.asked) <= len(keys) // 5 + 2 + 40 * parallel, seed
                if parallel == 1:
                    assert len(double.asked) == max(1, -(-len(met) // 5)), seed
                    assert set(met.values()) <= {1}, seed


async def test_a_small_bucket_costs_one_request_a_listing() -> None:
    async with serving(S3Double(objects=dict.fromkeys(map(str, range(900)), b"x"))) as double:
        async with sensing(double.url) as sensor:
            assert len(sensor.keys) == 900
        assert len(double.asked) == 1


async def test_many_small_folders_are_listed_in_few_requests() -> None:
    keys = [f"{folder:04}/{name}.csv" for folder in range(3_000) for name in "ab"]
    async with serving(S3Double(objects=dict.fromkeys(keys, b"x"))) as double:
        async with sensing(double.url, parallel=4) as sensor:
            assert sorted(sensor.keys) == keys
        assert len(double.asked) <= 60
        assert any(asked.delimiter for asked in double.asked)


class Dying(Recorder):
    """Takes so many batches, and never another."""

    async def __call__(self, sensed: Sequence[Sensed], cursor: str | None = None) -> None:
        if len(self.batches) == 5:
            await anyio.sleep_forever()
        await super().__call__(sensed, cursor)


async def test_a_listing_that_was_killed_goes_on_where_it_was_and_is_then_made_whole() -> None:
    keys = [f"in/{folder}/{number:03}" for folder in range(4) for number in range(60)]
    async with serving(S3Double(page=20, objects=dict.fromkeys(keys, b"x"))) as double:
        emit: Recorder = Dying()
        async with sensing(double.url, emit, wait=False, parallel=2):
            await until(lambda: len(emit.sensed) == 100)
            await anyio.wait_all_tasks_blocked()
        double.asked.clear()
        double.objects["in/0/000b"] = b"x"
        emit = Recorder(emit.remembered, emit.cursor)
        async with sensing(double.url, emit, parallel=2) as sensor:
            # What the killed one had done is not asked for first, but all is once the rest is done.
            assert all(asked.prefix + asked.after + asked.token for asked in double.asked[:2])
            await until(lambda: emit.looks >= 2)
            assert len(sensor.keys) == 141
            assert "in/0/000b" in sensor.keys[-20:]
            assert len(double.asked) <= 140 // 20 + 4 + 241 // 20 + 10


@pytest.mark.parametrize("parallel", [1, 8])
async def test_ordered_keys_are_asked_for_after_the_last_one(parallel: int) -> None:
    keys = [f"2026/{day:03}" for day in range(50)]
    async with serving(S3Double(page=20, objects=dict.fromkeys(keys, b"x"))) as double:
        emit = Recorder()
        async with sensing(double.url, emit, ordered=True, parallel=parallel, prefix=["2026/", "2027/"]) as sensor:
            assert sensor.keys == keys
            double.objects["2026/900"] = b"x"
            double.asked.clear()
            await sensor.listed()
            assert sorted((asked.prefix, asked.after) for asked in double.asked) == [
                ("2026/", "2026/049"),
                ("2027/", ""),
            ]
            assert sensor.keys == [*keys, "2026/900"]
