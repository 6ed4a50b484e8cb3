"""The sources whose daemons die: what each looks at, how things happen there, and where it is killed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from urllib.request import Request, urlopen
from uuid import NAMESPACE_URL, uuid5

import anyio
from aiobotocore.session import get_session  # type: ignore[import-untyped]

from tests.campaigns.dying import around
from tests.campaigns.dying_sources import World
from tests.sources.conformance_entries import KEYS
from tests.sources.conformance_outsides import LISTS, READS
from tests.sources.dagster_kit import instance
from tests.sources.python_kit import write
from tests.sources.s3_kit import ACCESS, SECRET, moto, rclone


@dataclass(frozen=True)
class Kind:
    """One source: its outside, the places where its daemon is killed besides those of every source."""

    name: str
    sensor: str
    happen: Callable[[World, str], str]
    looks: tuple[str, ...]
    open: Callable[[World], AbstractContextManager[object]] = lambda _world: nullcontext()
    hurried: bool = False

    @property
    def points(self) -> list[str]:
        """Where its daemon is killed."""
        return around("open_sensor", "commit_ticks", *self.looks)


def put(folder: Path, name: str) -> str:
    """A file that is whole at once."""
    spare = folder.parent / f"{folder.name}-{name}"
    spare.write_text(name)
    spare.rename(folder / name)
    return name


def put_file(world: World, name: str) -> str:
    return put(world.folder / "in", name)


@contextmanager
def with_folder(world: World) -> Iterator[None]:
    (world.folder / "in").mkdir()
    yield


@contextmanager
def with_bucket(world: World) -> Iterator[None]:
    served = world.folder / "served"
    (served / "data").mkdir(parents=True)
    with rclone(served) as url:
        world.words |= {"bucket": "data", "url": url}
        yield


@contextmanager
def with_queue(world: World) -> Iterator[None]:
    """A bucket whose notices go to a queue; what is received and not deleted comes again a second later."""
    with moto() as url:
        world.words |= {"bucket": "data", "url": url, "queue": anyio.run(_make_queue, url)}
        yield


async def _make_queue(url: str) -> str:
    session = get_session()
    session.set_credentials(ACCESS, SECRET)
    keys = {"endpoint_url": url, "region_name": "us-east-1"}
    async with session.create_client("s3", **keys) as s3, session.create_client("sqs", **keys) as sqs:
        await s3.create_bucket(Bucket="data")
        queue = await sqs.create_queue(QueueName="data", Attributes={"VisibilityTimeout": "1"})
        wanted = {"QueueArn": "arn:aws:sqs:us-east-1:123456789012:data", "Events": ["s3:ObjectCreated:*"]}
        await s3.put_bucket_notification_configuration(
            Bucket="data", NotificationConfiguration={"QueueConfigurations": [wanted]}
        )
    return str(queue["QueueUrl"])


def upload(world: World, name: str) -> str:
    with urlopen(Request(f"{world.words['url']}/data/{name}", name.encode(), method="PUT"), timeout=10):
        return name


@contextmanager
def with_dagster(world: World) -> Iterator[None]:
    with instance() as world.dagster:
        world.words["url"] = world.dagster.url
        yield


def end_run(world: World, _name: str) -> str:
    assert world.dagster is not None
    [run] = world.dagster.do("runs", job="houses")
    return str(run)


def publish(world: World, name: str) -> str:
    id_ = str(uuid5(NAMESPACE_URL, f"{world.folder}/{name}"))
    world.tell("/api/events", {"topic": "bp.test.oks", "message": name, "id": id_})
    return name


def report(world: World, name: str) -> str:
    run = str(uuid5(NAMESPACE_URL, f"{world.folder}/{name}"))
    job = {"namespace": "airflow", "name": "etl.load"}
    world.tell("/api/v1/lineage", {"eventType": "COMPLETE", "run": {"runId": run}, "job": job})
    return run


def launch(world: World, name: str) -> str:
    world.tell("/api/jobs/first/runs", {"run_key": name})
    return name


def with_module(code: str) -> Callable[[World], AbstractContextManager[None]]:
    @contextmanager
    def open_(world: World) -> Iterator[None]:
        (world.folder / "in").mkdir()
        if code == READS:
            (world.folder / "in" / "log").touch()
        write(world.folder, code)
        yield

    return open_


def append(world: World, name: str) -> str:
    with (world.folder / "in" / "log").open("a") as log:
        log.write(f"{name}\n")
    return name


def wait(_world: World, name: str) -> str:
    """Minutes pass by themselves."""
    return name


PYTHON = "python: {{module: team, function: mine, interval: 200ms}}"
KINDS = (
    Kind(
        "directory",
        "directory: {{path: in, rescan: 500ms}}\n    run_key: '{{{{ file.name }}}}'",
        put_file,
        ("list", "look"),
        with_folder,
    ),
    Kind("topic", "topic: bp.test.*\n    run_key: '{{{{ event.message }}}}'", publish, ("read",)),
    Kind("lineage", "lineage: {{job: etl.*}}\n    run_key: '{{{{ lineage.run.runId }}}}'", report, ("read",)),
    Kind("runs", "runs: {{job: first}}\n    run_key: '{{{{ run.run_key }}}}'", launch, ("read",)),
    Kind("schedule", "schedule: {{cron: '* * * * *', catch_up: all}}", wait, ("due",), hurried=True),
    Kind(
        "s3",
        f"s3: {{{{bucket: {{bucket}}, interval: 200ms, {KEYS}}}}}\n    run_key: '{{{{{{{{ object.name }}}}}}}}'",
        lambda world, name: put(world.folder / "served" / "data", name),
        ("page",),
        with_bucket,
    ),
    Kind(
        "s3 notices",
        f"s3: {{{{bucket: {{bucket}}, listing: false, queue_url: '{{queue}}', {KEYS}}}}}\n"
        "    run_key: '{{{{ object.name }}}}'",
        upload,
        ("receive", "delete"),
        with_queue,
    ),
    Kind(
        "dagster",
        "dagster: {{url: '{url}', since: beginning, every: 200ms}}\n    run_key: '{{{{ run.id }}}}'",
        end_run,
        ("ask",),
        with_dagster,
    ),
    Kind("python", PYTHON, put_file, ("order", "hear"), with_module(LISTS)),
    Kind("python with a cursor", PYTHON, append, ("order", "hear"), with_module(READS)),
)
