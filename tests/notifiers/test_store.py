from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial

import anyio
from msgspec.structs import replace
from sqlalchemy import Connection

from notifiers.channels import DeliveryError, Reason
from notifiers.clock import to_us
from notifiers.database import Op
from notifiers.failures import failures_before
from notifiers.fanout import commit_routed
from notifiers.progress import Progress
from notifiers.routing import Routing
from notifiers.store import Claimed, Result, Waiting, claim, record, recover, requeue
from notifiers.subscriptions import Ended, Wanted, add_subscriptions, end_subscriptions
from rules.event import Severity
from rules.pacing import Window
from tests.notifiers.service import (
    START,
    Call,
    HeldTime,
    Patient,
    R,
    Service,
    T,
    Watched,
    delivering,
    event,
    publish,
    select,
    subscribe,
)

NOW = to_us(START)


async def one_waiting(database: Watched, time: HeldTime) -> Waiting:
    await subscribe(database, ">", "chat:a")
    await publish(database, event("one"))
    _, (waiting,) = await Routing(database, time.clock).step()
    return waiting


async def claimed(database: Watched, delivery: str) -> Claimed:
    found = await database.write(claim, delivery)
    assert found is not None
    return found


def delivered(by: Claimed) -> Result:
    return Result(
        claimed=by, status="delivered", progress=Progress(({"id": "1"},)), destination=by.destination, now=NOW, parts=1
    )


async def test_a_delivery_is_claimed_by_one_and_counted_before_it_is_tried(database: Watched, time: HeldTime) -> None:
    waiting = await one_waiting(database, time)
    first, second = await database.write_many(claim, [waiting.id, waiting.id])
    (row,) = await select(database, "SELECT status, attempts FROM deliveries")

    assert first is not None
    assert second is None
    assert await database.write(claim, waiting.id) is None
    assert row == {"status": "sending", "attempts": 1}


async def test_a_result_that_comes_too_late_changes_nothing(database: Watched, time: HeldTime) -> None:
    waiting = await one_waiting(database, time)
    late = await claimed(database, waiting.id)
    await database.write(recover, NOW)
    await claimed(database, waiting.id)

    assert not await database.write(record, replace(delivered(late), status="dead"))
    assert [row["status"] for row in await select(database, "SELECT status FROM deliveries")] == ["sending"]


async def test_what_ended_stays_as_it_ended(database: Watched, time: HeldTime) -> None:
    waiting = await one_waiting(database, time)
    ours = await claimed(database, waiting.id)
    assert await database.write(record, delivered(ours))

    assert not await database.write(record, replace(delivered(ours), status="dead"))
    assert not await database.write(requeue, waiting.id)
    assert await database.write(recover, NOW) == []
    assert await database.write(claim, waiting.id) is None
    assert [row["status"] for row in await select(database, "SELECT status FROM deliveries")] == ["delivered"]


async def test_results_of_one_batch_are_each_judged_alone(database: Watched, time: HeldTime) -> None:
    await subscribe(database, ">", "chat:a")
    await publish(database, *(event(f"{number}") for number in range(3)))
    _, waiting = await Routing(database, time.clock).step()
    ours = [await claimed(database, one.id) for one in waiting]
    results = [delivered(one) for one in ours]
    results[1] = replace(results[1], claimed=replace(ours[1], attempts=7))

    assert await database.write_many(record, results) == [True, False, True]
    statuses = [row["status"] for row in await select(database, "SELECT status FROM deliveries ORDER BY event_seq")]
    assert statuses == ["delivered", "sending", "delivered"]


class Interrupted(Watched):
    """Somebody does something between the look at the events and the commit of what became of them."""

    def __init__(self, inner: Watched, meanwhile: Callable[[], Awaitable[object]]) -> None:
        super().__init__(inner)
        self._meanwhile: Callable[[], Awaitable[object]] | None = meanwhile

    async def write(self, op: Op[T, R], item: T, *, patient: bool = False) -> R:
        if op is commit_routed and self._meanwhile is not None:
            meanwhile, self._meanwhile = self._meanwhile, None
            await meanwhile()
        return await super().write(op, item, patient=patient)


