"""What the tests of the S3 sensor's notices share: a bucket, and a queue that its server tells of it."""

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

from tests.sources.directory_kit import LONG, Recorder
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

    async def left(self, count: int) -> None:
        """Return when so many messages are left, waiting or with somebody."""
        with anyio.fail_after(LONG):
            while sum(await self.waiting()) != count:
                await anyio.lowlevel.checkpoint()

    async def empty(self) -> None:
        """Return when none is left."""
        await self.left(0)

    async def hide_for(self, seconds: int) -> None:
        """What is received is given out again so many seconds later, unless it is deleted."""
        attributes = {"VisibilityTimeout": str(seconds)}
        await self.clients["sqs"].set_queue_attributes(QueueUrl=self.queue, Attributes=attributes)

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
        endpoint = keys.pop("endpoint_url", self.server)
        async with sensing(endpoint, emit, wait=wait, **keys) as sensor:
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


def notice(bucket: str, key: str, **thing: Any) -> dict[str, Any]:
    """A notice as Amazon sends it, with as much of the object as is given."""
    what = {"bucket": {"name": bucket}, "object": {"key": key, **thing}}
    return {"eventName": "ObjectCreated:Put", "eventTime": "2026-11-20T12:00:00.000Z", "s3": what}
