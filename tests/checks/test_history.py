"""How a check's results stand beside the earlier ones: in its events, its messages, and its row."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from notifiers.bus.embedded import EmbeddedBus
from notifiers.check_history import accept, accepted_by, check_id
from notifiers.clock import SYSTEM, to_us
from notifiers.retention import Chunk, prune_checks
from notifiers.wording import to_message
from rules.event import Event, Severity
from rules.noise import in_a_row
from rules.trend import TREND
from sensord.ledger.database import LedgerDatabase, open_database
from tests.conftest import rows


def result(passed: bool, *, check: str = "nulls", job: str = "load", **fields: Any) -> Event:
    what = "passed" if passed else "failed"
    data = {"check": check, "severity": "error", **fields.pop("data", {})}
    told = {
        "id": SYSTEM.new_id(),
        "type": f"quality.{what}",
        "topic": f"quality.{job}.{what}",
        "time": SYSTEM.now(),
        "severity": Severity.info if passed else Severity.error,
        "message": f"{job}: check {check} {what}",
        "job": job,
        "also": None if passed else "bp.quality",
    }
    return Event(**{**told, "data": data, **fields})


def said(database: LedgerDatabase) -> list[tuple[str, str | None, dict[str, Any]]]:
    found = rows(database, "SELECT message, also, data FROM events ORDER BY seq")
    return [(row["message"], row["also"], orjson.loads(row["data"])) for row in found]


async def test_failed_again_and_recovered_are_told_apart(database: LedgerDatabase) -> None:
    bus = EmbeddedBus(database)
    for passed, failed in ((True, 0), (False, 3), (False, 12), (True, 0), (True, 0), (False, 1)):
        await bus.publish([result(passed, data={"metrics": {"failed": failed, "rows": 12}})])
    told = said(database)
    assert [(message, also) for message, also, _ in told] == [
        ("load: check nulls passed", None),
        ("load: check nulls failed", "bp.quality"),
        ("load: check nulls failed again, the 2nd time in a row", "bp.quality"),
        ("load: check nulls recovered after 2 failures", "bp.quality"),
        ("load: check nulls passed", None),
        ("load: check nulls failed", "bp.quality"),
    ]
    assert [(data.get("in_a_row"), data.get("recovered_after")) for *_, data in told] == [
        (None, None),
        (1, None),
        (2, None),
        (None, 2),
        (None, None),
        (1, None),
    ]
    assert told[-1][2]["trend"] == [0, 3, 12, 0, 0, 1]
    (row,) = rows(database, "SELECT * FROM checks")
    assert (row["id"], bool(row["passed"]), row["in_a_row"], row["failed"], row["rows"]) == (
        check_id("load", "nulls", ""),
        False,
        1,
        1,
        12,
    )


async def test_a_result_that_comes_again_is_counted_once_wherever_it_stands_in_a_batch(
    database: LedgerDatabase,
) -> None:
    bus, one, two = EmbeddedBus(database), result(passed=False), result(passed=False)
    assert await bus.publish([one, two, one]) == [True, True, False]
    assert await bus.publish([two, one]) == [False, False]
    (row,) = rows(database, "SELECT in_a_row, trend FROM checks")
    assert (row["in_a_row"], row["trend"]) == (2, "[1,1]")


async def test_checks_are_told_apart_by_job_name_and_series_and_what_names_none_has_no_history(
    database: LedgerDatabase,
) -> None:
    alone = [
        result(False, topic="bp.houses.quality"),
        result(False, topic="quality.load.other"),
        result(False, data={"check": ""}),
        result(False, data={"check": 7}),
        result(False, data={"series": ["x"]}),
        result(False, data={"check": "x" * 501}),
    ]
    apart = [
        result(False),
        result(False, job="other"),
        result(False, check="rows"),
        result(False, data={"series": "houses"}),
    ]
    await EmbeddedBus(database).publish([*alone, *apart])
    assert len(rows(database, "SELECT id FROM checks WHERE in_a_row = 1")) == 4
    assert [data.get("in_a_row") for *_, data in said(database)] == [None] * 6 + [1] * 4


async def test_what_a_check_found_is_kept_out_of_the_event_and_compared_with_once_it_was_let_through(
    database: LedgerDatabase,
) -> None:
    bus = EmbeddedBus(database)

    async def accepted() -> Any:
        return (await database.read(lambda conn: accepted_by(conn, "load", "", ["nulls", "gone"]))).get("nulls")

    await bus.publish([result(True, data={"found": {"a": ""}})])
    await bus.publish([result(False, data={"found": {"b": ""}})])
    assert await accepted() == {"a": ""}
    await bus.publish([result(False, data={"found": {"c": ""}, "severity": "warn"})])
    assert await accepted() == {"c": ""}
    await bus.publish([result(True, source="elsewhere", data={"found": {"z": ""}})])
    assert await accepted() == {"c": ""}
    await bus.publish([result(False, data={"found": {"d": ""}})])
    assert await database.write(accept, check_id("load", "nulls", "")) is True
    assert await accepted() == {"d": ""}
    assert await database.write(accept, check_id("load", "gone", "")) is False
    assert not any("found" in data for *_, data in said(database))


async def test_contents_are_remembered_a_hundred_of_them(database: LedgerDatabase) -> None:
    bus = EmbeddedBus(database)
    await bus.publish([result(True, data={"found": [[f"d{number}", f"f{number}"]]}) for number in range(105)])
    found = await database.read(lambda conn: accepted_by(conn, "load", "", ["nulls"]))
    assert len(found["nulls"]) == 100
    assert found["nulls"][0] == ["d104", "f104"]


async def test_a_check_without_results_for_long_is_forgotten(database: LedgerDatabase) -> None:
    await EmbeddedBus(database).publish([result(True)])
    assert await database.write(prune_checks, Chunk(to_us(SYSTEM.now()) - 60_000_000)) == 0
    assert await database.write(prune_checks, Chunk(to_us(SYSTEM.now()) + 60_000_000)) == 1
    assert rows(database, "SELECT id FROM checks") == []


@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.sampled_from(["a", "b"]), st.booleans(), st.integers(0, 9)), max_size=12), st.integers(1, 4)
)
async def test_rows_are_what_the_results_come_to_however_they_are_batched(
    tmp_path_factory: pytest.TempPathFactory, results: list[tuple[str, bool, int]], size: int
) -> None:
    async with open_database(f"sqlite:///{tmp_path_factory.mktemp('h')}/x.db") as database:
        told = [result(not bad, check=name, data={"metrics": {"failed": n}}) for name, bad, n in results]
        for start in range(0, len(told), size):
            await EmbeddedBus(database).publish(told[start : start + size])
        for row in rows(database, "SELECT * FROM checks"):
            ours = [(bad, n) for name, bad, n in results if name == row["name"]]
            assert bool(row["passed"]) != ours[-1][0]
            assert orjson.loads(row["trend"]) == [n for _, n in ours][-TREND:]
            newest = [bad == ours[-1][0] for bad, _ in reversed(ours)]
            assert row["in_a_row"] == in_a_row(newest, len(ours))


def test_the_message_says_which_rows_of_how_many_how_often_and_the_trend() -> None:
    data = {
        "check": "nulls(name)",
        "passed": False,
        "detail": "3 of 12 rows have no name",
        "metrics": {"failed": 3, "rows": 12, "share": 0.25},
        "sample": [{"row": 3, "name": None}],
        "in_a_row": 3,
        "trend": [0, 1, 2, 3],
    }
    message = to_message(result(False, data=data))
    assert message.title == "load: check nulls(name) failed again (3 times in a row)"
    assert message.facts == [
        ("rows that failed", "3 / 12 (25%)"),
        ("share", "0.25"),
        ("trend", "▁▄▆█ (≤ 3)"),
    ]
    recovered = to_message(result(True, data={"check": "nulls", "recovered_after": 3, "trend": [3, 0]}))
    assert recovered.title == "load: check nulls recovered after 3 failures"
    assert recovered.facts == [("trend", "█▁ (≤ 3)")]


@settings(max_examples=40)
@given(
    st.dictionaries(
        st.sampled_from(["in_a_row", "recovered_after", "trend", "metrics", "check"]),
        st.none()
        | st.booleans()
        | st.integers()
        | st.text()
        | st.lists(st.integers() | st.text(), max_size=4)
        | st.dictionaries(st.sampled_from(["failed", "rows"]), st.integers() | st.floats() | st.text(), max_size=2),
        max_size=5,
    )
)
def test_whatever_a_result_says_has_a_message(data: dict[str, Any]) -> None:
    for passed in (True, False):
        event = result(passed)
        message = to_message(Event(**{**{n: getattr(event, n) for n in event.__struct_fields__}, "data": data}))
        assert message.title.startswith("load: check")
        assert all(isinstance(part, str) for fact in message.facts for part in fact)
