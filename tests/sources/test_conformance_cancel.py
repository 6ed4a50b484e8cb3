"""A source may be cancelled wherever it waits: it ends at once, leaves nothing behind, and nothing is missed."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from math import inf
from pathlib import Path
from typing import Any

import anyio
import psutil

from notifiers.clock import SYSTEM
from sensord.app import App
from tests.sources.conformance_entries import of_each
from tests.sources.conformance_kit import NAME, World, runs
from tests.sources.directory_kit import until

PLACES = 12
PROMPT = 3.0


class Counted:
    """A task's own coroutine, in whose stead it is awaited: each time that it gives way is counted."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any], step: Callable[[], None]) -> None:
        self._coroutine = coroutine
        self._step = step

    def __await__(self) -> Generator[Any, Any, Any]:
        go_on = partial(self._coroutine.send, None)
        while True:
            try:
                waits_for = go_on()
            except StopIteration as end:
                return end.value
            self._step()
            try:
                go_on = partial(self._coroutine.send, (yield waits_for))
            except GeneratorExit:
                self._coroutine.close()
                raise
            except BaseException as error:  # noqa: BLE001 - whatever comes in from outside is the coroutine's
                go_on = partial(self._coroutine.throw, error)


class Steps:
    """How often tasks that are started meanwhile give way; at the step `at` their scope is cancelled."""

    def __init__(self, scope: anyio.CancelScope, at: int) -> None:
        self.count = 0
        self.since = inf
        self.tasks: list[asyncio.Task[Any]] = []
        self._scope = scope
        self._at = at

    def _step(self) -> None:
        self.count += 1
        if self.count == self._at:
            self.cancel()

    def cancel(self) -> None:
        """Cancel, and note when that was first done: what its outside takes before is not the source's."""
        self.since = min(self.since, SYSTEM.monotonic())
        self._scope.cancel()

    @contextmanager
    def counted(self) -> Iterator[None]:
        async def through(coroutine: Coroutine[Any, Any, Any]) -> Any:
            return await Counted(coroutine, self._step)

        def task(loop: asyncio.AbstractEventLoop, coroutine: Any, **keys: Any) -> asyncio.Task[Any]:
            self.tasks.append(asyncio.Task(through(coroutine), loop=loop, **keys))
            return self.tasks[-1]

        loop = asyncio.get_running_loop()
        loop.set_task_factory(task)
        try:
            yield
        finally:
            loop.set_task_factory(None)


def files() -> list[str]:
    """What is open, but for the ledger's own files: as many connections read it as are needed."""
    return [name for name in map(_target, Path("/proc/self/fd").iterdir()) if "sensord.db" not in name]


def _target(link: Path) -> str:
    try:
        return str(link.readlink())
    except FileNotFoundError:  # It was the open folder itself.
        return "sensord.db"


def threads() -> set[str]:
    """Those that are not lent out by a pool."""
    return {one.name for one in threading.enumerate() if not one.name.startswith(("AnyIO worker", "asyncio_"))}


def processes() -> set[int]:
    return {one.pid for one in psutil.Process().children(recursive=True) if one.status() != psutil.STATUS_ZOMBIE}


async def live(app: App, count: int, at: int = 0) -> int:
    """Run the source until it is cancelled at that step, or there are so many runs; how many steps it took."""
    source, sensing = app.sources[NAME], app.sensings[NAME]
    cursor = await sensing.open()
    async with anyio.create_task_group() as group:
        steps = Steps(group.cancel_scope, at)
        with steps.counted():
            group.start_soon(source.run, sensing, cursor)
            await until(lambda: len(runs(app)) >= count)
            steps.cancel()
    assert SYSTEM.monotonic() - steps.since < PROMPT
    assert all(task.done() for task in steps.tasks)
    return steps.count


@asynccontextmanager
async def alone(world: World) -> AsyncIterator[App]:
    """The daemon without its sensors running; what the one asks for is left in the ledger, so that it is all alone."""
    async with world.opened() as app, anyio.create_task_group() as group:
        app.sensings[NAME]._claimed = lambda _: None
        group.start_soon(app.feed.run)
        await group.start(app.running.run)
        yield app
        group.cancel_scope.cancel()


@of_each()
async def test_cancelled_anywhere_it_ends_at_once_and_leaves_nothing_behind(world: World) -> None:
    await world.begun()
    async with alone(world) as app:
        things = []
        for number in range(2):  # What is made once and kept is there after the first life.
            things.append(await world.happen(app, f"a{number}.csv"))
            steps = await live(app, len(things))
        before = len(files()), threads(), processes()
        for number in range(PLACES):
            things.append(await world.happen(app, f"b{number:02}.csv"))
            at = number + 1 if number < PLACES // 3 else 1 + steps * number // PLACES
            await live(app, len(things), at)
            await until(lambda: processes() <= before[2])
            await until(lambda: len(files()) <= before[0])
            assert threads() <= before[1]
        things.append(await world.happen(app, "c.csv"))
        await live(app, len(things))
        keys = sorted(str(run["run_key"]) for run in runs(app))
        assert keys == sorted(thing.run_key for thing in things)
