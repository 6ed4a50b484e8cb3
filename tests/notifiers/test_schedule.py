"""The schedule against the strict doubles, in virtual time: what `python -m tests.bench scheduler` measures, in small.

And, `pytest -m campaign -k outage`: what a group is told once its provider is there again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from rules.event import Severity
from tests.bench import scheduler
from tests.bench.figures import percentile
from tests.bench.scheduler import BAR, CRITICAL_BAR, behind, daemon, doubles, spread
from tests.bench.scheduler_load import Load, destinations, optimum, windows_of
from tests.bench.virtual_time import VirtualLoop, virtually
from tests.doubles.telegram import Fault
from tests.notifiers.service import select

(GROUP,) = destinations(0, 1, 0)
DOWN_S, AFTER_S, MOST_LATE_S = 600.0, 1800.0, 70.0
FAILURES = 500


def test_a_load_leaves_no_later_than_it_has_to_and_no_call_is_too_early(tmp_path: Path) -> None:
    load = Load.spread(250, private=10, groups=6, rooms=6)
    told = virtually(lambda loop: spread(loop, load, tmp_path))
    for channel, seen in told.items():
        mine = load.only(channel)
        assert seen.refused == 0
        assert seen.missing(mine) == 0
        assert seen.makespan <= BAR * optimum(mine, windows_of(mine)), channel


def test_what_is_critical_does_not_wait_behind_what_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduler, "INFOS", 300)
    monkeypatch.setattr(scheduler, "CRITICALS", 15)
    taken = virtually(lambda loop: behind(loop, destinations(15, 0, 0), tmp_path, digested=()))
    assert percentile(taken, 99) <= CRITICAL_BAR


@dataclass(kw_only=True)
class Outage(Fault):
    """The provider is down for `seconds` from `begins` on, whoever calls."""

    now: Callable[[], float]
    begins: float

    def strikes(self, chat: str, chance: Callable[[], float]) -> bool:  # noqa: ARG002 - it is down for all
        return self.begins <= self.now() < self.begins + self.seconds


@dataclass
class After:
    """What a group was told once the provider was there again: seconds since then, and how its deliveries ended."""

    came: list[float]
    refused: int
    ended: dict[str, int]


async def outage(loop: VirtualLoop, folder: Path, kind: str, apart: float) -> After:
    """The failures come while the provider is down, in ten lots, so many seconds apart."""
    async with doubles(loop, 0) as services, daemon(loop, services, folder, [GROUP], ("telegram",)) as ours:
        double, back = services.telegram, loop.time() + DOWN_S
        down = Outage(kind=kind, everywhere=True, seconds=DOWN_S, now=loop.time, begins=loop.time())  # type: ignore[arg-type]
        double.faults.insert(0, down)
        for start in range(0, FAILURES, 50):
            messages = [(GROUP, f"message {number}.") for number in range(start, start + 50)]
            await ours.publish(messages, Severity.error)
            await ours.clock.sleep(apart)
        await ours.clock.sleep(back + AFTER_S - loop.time())
        rows = await select(ours.database, "SELECT status, count(*) AS n FROM deliveries GROUP BY status")
        came = [call.at - back for call in double.committed]
        return After(
            came, sum(call.status == 429 for call in double.requests), {row["status"]: row["n"] for row in rows}
        )


@pytest.mark.campaign
@pytest.mark.parametrize("apart", [1.0, 50.0])
@pytest.mark.parametrize("kind", ["500", "502"])
def test_after_an_outage_a_group_is_told_in_few_messages(tmp_path: Path, kind: str, apart: float) -> None:
    after = virtually(lambda loop: outage(loop, tmp_path, kind, apart))
    print(kind, apart, after)
    assert after.refused == 0
    assert len(after.came) <= 20
    assert after.came[0] <= MOST_LATE_S
    # Of the first message nobody knew that the gateway answered for nobody: it is sent again, and says so.
    assert after.ended.get("uncertain", 0) == (kind == "502")
    assert set(after.ended) <= {"delivered", "uncertain"}
