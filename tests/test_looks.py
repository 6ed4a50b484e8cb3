"""Looks that are asked for: answered by one that begins afterwards, and the pause before it cut short."""

from __future__ import annotations

from functools import partial

import anyio
import pytest

from sensord.looks import Looks
from tests.sources.directory_kit import LONG, HandClock


@pytest.fixture
def time() -> HandClock:
    return HandClock()


async def test_who_asks_is_answered_when_a_look_ends_that_began_afterwards(time: HandClock) -> None:
    looks, answered = Looks(time.clock), anyio.Event()
    looks.begin()  # It may have passed already what the one who asks is after.

    async def ask() -> None:
        await looks.now()
        answered.set()

    async with anyio.create_task_group() as group:
        group.start_soon(ask)
        await anyio.wait_all_tasks_blocked()
        looks.end()
        await anyio.wait_all_tasks_blocked()
        assert not answered.is_set()
        looks.begin()
        looks.give_up()  # It broke: the next one answers.
        looks.end()
        await anyio.wait_all_tasks_blocked()
        assert not answered.is_set()
        looks.begin()
        looks.end()
        with anyio.fail_after(LONG):
            await answered.wait()


@pytest.mark.parametrize("seconds", [60.0, float("inf")])
async def test_asking_ends_a_pause_and_leaves_out_the_one_before_its_look(time: HandClock, seconds: float) -> None:
    looks = Looks(time.clock)
    async with anyio.create_task_group() as group:
        group.start_soon(partial(looks.pause, seconds))
        await anyio.wait_all_tasks_blocked()
        group.start_soon(looks.now)
        with anyio.fail_after(LONG):
            await looks.pause(seconds)
            await anyio.wait_all_tasks_blocked()
        assert not time._sleepers
        looks.begin()
        looks.end()
        group.start_soon(partial(looks.pause, seconds))
        await anyio.wait_all_tasks_blocked()
        group.cancel_scope.cancel()
