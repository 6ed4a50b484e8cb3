"""The outsides of the sources: how each is set up, how something happens there, how it breaks and is mended."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, timedelta
from hashlib import md5
from pathlib import Path
from typing import Any
from uuid import uuid5

import pytest
from aiobotocore.session import get_session  # type: ignore[import-untyped]

from notifiers.clock import SYSTEM, new_uuid7
from rules.event import Event
from sensord.app import App
from sensord.sources import s3_queue
from sensord.web.lineage import _NAMESPACE, lineage_events
from tests.sources.app_kit import ended, event, launch
from tests.sources.conformance_kit import NAME, Outside, Server, Thing, Time
from tests.sources.python_kit import write
from tests.sources.s3_kit import ACCESS, SECRET

Opening = Callable[[Path, Time, Any], AbstractAsyncContextManager[Outside]]


def opening(kind: Callable[[Path, Time], Outside]) -> Opening:
    """An outside that needs no server and no closing."""

    @asynccontextmanager
    async def open_(folder: Path, time: Time, _server: Any) -> AsyncIterator[Outside]:
        yield kind(folder, time)

    return open_


async def look(app: App) -> None:
    """What is looked at once more is said once more."""
    source = app.sources[NAME]
    await source.look_now()  # type: ignore[attr-defined]


class Folder:
    """Files that are renamed into a folder; it is moved away."""

    def __init__(self, folder: Path, _time: Time) -> None:
        self.words: dict[str, str] = {}
        self.folder, self.away = folder / "in", folder / "away"
        self.folder.mkdir()

    async def happen(self, _app: App, name: str) -> Thing:
        spare, place = self.folder.parent / name, self.folder if self.folder.exists() else self.away
        spare.write_text("a,b")
        spare.rename(place / name)
        status = (place / name).stat()
        return Thing(f"{self.folder / name}", f"{name}@{status.st_size}-{status.st_mtime_ns}")

    async def again(self, app: App, _thing: Thing) -> None:
        await look(app)

    async def break_(self, _app: App) -> str:
        self.folder.rename(self.away)
        return "does not exist; create it, mount it, or correct `path`"

    async def mend(self, _app: App) -> None:
        self.away.rename(self.folder)


@dataclass
class Topic:
    """Events that are published."""

    folder: Path
    time: Time
    words: dict[str, str] = field(default_factory=dict)
    published: dict[str, Event] = field(default_factory=dict)

    async def publish(self, app: App, one: Event) -> None:
        self.published[one.id] = one
        await app.bus.publish([one])
        app.published()

    async def happen(self, app: App, name: str) -> Thing:
        one = event("bp.test.oks", message=name)
        await self.publish(app, one)
        return Thing(one.id, one.id)

    async def again(self, app: App, thing: Thing) -> None:
        await self.publish(app, self.published[thing.subject])

    async def break_(self, _app: App) -> str:
        raise AssertionError("its outside is the ledger itself")

    async def mend(self, _app: App) -> None:
        raise AssertionError("its outside is the ledger itself")


class Lineage(Topic):
    """Runs elsewhere that tell of themselves."""

    async def happen(self, app: App, name: str) -> Thing:
        run = str(uuid5(_NAMESPACE, name))
        job = {"namespace": "airflow", "name": "etl.load"}
        body = {"eventType": "COMPLETE", "eventTime": SYSTEM.now().isoformat(), "run": {"runId": run}, "job": job}
        (one,) = lineage_events(body, app.clock, json.dumps(body).encode())
        await self.publish(app, one)
        return Thing(one.id, f"{run}@complete")


class Runs(Topic):
    """Our own runs, of another job."""

    async def happen(self, app: App, name: str) -> Thing:
        run = (await launch(app, "extract", name=name)).id
        await ended(app, "extract", len(self.published) + 1)
        self.published[run] = event("bp.other", message=name)
        return Thing(run, f"{run}@succeeded")

    async def again(self, app: App, _thing: Thing) -> None:
        await look(app)


class Minutes:
    """Minutes, which pass when the test says so; the clock is set back."""

    def __init__(self, _folder: Path, time: Time) -> None:
        self.words: dict[str, str] = {}
        self.time = time
        # Nearly a minute is left for what a test does: no instant comes by itself.
        now = SYSTEM.now()
        time.ahead = now.replace(second=5, microsecond=0) - now

    async def happen(self, _app: App, _name: str) -> Thing:
        self.time.ahead += timedelta(minutes=1)
        self.time.nudge()
        instant = self.time.now().astimezone(UTC).strftime("%Y-%m-%dT%H:%M:00Z")
        return Thing(f"{NAME} {instant}", instant)

    async def again(self, _app: App, _thing: Thing) -> None:
        self.time.nudge()

    async def break_(self, _app: App) -> str:
        self.time.ahead -= timedelta(hours=2)
        self.time.nudge()
        return "the clock was set back"

    async def mend(self, _app: App) -> None:
        self.time.ahead += timedelta(hours=2)
        self.time.nudge()


LISTS = """
    @sensor()
    def mine():
        for name in sorted(os.listdir("in")):
            yield RunRequest(run_key=name)
