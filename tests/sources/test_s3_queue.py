"""Notices of a bucket through a queue, from servers that send them: told at once, deleted when it is safe."""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import anyio
import pytest
from aiobotocore.session import get_session  # type: ignore[import-untyped]

from tests.sources.directory_kit import LONG, Recorder, until
from tests.sources.s3_kit import ACCESS, SECRET, Sensor, moto, sensing


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with moto() as url:
        yield url


@dataclass
class World:
    """A bucket and a queue on that server."""

    server: str
    clients: dict[str, Any]
    bucket: str
    queue: str
    arn: str

    async def put(self, key: str, body: bytes = b"x") -> None:
        await self.clients["s3"].put_object(Bucket=self.bucket, Key=key, Body=body)

    async def send(self, body: Any) -> None:
        text = body if isinstance(body, str) else json.dumps(body)
        await self.clients["sqs"].send_message(QueueUrl=self.queue, MessageBody=text)

    async def waiting(self) -> tuple[int, int]:
        """How many messages wait in the queue, and how many are with somebody."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        answer = await self.clients["sqs"].get_queue_attributes(QueueUrl=self.queue, AttributeNames=names)
        return int(answer["Attributes"][names[0]]), int(answer["Attributes"][names[1]])

    async def empty(self) -> None:
        with anyio.fail_after(LONG):
            while await self.waiting() != (0, 0):
                await anyio.lowlevel.checkpoint()

    async def notify(self, **configuration: Any) -> None:
        await self.clients["s3"].put_bucket_notification_configuration(
            Bucket=self.bucket, NotificationConfiguration=configuration
        )

    async def notify_queue(self) -> None:
        events = ["s3:ObjectCreated:*", "s3:ObjectRemoved:*"]
        await self.notify(QueueConfigurations=[{"QueueArn": self.arn, "Events": events}])

    @asynccontextmanager
    async def sensing(self, emit: Recorder | None = None, *, wait: bool = False, **keys: Any) -> AsyncIterator[Sensor]:
        keys = {"queue_url": self.queue, "bucket": self.bucket, "listing": False, **keys}
        async with sensing(self.server, emit, wait=wait, **keys) as sensor:
            yield sensor


@pytest.fixture
async def world(server: str) -> AsyncIterator[World]:
    session = get_session()
    session.set_credentials(ACCESS, SECRET)
    name = f"data-{uuid.uuid4().hex[:8]}"
    async with (
        session.create_client("s3", endpoint_url=server, region_name="us-east-1") as s3,
        session.create_client("sqs", endpoint_url=server, region_name="us-east-1") as sqs,
        session.create_client("sns", endpoint_url=server, region_name="us-east-1") as sns,
        session.create_client("events", endpoint_url=server, region_name="us-east-1") as events,
    ):
        await s3.create_bucket(Bucket=name)
        queue = (await sqs.create_queue(QueueName=name))["QueueUrl"]
        clients = {"s3": s3, "sqs": sqs, "sns": sns, "events": events}
        yield World(server, clients, name, queue, f"arn:aws:sqs:us-east-1:123456789012:{name}")


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
    # What is received is given out again a second later, unless it is deleted.
    await world.clients["sqs"].set_queue_attributes(QueueUrl=world.queue, Attributes={"VisibilityTimeout": "1"})
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


async def test_messages_that_are_no_notices_are_deleted_and_block_none(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    await world.notify_queue()  # The first message is S3's own test.
    poison = ["{", "not json", "[]", {"Records": [{"s3": 1}]}, {"Message": "x"}, {"hello": "world"}, "\u202e"]
    for body in poison:
        await world.send(body)
    other = {"bucket": {"name": "other"}, "object": {"key": "a", "size": 1, "eTag": "e"}}
    await world.send({"Records": [{"eventName": "ObjectCreated:Put", "s3": other}]})
    gone = {"bucket": {"name": world.bucket}, "object": {"key": "gone"}}
    await world.send({"Records": [{"eventName": "ObjectCreated:Put", "s3": gone}]})
    caplog.set_level("INFO")
    async with world.sensing() as sensor:
        await world.put("a.csv")
        assert await sensor.emitted(1) == ["a.csv"]
        await world.empty()
        assert sensor.keys == ["a.csv"]
    said = [record.getMessage() for record in caplog.records]
    assert said.count("s3.no_notice") == len(poison) + 1
    assert said.count("s3.other_bucket") == 1


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
