"""Notices of a bucket through a queue, from servers that send them: told at once, deleted when it is safe."""

from __future__ import annotations

import json

import anyio
import pytest

from sensord.sources import s3_memory, s3_source
from tests.doubles.s3 import S3Double, serving
from tests.sources.directory_kit import Recorder, until
from tests.sources.s3_queue_kit import World, notice, server, world

__all__ = ["server", "world"]


async def test_an_object_is_told_of_at_once_and_its_message_deleted(world: World) -> None:
    await world.notify_queue()
    async with world.sensing() as sensor:
        await world.put("in/a b+c é.csv", b"12345")
        assert await sensor.emitted(1) == ["in/a b+c é.csv"]
        await world.put("in/a b+c é.csv", b"123456")
        await sensor.emitted(2)
        await world.clients["s3"].delete_object(Bucket=world.bucket, Key="in/a b+c é.csv")
        await world.empty()
        assert [one.context["object"]["size"] for one in sensor.emit.sensed] == [5, 6]
        assert len({one.key for one in sensor.emit.sensed}) == 2
        assert not sensor.emit.failures


async def test_notices_that_sns_wraps_are_read(world: World) -> None:
    topic = (await world.clients["sns"].create_topic(Name=world.bucket))["TopicArn"]
    await world.clients["sns"].subscribe(TopicArn=topic, Protocol="sqs", Endpoint=world.arn)
    await world.notify(TopicConfigurations=[{"TopicArn": topic, "Events": ["s3:ObjectCreated:*"]}])
    async with world.sensing() as sensor:
        await world.put("a.csv")
        assert await sensor.emitted(1) == ["a.csv"]
        await world.empty()


async def test_events_of_eventbridge_are_read_and_what_they_leave_out_is_asked_for(world: World) -> None:
    pattern = json.dumps({"source": ["aws.s3"], "detail": {"bucket": {"name": [world.bucket]}}})
    await world.clients["events"].put_rule(Name=world.bucket, EventPattern=pattern, State="ENABLED")
    await world.clients["events"].put_targets(Rule=world.bucket, Targets=[{"Id": "1", "Arn": world.arn}])
    await world.notify(EventBridgeConfiguration={})
    async with world.sensing() as sensor:
        await world.put("in/a b+c%20é.csv", b"12345")
        assert await sensor.emitted(1) == ["in/a b+c%20é.csv"]
        [one] = sensor.emit.sensed
        # This server's events name no ETag, so that the object itself was asked.
        assert one.key.endswith("@827ccb0eea8a706c4c34a16891f84e7b")
        assert one.context["object"]["size"] == 5
        await world.empty()


async def test_listings_and_notices_together_tell_each_version_once(world: World) -> None:
    await world.put("before.csv")
    await world.notify_queue()
    async with world.sensing(listing=True, wait=True) as sensor:
        await sensor.emitted(1)
        await world.put("told.csv")
        await sensor.emitted(2)
        await world.empty()
        await world.notify()
        await world.put("untold.csv")
        await sensor.wait(60)
        assert await sensor.emitted(3) == ["before.csv", "told.csv", "untold.csv"]
        again = {"eventName": "ObjectCreated:Put"}
        for one in sensor.emit.sensed:
            thing = one.context["object"]
            body = {"key": thing["key"], "size": thing["size"], "eTag": thing["etag"]}
            await world.send({"Records": [again | {"s3": {"bucket": {"name": world.bucket}, "object": body}}] * 2})
        await world.empty()
        assert len(sensor.emit.sensed) == 3
    async with world.sensing(sensor.emit, listing=True, wait=True) as sensor:
        assert len(sensor.emit.sensed) == 3


async def test_a_message_is_deleted_only_when_what_it_says_is_committed(world: World) -> None:
    await world.hide_for(1)
    await world.notify_queue()
    emit = Recorder()
    async with world.sensing(emit):
        await world.empty()
        emit.gate = anyio.Event()
        await world.put("a.csv")
        await until(lambda: emit.batches)
        assert sum(await world.waiting()) == 1
    # It died before the commit.
    assert not emit.sensed
    assert sum(await world.waiting()) == 1
    async with world.sensing() as sensor:
        assert await sensor.emitted(1) == ["a.csv"]
        await world.empty()


