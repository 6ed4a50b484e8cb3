"""Attack cases 14-18 of the threat model: bodies that are too much, and bodies that readers would take differently."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import io
import json
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import anyio
import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sensord.ledger.database import open_database
from sensord.web import server
from sensord.web.api import build_web, serve
from tests.web.site import TOKEN, Site

AUTH = f"Authorization: Bearer {TOKEN}\r\n"
HEAD = "POST /api/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
MIB = 1 << 20


async def connect(site: Site) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", int(site.url.rpartition(":")[2]))


async def first_line(site: Site, request: bytes) -> str:
    """The status line that answers these bytes, and then the end of the connection."""
    reader, writer = await connect(site)
    try:
        writer.write(request)
        with anyio.fail_after(10):
            return (await reader.readline()).decode().strip()
    finally:
        writer.close()


@pytest.mark.parametrize("auth", [AUTH, ""])
async def test_two_gigabytes_are_refused_before_a_byte_of_them_is_sent(site: Site, auth: str) -> None:
    request = f"{HEAD}{auth}Content-Length: {2 << 30}\r\n\r\n".encode()
    assert (await first_line(site, request)).split()[1] == ("413" if auth else "401")


@pytest.mark.parametrize("auth", [AUTH, ""])
async def test_a_body_without_end_is_cut_off_and_no_memory_goes_with_it(site: Site, auth: str) -> None:
    memory = psutil.Process(os.getpid()).memory_info().rss
    reader, writer = await connect(site)
    writer.write(f"{HEAD}{auth}Transfer-Encoding: chunked\r\n\r\n".encode())
    chunk = b"10000\r\n" + b" " * 65536 + b"\r\n"
    lines: list[bytes] = []

    async def send() -> None:
        while True:
            writer.write(chunk)
            await writer.drain()

    async def read() -> None:
        lines.append(await reader.readline())

    try:
        with anyio.fail_after(20):
            async with anyio.create_task_group() as group:
                group.start_soon(read)
                with contextlib.suppress(ConnectionError):
                    await send()  # For ever, if nobody cuts it off.
        assert lines[0].split()[1] == (b"413" if auth else b"401")
        assert psutil.Process(os.getpid()).memory_info().rss - memory < 24 * MIB
        assert (await site.call("GET", "/api/runs"))[0] == 200
    finally:
        writer.transport.abort()


async def test_exactly_the_limit_is_taken_and_one_byte_more_is_not(site: Site) -> None:
    body = json.dumps({"topic": "a", "data": {"x": ""}}).encode()
    for extra, expected in ((0, 202), (1, 413)):
        raw = body.replace(b'""', b'"' + b"x" * (MIB - len(body) + extra) + b'"')
        for chunked in (False, True):
            data: Any = _pieces(raw) if chunked else io.BytesIO(raw)
            headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
            async with site.http.post(f"{site.url}/api/events", data=data, headers=headers) as answer:
                assert answer.status == expected, (extra, chunked)


async def _pieces(raw: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(raw), 100_000):
        yield raw[start : start + 100_000]


async def test_who_asks_before_sending_is_answered_by_the_guard_first(site: Site) -> None:
    ask = "Expect: 100-continue\r\nContent-Length: 15\r\n\r\n"
    assert (await first_line(site, f"{HEAD}{ask}".encode())).split()[1] == "401"
    assert (await first_line(site, f"{HEAD}{AUTH}{ask.replace('15', str(MIB + 1))}".encode())).split()[1] == "413"
    reader, writer = await connect(site)
    writer.write(f"{HEAD}{AUTH}{ask}".encode())
    with anyio.fail_after(10):
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b'{"topic": "ab"}')
        assert (await reader.readline()).split()[1] == b"202"
    writer.close()


async def test_compressed_bodies_are_refused_and_never_unpacked(site: Site) -> None:
    bomb = gzip.compress(b" " * (64 * MIB))
    for encoding in ("gzip", "deflate", "br", "GZIP", "identity, gzip"):
        headers = {
            "Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json", "Content-Encoding": encoding,
        }  # fmt: skip
        async with site.http.post(f"{site.url}/api/events", data=bomb, headers=headers) as answer:
            assert answer.status == 415


BROKEN = [
    f"{HEAD}{AUTH}Content-Length: -1\r\n\r\n",
    f"{HEAD}{AUTH}Content-Length: 5\r\nContent-Length: 6\r\n\r\n",
    f"{HEAD}{AUTH}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    f"{HEAD}{AUTH}Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    f"{HEAD}{AUTH}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    f"{HEAD}X: {'a' * 20_000}\r\n\r\n",
    f"{HEAD}{'X: y' * 1}\r\n" + "".join(f"X{number}: y\r\n" for number in range(500)) + "\r\n",
    "GET /" + "a" * 20_000 + " HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "GET / HTTP/9.9\r\n\r\n",
    "\x16\x03\x01\x02\x00\x01\x00",
    "GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n",
    "GET /healthz HTTP/1.0\r\n\r\n",
]


async def test_broken_requests_are_refused_and_harm_nobody(site: Site) -> None:
    for request in BROKEN:
        line = await first_line(site, request.encode("latin-1"))
        assert line == "" or line.split()[1] in ("400", "415", "421"), (request[:200], line)
    assert (await site.call("GET", "/api/runs"))[0] == 200


async def test_a_connection_too_many_is_turned_away_and_a_freed_place_is_taken(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "MAX_CONNECTIONS", 20)
    idle = [await connect(site) for _ in range(30)]
    with anyio.fail_after(10):
        refused = [reader for reader, _ in idle[20:]]
        assert (await refused[-1].readline()).split()[1] == b"503"
        for _, writer in idle:
            writer.close()
            await writer.wait_closed()
        while (await site.http.get(f"{site.url}/healthz")).status != 200:
            await anyio.lowlevel.checkpoint()


async def test_a_head_that_never_ends_is_closed(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sensord.web.api._IDLE_SECONDS", 0.2)
    with anyio.fail_after(10):
        async with serve(site.app) as url:
            port = int(url.rpartition(":")[2])
            for start in (b"", b"GET / HT", b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: y\r\n"):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(start)
                assert await reader.read() == b""
                writer.close()


async def test_a_body_that_never_ends_is_given_up(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sensord.web.body._SECONDS", 0.1)
    assert (await first_line(site, f"{HEAD}{AUTH}Content-Length: 50\r\n\r\n{{".encode())).split()[1] == "408"


NOT_TAKEN = [
    b"",
    b"{",
    b"nul",
    b"\xef\xbb\xbf{}",
    b"\xff\xfe{\x00}\x00",
    b'{"topic": "a", "topic": "b"}',
    b'{"topic": "a", "data": {"x": 1, "x": 2}}',
    b'{"topic": "a", "data": NaN}',
    b'{"topic": "a", "data": -Infinity}',
    b'{"topic": "a", "data": 1e999}',
    b'{"topic": "a", "data": 9223372036854775808}',
    b'{"topic": "a", "data": ' + b"9" * 100_000 + b"}",
    b'{"topic": "a", "data": ' + b"9" * 900_000 + b".0}",
    b'{"topic": "a", "data": "\\ud800"}',
    b'{"topic": "a", "data": {"\\udfff": 1}}',
    b'{"topic": "a", "data": "\xed\xa0\x80"}',
    b'{"topic": "a", "data": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    b'{"topic": "a", "data": ' + b"[" * 70 + b"]" * 70 + b"}",
    b'{"topic": "a", "data": ' + b'{"a":' * 500 + b"1" + b"}" * 500 + b"}",
    b'{"topic": "a"} {"topic": "b"}',
]


async def test_json_that_readers_take_differently_is_refused_with_the_reason(site: Site) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
    for raw in NOT_TAKEN:
        for path in ("/api/events", "/api/jobs/load/runs", "/api/subscriptions"):
            if raw == b"" and path == "/api/jobs/load/runs":
                continue  # No body is a launch without wishes.
            async with site.http.post(f"{site.url}{path}", data=raw, headers=headers) as answer:
                assert answer.status == 400, (raw[:60], path)
                assert 10 < len((await answer.json())["error"]) < 400
    assert (await site.get("/api/events"))["items"] == []


def paths(site: Site) -> Iterator[tuple[str, str]]:
    for route in build_web(site.app).router.routes():
        if route.method in ("POST", "DELETE") and route.resource is not None:
            path = route.resource.canonical.replace("{name}", "load" if "jobs" in route.resource.canonical else "drop")
            yield route.method, path.replace("{id}", "0189abcd-0000-7000-8000-00000000000f")


WORDS = """
topic message data severity type source id time run job sensor run_config tags run_key partition_key priority to where
destination specversion data_base64
"""
NAMES = st.sampled_from(WORDS.split())
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=20)
    | st.sampled_from(["1.0", "a.b", "inbox:", "slack:#x", "2026-01-01T00:00:00Z", ">=warning", "a\0b", "load"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


async def fuzz(folder: Path, bodies: list[tuple[bytes, str]]) -> list[int]:
    from tests.web.site import open_site

    statuses: list[int] = []
    async with open_database(f"sqlite:///{folder}/fuzz.db") as database, open_site(database, folder) as site:
        for method, path in paths(site):
            for raw, kind in bodies:
                headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": kind}
                async with site.http.request(
                    method, f"{site.url}{path}", data=raw, headers=headers, allow_redirects=False
                ) as answer:
                    text = await answer.text()
                    assert answer.status < 500, (method, path, raw, text)
                    statuses.append(answer.status)
    return statuses


@settings(max_examples=4, suppress_health_check=list(HealthCheck))
@given(st.lists(st.dictionaries(NAMES, VALUES, max_size=6) | VALUES, min_size=20, max_size=30), st.binary(max_size=200))
def test_whatever_is_sent_anywhere_nothing_fails_in_us(
    tmp_path_factory: pytest.TempPathFactory, values: list[Any], noise: bytes
) -> None:
    kinds = ["application/json", "application/cloudevents+json"]
    bodies = [(json.dumps(value).encode(), kinds[number % 2]) for number, value in enumerate(values)]
    bodies += [(noise, "application/json"), (noise, "text/plain")]
    statuses = anyio.run(fuzz, tmp_path_factory.mktemp("fuzz"), bodies)
    assert 400 in statuses


@pytest.mark.campaign
@settings(max_examples=300, suppress_health_check=list(HealthCheck))
@given(st.lists(st.dictionaries(NAMES, VALUES, max_size=6) | VALUES, min_size=50, max_size=50))
def test_fuzz_campaign(tmp_path_factory: pytest.TempPathFactory, values: list[Any]) -> None:
    anyio.run(fuzz, tmp_path_factory.mktemp("fuzz"), [(json.dumps(one).encode(), "application/json") for one in values])
