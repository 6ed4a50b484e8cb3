"""The double of Slack as a program of its own."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import aiohttp
import anyio
import pytest

from tests.channels.slack_messages import ROOM


async def test_the_double_runs_as_a_program_and_writes_each_request_down_first(tmp_path: Path) -> None:
    record = tmp_path / "requests.jsonl"
    faults = json.dumps([{"kind": "lost", "nth": 1}])
    argv = [sys.executable, "-m", "tests.doubles.slack", "--record", str(record), "--faults", faults, "--token", "x"]
    async with await anyio.open_process(argv, stderr=None) as process:
        assert process.stdout is not None
        try:
            port = (await process.stdout.receive()).decode().strip()
            url, body = f"http://127.0.0.1:{port}/api/", {"channel": ROOM, "text": "a", "token": "x"}
            async with aiohttp.ClientSession() as session:
                with pytest.raises(aiohttp.ClientError):
                    await session.post(f"{url}chat.postMessage", json=body)
            lines = [json.loads(line) for line in record.read_text().splitlines()]
        finally:
            process.terminate()
    seen = [(line["method"], line["fault"], line["body"]["text"]) for line in lines]
    assert seen == [("chat.postMessage", "lost", "a")]
