"""Who gets a run_key: the policies, against a model, on both databases."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, text

from notifiers.clock import EPOCH, SYSTEM, Clock
from rules.keys import ONCE, POLICIES, Held, KeyRule
from rules.request import RunRequest
from sensord.ledger.database import LedgerDatabase
from sensord.ledger.keys import Expiry, expire_keys
from sensord.ledger.requests import commit_ticks
from sensord.ledger.wishes import NewRun, Tick
from sensord.run_events import Hooks
from sensord.sensing import new_run, open_sensor
from tests.conftest import rows

SECOND = 1_000_000


def test_each_policy_says_who_may_take_a_held_key() -> None:
    def takes(rule: KeyRule, status: str | None, version: str = "v1", now: int = 0) -> bool:
        return rule.takes(Held(status, "v1", 0), version, now)

    for status in ("queued", "running", "succeeded", "failed", "cancelled", "lost", None):
        assert not takes(ONCE, status, "v2", 10**15)
        assert not takes(KeyRule("per_version"), status, "v2")
        assert takes(KeyRule("retry_failed"), status) == (status in ("failed", "cancelled", "lost"))
        assert takes(KeyRule("latest_wins"), status, "v2")
        assert not takes(KeyRule("latest_wins"), status, "v1")
        assert takes(KeyRule("once", ttl=SECOND), status, now=SECOND)
        assert not takes(KeyRule("once", ttl=SECOND), status, now=SECOND - 1)


def test_only_per_version_makes_the_version_part_of_the_key() -> None:
    for policy in POLICIES:
        assert KeyRule(policy).key_of("a.csv", "v2") == ("a.csv@v2" if policy == "per_version" else "a.csv")


@dataclass
class Model:
    """What should be: the keys with their holders, the runs with their statuses."""

    rule: KeyRule
    holders: dict[str, str] = field(default_factory=dict)
    runs: dict[str, dict[str, Any]] = field(default_factory=dict)
    cancelled: set[str] = field(default_factory=set)

    def ask(self, run: str, key: str, version: str, now: int) -> str:
        """The run that has the key afterwards."""
        text_ = f"{key}@{version}" if self.rule.policy == "per_version" else key
        holder = self.holders.get(text_)
        if holder is not None:
            held = self.runs[holder]
            expired = self.rule.ttl is not None and now - held["at"] >= self.rule.ttl
            came_to_nothing = held["status"] in ("failed", "cancelled", "lost")
            newer = held["version"] != version
            policy = self.rule.policy
            if not (expired or (policy == "retry_failed" and came_to_nothing) or (policy == "latest_wins" and newer)):
                return holder
            if policy == "latest_wins" and held["status"] in ("queued", "running"):
                self.cancelled.add(holder)
        self.holders[text_] = run
        self.runs[run] = {"status": "queued", "version": version, "at": now}
        return run


ASK = st.tuples(st.just("ask"), st.sampled_from("ab"), st.sampled_from(["v1", "v2", "v3"]))
END = st.tuples(
    st.just("end"), st.integers(0, 9), st.sampled_from(["running", "succeeded", "failed", "cancelled", "lost"])
)
WAIT = st.tuples(st.just("wait"), st.integers(1, 3), st.just(0))
STEPS = st.lists(st.lists(st.one_of(ASK, ASK, END, WAIT), min_size=1, max_size=5), min_size=1, max_size=8)
NAMES = count()


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches=STEPS, policy=st.sampled_from(POLICIES), ttl=st.sampled_from([None, 2 * SECOND]))
async def test_the_ledger_does_what_the_model_does(
    database: LedgerDatabase, batches: list[list[tuple[Any, ...]]], policy: Any, ttl: int | None
) -> None:
    sensor, rule, now = f"drop{next(NAMES)}", KeyRule(policy, ttl), 0
    await database.write(open_sensor, (sensor, 0))
    model = Model(rule)
    for batch in batches:
        ticks: list[Tick] = []
        expected: list[str] = []
        for what, one, two in batch:
            if what == "ask":
                clock = Clock(now=lambda at=now: EPOCH + timedelta(microseconds=at))  # type: ignore[misc]
                wish = new_run(
                    clock,
                    RunRequest(run_key=one, job_name="load"),
                    Hooks(),
                    sensor=sensor,
                    keys=rule,
                    version=two,
                )
                ticks.append(Tick(sensor=sensor, subject=one, at=now, runs=(wish,)))
                expected.append(model.ask(wish.id, one, two, now))
            elif what == "wait":
                now += one * SECOND
            elif (
                not ticks and len(model.runs) > one
            ):  # Between two batches only, as runs end in transactions of their own.
                run = list(model.runs)[one]
                if model.runs[run]["status"] in ("queued", "running"):
                    model.runs[run]["status"] = two
                    await database.write(set_status, (run, two))
        results = await database.write_many(commit_ticks, ticks)
        assert [held[tick.runs[0].id] for tick, held in zip(ticks, results, strict=True)] == expected
        said = {wish.supersedes for tick in ticks for wish in tick.runs if wish.supersedes}
        assert said <= model.cancelled
        flagged = "SELECT id FROM runs WHERE sensor = :sensor AND cancel_requested"
        assert {row["id"] for row in rows(database, flagged, sensor=sensor)} == model.cancelled
    made = {row["id"] for row in rows(database, "SELECT id FROM runs WHERE sensor = :sensor", sensor=sensor)}
    assert made == set(model.runs)
    keys = rows(database, "SELECT run_key, run FROM run_keys WHERE sensor = :sensor", sensor=sensor)
    assert {row["run_key"]: row["run"] for row in keys} == model.holders


def set_status(conn: Connection, batch: Any) -> list[None]:
    for run, status in batch:
        conn.execute(text("UPDATE runs SET status = :status WHERE id = :run"), {"run": run, "status": status})
    return [None] * len(batch)


def wish(key: str, version: str, rule: KeyRule) -> NewRun:
    request = RunRequest(run_key=key, job_name="load")
    return new_run(SYSTEM, request, Hooks(), sensor="drop", keys=rule, version=version)


async def test_a_batch_that_comes_again_after_a_lost_answer_supersedes_the_same_run(database: LedgerDatabase) -> None:
    await database.write(open_sensor, ("drop", 0))
    rule = KeyRule("latest_wins")
    old, new = wish("a", "v1", rule), wish("a", "v2", rule)
    await database.write(commit_ticks, Tick(sensor="drop", subject="a", at=0, runs=(old,)))
    again = Tick(sensor="drop", subject="a", at=0, runs=(new,))
    for _ in range(2):
        assert await database.write(commit_ticks, again) == {new.id: new.id}
        assert new.supersedes == old.id
    assert len(rows(database, "SELECT id FROM runs")) == 2


async def test_old_keys_expire_slice_by_slice_and_only_those_that_were_meant(
    database: LedgerDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sensord.ledger.keys._SLICE", 7)
    await database.write_many(
        insert_keys,
        [
            {"sensor": sensor, "job": job, "run_key": f"k{number}", "run": "r", "claimed_at": number}
            for sensor in ("a", "b")
            for job in ("x", "y")
            for number in range(20)
        ],
    )
    gone, after, slices = 0, None, 0
    while True:
        expiry = Expiry(before=10, sensor="a", after=after)
        ((count_, after),) = await database.write_many(expire_keys, [expiry])
        gone, slices = gone + count_, slices + 1
        if after is None:
            break
    assert (gone, slices) == (20, 7)
    left = rows(database, "SELECT sensor, count(*) AS n, min(claimed_at) AS oldest FROM run_keys GROUP BY sensor")
    assert {row["sensor"]: (row["n"], row["oldest"]) for row in left} == {"a": (20, 10), "b": (40, 0)}
    ((gone, _),) = await database.write_many(expire_keys, [Expiry(before=10, job="x")])
    assert gone <= 10


def insert_keys(conn: Connection, batch: Any) -> list[None]:
    from notifiers.database import insert_rows
    from sensord.ledger.tables import run_keys

    insert_rows(conn, run_keys, batch)
    return [None] * len(batch)