async def test_what_is_not_for_this_sensor_stays_in_the_queue_and_blocks_nothing(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    await world.notify_queue()  # The first message is S3's own test.
    poison = ["{", "not json", "[]", {"Records": [{"s3": 1}]}, {"Message": "x"}, {"hello": "world"}, "\u202e"]
    others = [notice("other", "a", size=1, eTag="e"), notice("other", "b", size=1, eTag="e")]
    for body in (*poison, *({"Records": [one]} for one in others)):
        await world.send(body)
    await world.send({"Records": [notice(world.bucket, "gone")]})
    async with world.sensing() as sensor:
        await world.put("a.csv")
        assert await sensor.emitted(1) == ["a.csv"]
        await world.left(len(poison) + len(others))
        # They come again, and are not told of again.
        await world.hide_for(0)
        await world.send({"Records": [notice(world.bucket, "b.csv", size=1, eTag="e"), others[0]]})
        assert await sensor.emitted(2) == ["a.csv", "b.csv"]
        await world.left(len(poison) + len(others) + 1)
    said = [record.getMessage() for record in caplog.records]
    assert said.count("s3.no_notice") == len(poison)
    assert said.count("s3.other_bucket") == 1


async def test_notices_that_come_together_are_followed_in_the_order_of_the_uploads(world: World) -> None:
    late, early, first = (
        notice(world.bucket, "a.csv", size=1, eTag=etag, sequencer=sequencer)
        for etag, sequencer in (("late", "0055AED6DCD90281E6"), ("early", "0055AED6DCD90281E5"), ("first", "00"))
    )
    await world.send({"Records": [late, early, first | {"eventTime": "2026-11-20T11:59:59.999Z"}]})
    async with world.sensing() as sensor:
        await sensor.emitted(3)
        assert [one.context["object"]["etag"] for one in sensor.emit.sensed] == ["first", "early", "late"]


async def test_a_notice_whose_object_cannot_be_asked_about_is_kept_until_it_can(world: World) -> None:
    await world.hide_for(1)
    async with serving(S3Double(bucket=world.bucket, objects={"a.csv": b"12345"}, always=(403, "AccessDenied"))) as s3:
        await world.send({"Records": [notice(world.bucket, "a.csv")]})
        await world.send({"Records": [notice(world.bucket, "b.csv", size=1, eTag="e")]})
        async with world.sensing(endpoint_url=s3.url) as sensor:
            assert "allow s3:ListBucket" in await sensor.failed()
            assert await sensor.emitted(1) == ["b.csv"]
            await world.left(1)
            s3.always = None
            assert await sensor.emitted(2) == ["b.csv", "a.csv"]
            await sensor.recovered()
            await world.left(0)
            assert sensor.emit.sensed[1].context["object"]["size"] == 5


async def test_a_bucket_that_is_away_does_not_make_its_objects_gone(world: World) -> None:
    await world.hide_for(1)
    async with serving(S3Double(bucket="elsewhere", objects={"a.csv": b"12345"})) as s3:
        await world.send({"Records": [notice(world.bucket, "a.csv")]})
        async with world.sensing(endpoint_url=s3.url) as sensor:
            assert "does not exist" in await sensor.failed()
            s3.bucket = world.bucket
            assert await sensor.emitted(1) == ["a.csv"]


async def test_memory_of_notices_alone_is_bounded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await world.hide_for(1)  # What a reader asked for that is gone by now comes again.
    monkeypatch.setattr(s3_source, "_MOST_REMEMBERED", 5)
    monkeypatch.setattr(s3_memory, "_TOO_MANY", 3)
    async with world.sensing() as sensor:
        for number in range(20):
            await world.send({"Records": [notice(world.bucket, f"{number}.csv", size=1, eTag="e")]})
        await sensor.emitted(20)
        await world.empty()
        assert 5 <= len(sensor.emit.remembered) < 8
        assert {one.mark for one in sensor.emit.sensed[-5:]} <= sensor.emit.remembered
    async with world.sensing(sensor.emit) as sensor:
        for number in range(20, 30):
            await world.send({"Records": [notice(world.bucket, f"{number}.csv", size=1, eTag="e")]})
        await sensor.emitted(30)
        await world.empty()
        assert 5 <= len(sensor.emit.remembered) < 8
        assert {one.mark for one in sensor.emit.sensed[-5:]} <= sensor.emit.remembered


async def test_keys_that_are_not_taken_are_not_told_of(world: World) -> None:
    await world.notify_queue()
    async with world.sensing(prefix="in/", suffix=".csv") as sensor:
        for key in ("out/a.csv", "in/b.txt", "in/folder/", "in/c.csv"):
            await world.put(key)
        assert await sensor.emitted(1) == ["in/c.csv"]
        await world.empty()
        assert len(sensor.emit.sensed) == 1


async def test_a_queue_that_does_not_exist_is_named_until_it_does(world: World) -> None:
    name = f"{world.bucket}-late"
    world.queue = world.queue.replace(world.bucket, name)
    await world.put("listed.csv")
    async with world.sensing(listing=True, interval="1d") as sensor:
        said = await sensor.failed()
        assert said.startswith(f"the queue {world.queue} does not exist")
        assert await sensor.emitted(1) == ["listed.csv"]
        await world.clients["sqs"].create_queue(QueueName=name)
        world.arn += "-late"
        await sensor.wait(60)
        await world.notify_queue()
        await sensor.recovered()
        await world.put("told.csv")
        assert await sensor.emitted(2) == ["listed.csv", "told.csv"]
        assert (len(sensor.emit.failures), sensor.emit.recoveries) == (1, 1)
