"""A backfill that is asked for: checked, its partitions chosen, and written down whole before it begins."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
from anyio import to_thread
from msgspec import Struct

from notifiers.clock import Clock, to_us
from sensord.ledger.backfills import NewBackfill, NewPartition, add_partitions, open_backfills, prepare_backfills
from sensord.ledger.database import LedgerDatabase
from sensord.ledger.partitions import states
from sensord.ledger.requests import dump
from sensord.slicing import Sliced, Unsliceable

if TYPE_CHECKING:
    from rules.backfill import Only, Order, Slice

CONCURRENCY = 4
"""So many runs of a backfill are open at a time where nobody says how many, or fewer where its job allows fewer."""

_CHUNK = 1_000  # Partitions that are written in one transaction: it holds up nobody for long.


class Asked(Struct, frozen=True, kw_only=True):
    """What somebody wants. Without `first` from the start of the partitions, without `last` up to now."""

    job: str
    first: str | None = None
    last: str | None = None
    only: Only = "all"
    order: Order = "oldest"
    concurrency: int | None = None
    run_config: Mapping[str, Any]


class Plan(Struct, frozen=True, kw_only=True):
    """What will be run: these partitions in this order, `concurrency` at a time; `covered` is how many there were."""

    asked: Asked
    covered: int
    concurrency: int
    slices: Sequence[Slice]


class Backfills:
    """Takes backfills. Two of one job may run at the same time.

    One that is for what is missing or failed leaves out what is under way, also what another has yet to come to.
    """

    def __init__(
        self,
        jobs: Mapping[str, Sliced],
        *,
        database: LedgerDatabase,
        clock: Clock,
        added: Callable[[str], Awaitable[None]],
    ) -> None:
        self.jobs = jobs
        self._database = database
        self._clock = clock
        self._added = added
        self._lock = anyio.Lock()

    async def create(self, asked: Asked) -> tuple[Plan, str | None]:
        """What will be run, and the id of the backfill, durable and begun; None where there is nothing to run.

        What `plan` raises.
        """
        async with self._lock:  # Of two that are for what is missing, the second sees what the first has taken.
            plan = await self.plan(asked)
            if not plan.slices:
                return plan, None
            backfill = self._clock.new_id()
            await self._database.write(prepare_backfills, self._row(plan, backfill))
            for start in range(0, len(plan.slices), _CHUNK):
                chunk = enumerate(plan.slices[start : start + _CHUNK], start)
                await self._database.write_many(add_partitions, [_partition(backfill, *one) for one in chunk])
            with anyio.CancelScope(shield=True):  # Once it is open it is worked on, whoever asked for it.
                await self._database.write(open_backfills, backfill)
                await self._added(backfill)
        return plan, backfill

    async def plan(self, asked: Asked) -> Plan:
        """What would be run. PartitionError for a key that is none and the like; Unsliceable without partitions.

        Unsliceable also where the first partition's run would be refused for its run_config.
        """
        sliced = self.jobs[asked.job]
        found = await self._database.read(partial(states, job=asked.job)) if asked.only != "all" else {}
        known = {key: state for key, (state, _) in found.items()}
        covered, slices = await to_thread.run_sync(self._chosen, sliced, asked, known)
        first = sliced.request(slices[0], asked.run_config, "").run_config if slices else None
        if slices and (refused := await sliced.check_config(first)):
            raise Unsliceable(f"run_config: {refused}")
        concurrency = asked.concurrency or min(CONCURRENCY, sliced.concurrency or CONCURRENCY)
        return Plan(asked=asked, covered=covered, concurrency=concurrency, slices=slices)

    def _chosen(self, sliced: Sliced, asked: Asked, known: Mapping[str, str]) -> tuple[int, list[Slice]]:
        from rules.backfill import covered, selected

        all_ = covered(sliced.partitions(), first=asked.first, last=asked.last, now=self._clock.now())
        return len(all_), selected(all_, known, only=asked.only, order=asked.order)

    def _row(self, plan: Plan, backfill: str) -> NewBackfill:
        ends = (plan.slices[0].key, plan.slices[-1].key)
        first, last = ends if plan.asked.order == "oldest" else ends[::-1]
        return NewBackfill(
            id=backfill,
            job=plan.asked.job,
            first=first,
            last=last,
            only=plan.asked.only,
            order=plan.asked.order,
            concurrency=plan.concurrency,
            run_config=dump(plan.asked.run_config),
            total=len(plan.slices),
            created_at=to_us(self._clock.now()),
        )


def _partition(backfill: str, position: int, one: Slice) -> NewPartition:
    return NewPartition(
        backfill=backfill,
        position=position,
        key=one.key,
        starts_at=None if one.start is None else to_us(one.start),
        ends_at=None if one.end is None else to_us(one.end),
    )
