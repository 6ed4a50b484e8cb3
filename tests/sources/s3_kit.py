"""What the S3 sensor's tests share: real servers on free ports, and a source that runs."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections import deque
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import Any

import anyio
import pytest

from notifiers.clock import SYSTEM, Clock
from sensord.sources.s3 import S3Config, open_s3
from sensord.sources.s3_account import _models
from sensord.sources.s3_source import S3Source
from tests.conftest import in_ci
from tests.sources.directory_kit import HandClock, Recorder, until

ACCESS, SECRET = "AKIATESTONLY00000000", "a-secret-that-must-never-show"
KEYS = {"region": "us-east-1", "access_key": ACCESS, "secret_key": SECRET}


MODELS = _models()
"""What botocore knows of services, kept: hundreds of sources are opened by these tests, one after another."""


@contextmanager
def _server(command: Sequence[str], started: str) -> Iterator[str]:
    """A program until the block ends; the URL that it says it serves."""
    program = shutil.which(command[0], path=str(Path(sys.executable).parent)) or shutil.which(command[0])
    if program is None:
        if in_ci():
            pytest.fail(f"{command[0]} is missing")
        pytest.skip(f"{command[0]} is not installed")
    with subprocess.Popen(
        [program, *command[1:]], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        reader: Thread | None = None
        try:
            said = ""
            for line in process.stdout:
                said += line
                if found := re.search(started, line):
                    # Somebody has to read on: a server whose pipe is full stands still.
                    reader = Thread(target=deque, args=(process.stdout, 0))
                    reader.start()
                    yield found[1].rstrip("/")
                    break
            else:
                raise AssertionError(f"{command[0]} did not start:\n{said}")
        finally:
            process.kill()
            if reader is not None:
                reader.join()


@contextmanager
def rclone(folder: Path, port: int = 0) -> Iterator[str]:
    """A real S3 server that checks signatures; the folders in this one are its buckets."""
    command = ["rclone", "serve", "s3", str(folder), "--addr", f"127.0.0.1:{port}", "--auth-key", f"{ACCESS},{SECRET}"]
    with _server([*command, "--dir-cache-time", "0"], r"Starting s3 server on \[(\S+)\]") as url:
        yield url


@contextmanager
def moto() -> Iterator[str]:
    """A server of many of Amazon's interfaces: S3, SQS, SNS and EventBridge, with notices from one to the other."""
    with _server(["moto_server", "-H", "127.0.0.1", "-p", "0"], r"Running on (\S+)") as url:
        yield url


@dataclass
class Sensor:
    """A running source and what it said."""

    source: S3Source
    emit: Recorder
    time: HandClock | None

    @property
    def keys(self) -> list[str]:
        """The keys emitted, in order."""
        return [one.context["object"]["key"] for one in self.emit.sensed]

    async def emitted(self, count: int) -> list[str]:
        """The keys emitted, once there are so many."""
        await until(lambda: len(self.emit.sensed) >= count)
        return self.keys

    async def listed(self, times: int = 1) -> None:
        """Return when the bucket was listed again, so many times."""
        for _ in range(times):
            await self._looked_again()

    async def _looked_again(self) -> None:
        looks = self.emit.looks
        await self.wait(60)
        await until(lambda: self.emit.looks > looks)

    async def failed(self) -> str:
        """The first failure, once there is one."""
        await until(lambda: self.emit.failures)
        return self.emit.failures[0]

    async def recovered(self) -> None:
        """Return when it has recovered."""
        await until(lambda: self.emit.recoveries)

    async def wait(self, seconds: float) -> None:
        """Let time pass once the source waits for it to."""
        assert self.time is not None
        await until(lambda: self.time and self.time._sleepers)
        await self.time.pass_(seconds)


@asynccontextmanager
async def sensing(
    endpoint: str, emit: Recorder | None = None, *, wait: bool = True, clock: Clock | None = None, **keys: Any
) -> AsyncIterator[Sensor]:
    """Run a source on the bucket `data` until the block ends; its time passes by hand. `wait`: until it has looked."""
    emit = Recorder() if emit is None else emit
    config = S3Config.model_validate({"bucket": "data", "endpoint_url": endpoint, **KEYS, **keys})
    time = HandClock() if clock is None else None
    looks = emit.looks
    async with open_s3("drop", config, clock=clock or (time.clock if time else SYSTEM)) as source:
        assert isinstance(source, S3Source)
        async with anyio.create_task_group() as tasks:
            sensor = Sensor(source, emit, time)
            tasks.start_soon(source.run, emit, emit.cursor)
            if wait:
                await until(lambda: emit.looks > looks)
            yield sensor
            tasks.cancel_scope.cancel()
