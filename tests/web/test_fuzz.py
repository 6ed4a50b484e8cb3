"""Hostile requests to every route that the API describes: none is a failure of ours, none tells a secret.

Short here, long by `pytest -m campaign -k hostile -s`.
"""

from __future__ import annotations

import json
import os
import random
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import aiohttp
import anyio
import psutil
import pytest

from tests.web.site import TOKEN, Site

ID = "01a1fc61-23a7-72ba-88b0-6246493cd5dc"
TEXTS = (
    *("", " ", "\0", "a\nb", "\u202e", "\ud800", "é" * 200, "x" * 5000, "'; DROP TABLE runs; --", "{{ 7*7 }}"),
    *("../../etc/passwd", "..%2f..%2fetc%2fpasswd", "%00", "%ff%fe", "/", "//evil.example/", "*", ">", "a.*.>"),
    *("-1", "0", "1e309", "9" * 40, "NaN", "true", "null", "[]", "{}", ID, ID.upper(), f"{ID}x", "count", "drop"),
)
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "CONNECT", "BREW")
HEADERS: tuple[dict[str, str], ...] = (
    {},
    {"Host": "evil.example"},
    {"Origin": "https://evil.example"},
    {"Content-Type": "text/plain"},
    {"Content-Type": "application/json; charset=utf-16"},
    {"Content-Type": "application/cloudevents+json"},
    {"Content-Encoding": "gzip"},
    {"X-Forwarded-For": "127.0.0.1", "X-HTTP-Method-Override": "DELETE"},
    {"Cookie": "session=" + "A" * 3000},
    {"Range": "bytes=0-18446744073709551615"},
    {"Last-Event-ID": "99999999999999999999999"},
)


class Attacker:
    """Makes requests of what the API says of itself, a little wrong each time. The same seed makes the same ones."""

    def __init__(self, seed: int, described: dict[str, Any]) -> None:
        self.random = random.Random(seed)
        self._routes = [
            (method.upper(), path, [one["name"] for one in about.get("parameters", ()) if one["in"] == "query"])
            for path, methods in described["paths"].items()
            for method, about in methods.items()
        ]

    def value(self, depth: int = 0) -> Any:
        """JSON of any shape."""
        kind = self.random.randrange(8 if depth < 3 else 5)
        if kind < 3:
            return self.random.choice(TEXTS)
        if kind == 3:
            return self.random.choice((0, -1, 2**63, 2**64, 10**400, 1.5e300, True, None))
        if kind == 4:
            return self.random.choice(([], {}))
        if kind == 5:
            return [self.value(depth + 1) for _ in range(self.random.randrange(4))]
        names = ("topic", "message", "severity", "data", "run_config", "run_key", "to", "where", "sensor", "job", "id")
        return {self.random.choice((*names, *TEXTS)): self.value(depth + 1) for _ in range(self.random.randrange(6))}

    def body(self) -> bytes | None:
        """A request's body: JSON, deep JSON, nearly JSON, or none."""
        kind = self.random.randrange(6)
        if kind == 0:
            return None
        if kind == 1:
            return b"[" * self.random.choice((10, 1000, 100_000))
        if kind == 2:
            return self.random.randbytes(self.random.randrange(300))
        text = json.dumps(self.value()).encode()
        return text[: self.random.randrange(len(text) + 1)] if kind == 3 else text

    def requests(self, count: int) -> Iterator[tuple[str, str, dict[str, Any]]]:
        """Method, path and the rest of each request."""
        for _ in range(count):
            method, path, query = self.random.choice(self._routes)
            for name in ("{id}", "{name}"):
                text = self.random.choice(TEXTS).encode("utf-8", "replace")
                path = path.replace(name, quote(text, safe=""))
            asked = [
                (name, self.random.choice(TEXTS))
                for name in self.random.sample((*query, "nonsense"), k=min(2, len(query)))
            ]
            if asked:
                words = "&".join(f"{quote(name)}={quote(text.encode('utf-8', 'replace'))}" for name, text in asked)
                path += f"?{words}"
            if self.random.random() < 0.1:
                method = self.random.choice(METHODS)
            headers = dict(self.random.choice(HEADERS))
            if self.random.random() < 0.8:
                headers["Authorization"] = f"Bearer {TOKEN}"
            yield method, path, {"data": self.body() if method != "GET" else None, "headers": headers}

    def bytes(self) -> bytes:
        """What may look like HTTP for a while."""
        heads = (
            b"GET / HTTP/1.1\r\n",
            b"GET / HTTP/9.9\r\n",
            b"POST /api/events HTTP/1.1\r\nContent-Length: -1\r\n",
            b"",
        )
        noise = self.random.randbytes(self.random.randrange(400))
        return self.random.choice(heads) + self.random.choice((b"Host: localhost\r\n", noise)) + b"\r\n\r\n" + noise


async def answers(site: Site, method: str, path: str, options: dict[str, Any]) -> tuple[int, str]:
    """Status and the beginning of the answer; 0 where the connection was closed instead."""
    try:
        async with site.http.request(method, site.url + path, allow_redirects=False, **options) as answer:
            with anyio.move_on_after(0.05):  # A stream has no end.
                return answer.status, (await answer.content.read(65536)).decode(errors="replace")
            return answer.status, ""
    except (aiohttp.ClientError, ValueError):  # ValueError: what not even a client sends.
        return 0, ""


async def attacked(site: Site, seed: int, count: int) -> Counter[int]:
    """Statuses of that many hostile requests and half as many that are no HTTP."""
    _, described = await site.call("GET", "/openapi.json")
    attacker = Attacker(seed, described)
    memory = psutil.Process(os.getpid()).memory_info().rss
    statuses: Counter[int] = Counter()
    for method, path, options in attacker.requests(count):
        with anyio.fail_after(10):
            status, text = await answers(site, method, path, options)
        assert status < 500, (method, path, options, status, text)
        assert "Traceback" not in text, (method, path, options, text)
        assert TOKEN not in text, (method, path, options, text)
        statuses[status] += 1
    port = int(site.url.rpartition(":")[2])
    for _ in range(count // 2):
        async with await anyio.connect_tcp("127.0.0.1", port) as stream:
            with anyio.move_on_after(0.01):
                await stream.send(attacker.bytes())
                said = await stream.receive()
                assert b" 500 " not in said.partition(b"\n")[0]
    assert (await site.call("GET", "/healthz"))[0] == 200
    assert psutil.Process(os.getpid()).memory_info().rss - memory < 100 << 20
    return statuses


async def test_no_hostile_request_is_a_failure_of_ours(site: Site) -> None:
    statuses = await attacked(site, 1, 1000)
    assert min(statuses[400], statuses[401], statuses[404], statuses[200]) > 0


@pytest.mark.campaign
async def test_hostile_requests(site: Site) -> None:
    seed = int(time.time())
    total: Counter[int] = Counter()
    for number in range(20):
        total += await attacked(site, seed + number, 2000)
        print(f"seed {seed + number}: {dict(sorted(total.items()))}", flush=True)