async def test_routing_goes_by_the_subscriptions_of_the_moment_it_commits(database: Watched, time: HeldTime) -> None:
    gone = await subscribe(database, ">", "chat:a")
    await subscribe(database, "t.>", "chat:b")
    await publish(database, event("one"))
    unsubscribe = partial(database.write, end_subscriptions, Ended(id=gone, at=NOW))
    routing = Routing(Interrupted(database, unsubscribe), time.clock)
    steps: list[Sequence[str]] = []
    for _ in range(3):
        _, waiting = await routing.step()
        steps.append([one.destination for one in waiting])

    assert steps == [[], ["chat:b"], []]


async def test_who_unsubscribes_while_events_are_routed_is_not_told_whoever_reads_the_subscriptions_anew(
    database: Watched, time: HeldTime
) -> None:
    gone = await subscribe(database, "runs.>", "chat:a")
    await database.write(
        add_subscriptions,
        Wanted(id="patient", topic="runs.>", destination="chat:b", at=NOW, where={}, options={"after": 2}),
    )

    class Reading(Watched):
        """Asked for earlier failures, it lets somebody unsubscribe, and another task take that in."""

        async def read(self, query: Callable[[Connection], R]) -> R:
            if isinstance(query, partial) and query.func is failures_before:
                await database.write(end_subscriptions, Ended(id=gone, at=NOW))
                await routing.reload()
            return await super().read(query)

    routing = Routing(Reading(database), time.clock)
    await publish(database, replace(event("one", topic="runs.load.failed"), type="run.failed", job="load"))

    assert await routing.step() == (1, [])
    assert await routing.step() == (1, [])
    found = await select(database, "SELECT subscription, status FROM deliveries")
    assert found == [{"subscription": "patient", "status": "suppressed"}]


async def test_of_subscriptions_that_are_read_twice_at_once_the_newest_stay(database: Watched, time: HeldTime) -> None:
    read, go_on = anyio.Event(), anyio.Event()

    class Slow(Watched):
        """What is read first comes last."""

        async def read(self, query: Callable[[Connection], R]) -> R:
            found = await super().read(query)
            if not read.is_set():
                read.set()
                await go_on.wait()
            return found

    await subscribe(database, ">", "chat:a")
    routing = Routing(Slow(database), time.clock)
    async with anyio.create_task_group() as group:
        group.start_soon(routing.reload)
        await read.wait()
        await subscribe(database, ">", "chat:b")
        await routing.reload()
        newest = routing.directory
        go_on.set()

    assert routing.directory is newest
    assert len(newest.subscriptions) == 2


async def test_of_two_who_route_the_same_events_one_does(database: Watched, time: HeldTime) -> None:
    await subscribe(database, ">", "chat:a")
    await publish(database, event("one"), event("two"))
    late = Routing(Interrupted(database, Routing(database, time.clock).step), time.clock)

    assert await late.step() == (2, [])
    assert len(await select(database, "SELECT id FROM deliveries")) == 2


async def test_what_was_sent_before_a_restart_still_counts_against_the_limits(
    database: Watched, time: HeldTime, wait: Patient
) -> None:
    chat = Service(time, lambda target: [Window(target, 2, 60.0)])
    await subscribe(database, ">", "chat:a")
    async with delivering(database, {"chat": chat}, time):
        await publish(database, event("one"), event("two"))
        await wait.until_all_ended()
    async with delivering(database, {"chat": chat}, time):
        await publish(database, event("three"))
        await wait.until_all_ended()

    assert chat.accepted[2].at - chat.accepted[0].at >= 60.0


async def test_a_hold_that_a_service_asked_for_outlives_a_restart(
    database: Watched, time: HeldTime, wait: Patient
) -> None:
    chat = Service(time)

    async def flood(_: Call) -> None:
        if len(chat.calls) == 1:
            raise DeliveryError("slow down", Reason.rate_limited, retry_after=100.0)

    chat.script = flood
    await subscribe(database, ">", "chat:a")
    async with delivering(database, {"chat": chat}, time):
        await publish(database, event("one"))
        await wait.until_rows("SELECT error FROM deliveries", lambda rows: bool(rows and rows[0]["error"]))
    async with delivering(database, {"chat": chat}, time):
        await publish(database, event("two", severity=Severity.critical))
        await wait.until_all_ended()

    assert min(call.at for call in chat.calls[1:]) - chat.calls[0].at >= 100.0
