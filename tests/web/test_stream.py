from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import anyio
import pytest

from sensord.web import stream
from sensord.web.api import serve
from tests.web.site import TOKEN, Site

AUTH = {"Authorization": f"Bearer {TOKEN}"}


class Reader:
    """A reader of server-sent events, as browsers read them."""

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self.answer = answer
        self.last = ""

    async def block(self) -> dict[str, str]:
        """The next block of lines; comments are under the empty name."""
        fields: dict[str, str] = {}
        with anyio.fail_after(10):
            while line := (await self.answer.content.readline()).decode().rstrip("\n"):
                name, _, value = line.partition(":")
                fields[name] = value.removeprefix(" ")
        self.last = fields.get("id", self.last)
        return fields

    async def event(self) -> dict[str, Any]:
        while "data" not in (fields := await self.block()):
            assert fields, "the stream ended"
        found = json.loads(fields["data"])
        assert isinstance(found, dict)
        return found


@asynccontextmanager
async def listening(site: Site, query: str = "", **headers: str) -> AsyncIterator[Reader]:
    async with site.http.get(f"{site.url}/api/stream{query}", headers=AUTH | headers) as answer:
        assert answer.status == 200
        assert answer.content_type == "text/event-stream"
        reader = Reader(answer)
        assert "retry" in await reader.block()
        yield reader


async def publish(site: Site, *messages: str, topic: str = "bp.a") -> None:
    for message in messages:
        status, _ = await site.call("POST", "/api/events", {"topic": topic, "message": message})
        assert status == 202


async def test_a_stream_gives_what_is_new_from_now_on(both: Site) -> None:
    await publish(both, "old")
    async with listening(both) as reader:
        await publish(both, "one", "two")
        assert [(await reader.event())["message"] for _ in range(2)] == ["one", "two"]


async def test_a_reader_that_comes_back_gets_each_event_once(both: Site) -> None:
    async with listening(both) as reader:
        await publish(both, "one", "two", "three")
        assert (await reader.event())["message"] == "one"
        place = reader.last
    await publish(both, "four")
    seen: list[str] = []
    while len(seen) < 3:
        async with listening(both, **{"Last-Event-ID": place}) as reader:
            seen.append((await reader.event())["message"])
            place = reader.last
    assert seen == ["two", "three", "four"]


async def test_readers_that_break_off_while_many_publish_miss_nothing_and_see_nothing_twice(site: Site) -> None:
    async with listening(site) as reader:
        place = reader.last
    seen: list[str] = []

    async def write(name: str) -> None:
        await publish(site, *(f"{name}{number}" for number in range(60)))

    async with anyio.create_task_group() as group:
        for name in "abcd":
            group.start_soon(write, name)
        while len(seen) < 240:
            async with listening(site, f"?after={place}") as reader:
                for _ in range(37):
                    if len(seen) < 240:
                        seen.append((await reader.event())["message"])
                place = reader.last
    assert len(set(seen)) == 240
    for name in "abcd":
        assert [one for one in seen if one[0] == name] == [f"{name}{number}" for number in range(60)]


async def test_a_pattern_chooses_and_what_it_leaves_out_is_not_read_again(site: Site) -> None:
    async with listening(site, "?topic=runs.*.queued") as reader:
        await publish(site, "no")
        run = await site.launch()
        event = await reader.event()
        assert (event["type"], event["run"]) == ("run.queued", run)


async def test_a_quiet_stream_says_that_it_lives_and_where_it_is(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "_HEARTBEAT_SECONDS", 0.0)
    await publish(site, "before")
    async with listening(site, "?topic=none") as reader:
        await publish(site, "not wanted")
        while int(reader.last) < 2:
            assert (await reader.block())[""] == "still here"


@pytest.mark.parametrize("query", ["topic=a.>.b", "topic=", "after=x", "after=-1", "after=99999999999999999999", "x=1"])
async def test_a_stream_of_nothing_that_is_is_refused(site: Site, query: str) -> None:
    status, _ = await site.call("GET", f"/api/stream?{query}")
    assert status == 400
    status, _ = await site.call("GET", "/api/stream", headers={"Last-Event-ID": "not a place"})
    assert status == 400


async def test_a_place_that_is_yet_to_come_is_now(site: Site) -> None:
    async with listening(site, "?after=999999999") as reader:
        await publish(site, "now")
        assert (await reader.event())["message"] == "now"


async def test_streams_are_bounded_and_a_closed_one_makes_room(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "MAX_STREAMS", 1)
    async with listening(site):
        status, _ = await site.call("GET", "/api/stream")
        assert status == 503
    with anyio.fail_after(10):
        while True:
            await publish(site, "so that the broken connection is noticed")
            async with site.http.get(f"{site.url}/api/stream", headers=AUTH) as answer:
                if answer.status == 200:
                    break


async def test_a_stream_ends_when_the_server_stops(site: Site) -> None:
    with anyio.fail_after(10):
        async with serve(site.app) as url:
            answer = await site.http.get(f"{url}/api/stream", headers=AUTH)
        await answer.read()
