"""S3 objects that are overwritten, and heard of in another order than they were uploaded: the newest keeps the key."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from hashlib import md5
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from notifiers.clock import SYSTEM
from rules.keys import Held, KeyRule
from sensord.sources import s3_latest
from sensord.sources.s3 import S3Config
from sensord.sources.s3_latest import Latest
from sensord.sources.s3_listing import Bucket, open_bucket
from sensord.sources.s3_memory import Known
from sensord.sources.s3_objects import Version
from sensord.sources.s3_once import Once
from tests.conftest import rows
from tests.doubles.s3 import S3Double, serving
from tests.sources.app_kit import ended, running
from tests.sources.directory_kit import Recorder, until
from tests.sources.s3_kit import KEYS
from tests.sources.s3_queue_kit import World, notice, server, world

__all__ = ["server", "world"]
OLD, NEW = b"old", b"newer"


def of(bucket: str, key: str, body: bytes, version: str | None = None) -> dict[str, Any]:
    """The notice of an upload."""
    thing = {"size": len(body), "eTag": md5(body).hexdigest()} | ({"versionId": version} if version else {})
    return {"Records": [notice(bucket, key, **thing)]}


async def test_a_notice_of_a_version_that_was_overwritten_by_then_starts_no_run_in_place_of_the_newer_one(
    world: World, tmp_path: Path
) -> None:
    keys = ", ".join(f"{name}: {value}" for name, value in KEYS.items())
    source = (
        f"bucket: {world.bucket}, endpoint_url: '{world.server}', listing: false, queue_url: '{world.queue}', {keys}"
    )
    rule = 'job: j, run_key: "{{ object.key }}", keys: latest_wins, run_config: {size: "{{ object.size }}"}'
    await world.put("a.csv", OLD)
    await world.put("a.csv", NEW)
    sensors = f"sensors: {{s: {{s3: {{{source}}}, {rule}}}}}\n"
    async with running(tmp_path, sensors, jobs="jobs: {j: {command: ['true']}}") as app:
        await world.send(of(world.bucket, "a.csv", NEW))
        (first,) = await ended(app, "j", 1)
        await world.send(of(world.bucket, "a.csv", OLD))
        await until(lambda: rows(app.database, "SELECT 1 FROM ticks WHERE outcome = 'duplicate'"))
        assert [row["id"] for row in rows(app.database, "SELECT id FROM runs")] == [first["id"]]
        newest = b"the newest"
        await world.put("a.csv", newest)
        await world.send(of(world.bucket, "a.csv", newest))
        _, last = await ended(app, "j", 2)
    assert [run["run_config"] for run in (first, last)] == ['{"size":5}', '{"size":10}']


async def test_of_versions_each_is_asked_for_by_its_id(world: World) -> None:
    enabled = {"Status": "Enabled"}
    await world.clients["s3"].put_bucket_versioning(Bucket=world.bucket, VersioningConfiguration=enabled)
    old, new = [
        (await world.clients["s3"].put_object(Bucket=world.bucket, Key="a", Body=body))["VersionId"]
        for body in (NEW, NEW)
    ]
    keys = {"bucket": world.bucket, "endpoint_url": world.server, "versions": True, **KEYS}
    config = S3Config.model_validate(keys)
    async with open_bucket(config, SYSTEM) as bucket:
        latest = Latest(config, bucket, SYSTEM)
        assert [
            (await latest.asked(Version("a", md5(NEW).hexdigest(), 5, version=one))).latest for one in (old, new)
        ] == [False, True]
        await world.clients["s3"].delete_object(Bucket=world.bucket, Key="a")
        assert not (await latest.asked(Version("a", md5(NEW).hexdigest(), 5, version=new))).latest


class Side:
    """One bucket looked at, and the version that would have the key of each object."""

    def __init__(self, bucket: Bucket, config: S3Config) -> None:
        self.bucket = bucket
        self.emit = Recorder()
        self.latest = Latest(config, bucket, SYSTEM)
        known = Known(set())
        self.once = Once(config, self.emit, known, SYSTEM, lookers=[], new=True, latest=self.latest)

    def holder(self, key: str) -> str | None:
        """The ETag that has the key after all that was emitted so far."""
        holder: str | None = None
        for one in self.emit.sensed:
            thing = one.context["object"]
            if thing["key"] == key:
                rule, held = KeyRule("latest_wins"), Held("running", holder, 0)
                if holder is None or rule.takes(held, thing["etag"], 0, newest=one.newest):
                    holder = thing["etag"]
        return holder


def told(key: str, body: bytes) -> Version:
    return Version(key, md5(body).hexdigest(), len(body))


async def test_a_listing_that_a_notice_overtook_does_not_bring_the_old_version_back(world: World) -> None:
    config = S3Config.model_validate({"bucket": world.bucket, "endpoint_url": world.server, **KEYS})
    async with open_bucket(config, SYSTEM) as bucket:
        side = Side(bucket, config)
        await world.put("a", OLD)
        page = await bucket.page("")
        await world.put("a", NEW)
        await side.once.send([await side.latest.asked(told("a", NEW))])
        await side.once.send(page.versions([0]))
        assert [one.newest for one in side.emit.sensed] == [True, False]
        assert side.holder("a") == md5(NEW).hexdigest()


STEPS = st.lists(
    st.one_of(
        st.just(("upload", 0)),
        st.tuples(st.sampled_from(["tell", "send"]), st.integers(0, 3)),
        st.just(("list", 0)),
    ),
    max_size=12,
)


async def follow(side: Side, double: S3Double, key: str, steps: Sequence[tuple[str, int]]) -> bytes:
    """Uploads of one object, notices of any of them and listings, each sent on at any time; the last upload."""
    bodies = [b"0"]
    double.objects[key] = bodies[0]
    waiting: list[list[Version]] = []
    # In the end the last upload overtakes all that is still waiting.
    for step, number in [*steps, ("tell", 0), ("send", -1), *[("send", 0)] * len(steps)]:
        if step == "upload":
            bodies.append(str(len(bodies)).encode())
            double.objects[key] = bodies[-1]
        elif step == "tell":
            waiting.append([await side.latest.asked(told(key, bodies[max(0, len(bodies) - 1 - number)]))])
        elif step == "list":
            page = await side.bucket.page(key)
            waiting.append(list(page.versions(range(len(page.keys)))))
        elif waiting:
            await side.once.send(waiting.pop(number % len(waiting)))
    return bodies[-1]


@pytest.fixture
async def double() -> AsyncIterator[tuple[S3Double, Bucket, S3Config]]:
    async with serving(S3Double()) as double:
        config = S3Config.model_validate({"bucket": "data", "endpoint_url": double.url, **KEYS})
        async with open_bucket(config, SYSTEM) as bucket:
            yield double, bucket, config


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS, remembered=st.sampled_from([1, 10_000]))
async def test_in_whatever_order_uploads_are_heard_of_the_last_one_has_the_key(
    double: tuple[S3Double, Bucket, S3Config],
    monkeypatch: pytest.MonkeyPatch,
    steps: list[tuple[str, int]],
    remembered: int,
) -> None:
    monkeypatch.setattr(s3_latest, "_MOST", remembered)
    server_, bucket, config = double
    side = Side(bucket, config)
    # Another object that is committed makes it forget.
    await side.once.send([await side.latest.asked(told("b", b""))])
    last = await follow(side, server_, "a", steps)
    assert side.holder("a") == md5(last).hexdigest()