"""
READS = """
    @sensor()
    def mine(context):
        lines = Path("in/log").read_text().splitlines()
        for number in range(int(context.cursor or 0), len(lines)):
            yield RunRequest(run_key=lines[number])
        context.update_cursor(str(len(lines)))
"""


class Listing(Folder):
    """A function that lists a folder."""

    code = LISTS

    def __init__(self, folder: Path, time: Time) -> None:
        super().__init__(folder, time)
        write(folder, self.code)

    async def happen(self, _app: App, name: str) -> Thing:
        ((self.folder if self.folder.exists() else self.away) / name).touch()
        return Thing(name, name)

    async def break_(self, app: App) -> str:
        await super().break_(app)
        return "team.mine: it raised FileNotFoundError"


class Log(Listing):
    """A function that reads a log from where it was, which its cursor says."""

    code = READS

    def __init__(self, folder: Path, time: Time) -> None:
        super().__init__(folder, time)
        (self.folder / "log").touch()

    async def happen(self, _app: App, name: str) -> Thing:
        with ((self.folder if self.folder.exists() else self.away) / "log").open("a") as log:
            log.write(f"{name}\n")
        return Thing(name, name)


class Bucket:
    """Objects of a bucket that is listed; its folder is moved away."""

    def __init__(self, server: Server) -> None:
        self.name = f"data-{new_uuid7()[-8:]}"
        self.words = {"bucket": self.name, "url": server.url}
        self.folder, self.away = server.folder / self.name, server.folder / f"away-{self.name}"
        self.folder.mkdir()

    async def happen(self, _app: App, name: str) -> Thing:
        spare, place = self.folder.parent / f"{self.name}-{name}", self.folder if self.folder.exists() else self.away
        spare.write_text(name)
        spare.rename(place / name)
        return Thing(f"s3://{self.name}/{name}", f"{self.name}/{name}@{md5(name.encode()).hexdigest()}")

    async def again(self, app: App, _thing: Thing) -> None:
        await look(app)

    async def break_(self, _app: App) -> str:
        self.folder.rename(self.away)
        return f"the bucket {self.name} does not exist"

    async def mend(self, _app: App) -> None:
        self.away.rename(self.folder)


@dataclass
class Notices:
    """Notices of a bucket, in a queue; it is the queue that is away."""

    clients: dict[str, Any]
    name: str
    words: dict[str, str]

    @classmethod
    @asynccontextmanager
    async def opened(cls, _folder: Path, _time: Time, server: Server) -> AsyncIterator[Outside]:
        session, name = get_session(), f"data-{new_uuid7()[-8:]}"
        session.set_credentials(ACCESS, SECRET)
        keys = {"endpoint_url": server.url, "region_name": "us-east-1"}
        # What is received waits for news; a queue that is gone is noticed only after that.
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(s3_queue, "_LONG_POLL", 1)
            async with session.create_client("s3", **keys) as s3, session.create_client("sqs", **keys) as sqs:
                await s3.create_bucket(Bucket=name)
                one = cls({"s3": s3, "sqs": sqs}, name, {"bucket": name, "url": server.url})
                await one.mend(None)
                yield one

    async def happen(self, _app: App, name: str) -> Thing:
        await self.clients["s3"].put_object(Bucket=self.name, Key=name, Body=name.encode())
        return Thing(f"s3://{self.name}/{name}", f"{self.name}/{name}@{md5(name.encode()).hexdigest()}")

    async def again(self, _app: App, thing: Thing) -> None:
        key = thing.subject.rpartition("/")[2]
        of = {"key": key, "size": len(key), "eTag": md5(key.encode()).hexdigest()}
        record = {"eventName": "ObjectCreated:Put", "s3": {"bucket": {"name": self.name}, "object": of}}
        body = json.dumps({"Records": [record] * 2})
        await self.clients["sqs"].send_message(QueueUrl=self.words["queue"], MessageBody=body)

    async def break_(self, _app: App) -> str:
        await self.clients["sqs"].delete_queue(QueueUrl=self.words["queue"])
        return "does not exist"

    async def mend(self, _app: App | None) -> None:
        """The queue is there, its messages come again a second after they were received, and it hears of objects."""
        attributes = {"VisibilityTimeout": "1"}
        queue = await self.clients["sqs"].create_queue(QueueName=self.name, Attributes=attributes)
        self.words["queue"] = queue["QueueUrl"]
        arn = f"arn:aws:sqs:us-east-1:123456789012:{self.name}"
        wanted = {"QueueConfigurations": [{"QueueArn": arn, "Events": ["s3:ObjectCreated:*"]}]}
        await self.clients["s3"].put_bucket_notification_configuration(
            Bucket=self.name, NotificationConfiguration=wanted
        )


@asynccontextmanager
async def open_bucket(_folder: Path, _time: Time, server: Server) -> AsyncIterator[Outside]:
    yield Bucket(server)
