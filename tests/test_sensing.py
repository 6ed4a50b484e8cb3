from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint

from notifiers.clock import SYSTEM
from rules.request import Sensed
from rules.triggers import compile_rule
from sensord.ledger.database import LedgerDatabase
from sensord.ledger.wishes import NewRun
from sensord.run_events import Hooks
from sensord.sensing import Sensing
from tests.conftest import rows


class Taken:
    """Whoever runs what was claimed."""

    def __init__(self) -> None:
        self.runs: list[NewRun] = []

    def __call__(self, wishes: Sequence[NewRun]) -> None:
        self.runs += wishes


def sensing(database: LedgerDatabase, taken: Taken, **rule: Any) -> Sensing:
    compiled = compile_rule(**{"jobs": ("load",), **rule})
    hooks = {"load": Hooks(), "check": Hooks()}
    return Sensing(
        "drop", compiled, database=database, hooks=hooks, clock=SYSTEM, claimed=taken, published=lambda: None
    )


def thing(name: str, size: int = 5, mark: int | None = None) -> Sensed:
    context = {"file": {"name": name, "path": f"/in/{name}", "size": size}}
    return Sensed(subject=f"/in/{name}", key=f"{name}@{size}", at=SYSTEM.now(), context=context, mark=mark)


@pytest.fixture
def taken() -> Taken:
    return Taken()


async def test_what_is_sensed_is_claimed_remembered_and_handed_on(database: LedgerDatabase, taken: Taken) -> None:
    emit = sensing(database, taken, run_config={"path": "{{ file.path }}"})
    assert await emit.open() is None
    await emit([thing("a.csv", mark=1), thing("b.csv", mark=2)], cursor="here")
    assert [run.run_config for run in taken.runs] == ['{"path":"/in/a.csv"}', '{"path":"/in/b.csv"}']
    assert await emit.marks() == {1, 2}
    assert await sensing(database, taken).open() == "here"


async def test_the_same_thing_again_is_recorded_as_a_duplicate_and_not_handed_on(
    database: LedgerDatabase, taken: Taken
) -> None:
    emit = sensing(database, taken, run_key="{{ file.name }}")
    await emit.open()
    await emit([thing("a.csv", 5), thing("a.csv", 6)])
    await emit([thing("a.csv", 7)])
    assert len(taken.runs) == 1
    outcomes = [row["outcome"] for row in rows(database, "SELECT outcome FROM ticks ORDER BY seq")]
    assert outcomes == ["requested", "duplicate", "duplicate"]


async def test_a_skip_is_recorded_with_its_reason_and_is_not_sensed_again(
    database: LedgerDatabase, taken: Taken
) -> None:
    emit = sensing(database, taken, when="file.size > 10")
    await emit.open()
    await emit([thing("a.csv", 5, mark=9)])
    assert taken.runs == []
    (tick,) = rows(database, "SELECT outcome, reason FROM ticks")
    assert tick == {"outcome": "skipped", "reason": "when: file.size > 10 is false"}
    assert await emit.marks() == {9}


async def test_one_sensor_feeds_several_jobs(database: LedgerDatabase, taken: Taken) -> None:
    emit = sensing(database, taken, jobs=("load", "check"))
    await emit.open()
    await emit([thing("a.csv")])
    assert [run.job for run in taken.runs] == ["load", "check"]


async def test_a_files_name_is_never_a_template(database: LedgerDatabase, taken: Taken) -> None:
    name = "{{ file.size }}{{ ''.__class__ }}.csv"
    emit = sensing(database, taken, run_key="{{ file.name }}", run_config={"path": "{{ file.path }}"})
    await emit.open()
    await emit([thing(name)])
    assert taken.runs[0].run_key == name


async def test_a_rule_that_fails_is_told_once_and_its_file_is_sensed_again_later(
    database: LedgerDatabase, taken: Taken
) -> None:
    broken = sensing(database, taken, run_key="{{ file.nonsense }}")
    await broken.open()
    await broken([thing("a.csv", mark=1)])
    await broken([thing("b.csv", mark=2)])
    assert [row["type"] for row in rows(database, "SELECT type FROM events")] == ["sensor.failed"]
    assert await broken.marks() == set()
    mended = sensing(database, taken, run_key="{{ file.name }}")
    await mended.open()
    await mended([thing("a.csv", mark=1)])
    assert [run.run_key for run in taken.runs] == ["a.csv"]


async def test_failing_is_told_once_until_it_recovers_also_across_a_restart(
    database: LedgerDatabase, taken: Taken
) -> None:
    emit = sensing(database, taken)
    await emit.open()
    await emit.failed("the folder is gone")
    await emit.failed("the folder is gone")
    again = sensing(database, taken)
    await again.open()
    await again.failed("the folder is still gone")
    await again.recovered()
    await again.recovered()
    found = rows(database, "SELECT topic, message FROM events ORDER BY seq")
    assert [row["topic"] for row in found] == ["sensors.drop.failed", "sensors.drop.recovered"]
    assert rows(database, "SELECT state, reason FROM sensors") == [{"state": "active", "reason": None}]


async def test_marks_are_forgotten_in_any_number(database: LedgerDatabase, taken: Taken) -> None:
    emit = sensing(database, taken)
    await emit.open()
    await emit([thing(f"{number}.csv", mark=number) for number in range(1200)])
    await emit.forget(range(1100))
    assert await emit.marks() == set(range(1100, 1200))


async def test_what_is_committed_is_handed_on_also_where_the_source_was_cancelled_meanwhile(
    database: LedgerDatabase, taken: Taken
) -> None:
    emit = sensing(database, taken)
    await emit.open()
    async with anyio.create_task_group() as group:
        group.start_soon(emit, [thing("a.csv", mark=1)])
        await checkpoint()
        group.cancel_scope.cancel()
    assert taken.runs == []
    await database.write(lambda _conn, items: items, None)  # What was handed over before is committed before.
    assert [run.subject for run in taken.runs] == ["/in/a.csv"]
    assert len(rows(database, "SELECT id FROM runs")) == 1


async def test_a_cursor_that_moves_alone_does_not_say_that_the_rule_works_again(
    database: LedgerDatabase, taken: Taken
) -> None:
    emit = sensing(database, taken, when="file.nonsense.there")
    await emit.open()
    await emit([thing("a.csv", mark=1)])
    await emit([], cursor="further")
    assert [row["type"] for row in rows(database, "SELECT type FROM events")] == ["sensor.failed"]
