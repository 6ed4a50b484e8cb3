from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sensord.queueing import RunQueue


def test_higher_priority_goes_first_then_the_order_of_requests() -> None:
    queue = RunQueue(10, {})
    for run, priority in [("a", 0), ("b", 5), ("c", 0), ("d", 5)]:
        queue.put(run, "load", priority)
    assert [queue.next() for _ in range(5)] == ["b", "d", "a", "c", None]


def test_a_full_job_does_not_hold_up_another() -> None:
    queue = RunQueue(3, {"slow": 1})
    for run, job in [("a", "slow"), ("b", "slow"), ("c", "quick")]:
        queue.put(run, job, 0)
    assert [queue.next() for _ in range(3)] == ["a", "c", None]
    queue.release("slow")
    assert queue.next() == "b"


def test_a_dropped_run_is_not_started() -> None:
    queue = RunQueue(1, {})
    queue.put("a", "load", 0)
    queue.put("b", "load", 0)
    queue.drop("a")
    assert queue.next() == "b"
    assert queue.waiting == 0


@given(st.lists(st.tuples(st.sampled_from("xyz"), st.integers(0, 3))), st.integers(1, 5), st.randoms())
def test_limits_hold_nothing_starves_and_each_runs_once(
    wishes: list[tuple[str, int]], total: int, random: object
) -> None:
    limits = {"x": 1, "y": 2, "z": None}
    queue = RunQueue(total, limits)
    jobs = {f"{number:04}": job for number, (job, _) in enumerate(wishes)}
    for number, (job, priority) in enumerate(wishes):
        queue.put(f"{number:04}", job, priority)
    busy: list[str] = []
    done: list[str] = []
    while len(done) < len(wishes):
        while (run := queue.next()) is not None:
            busy.append(run)
            count = sum(jobs[one] == jobs[run] for one in busy)
            assert len(busy) <= total
            assert count <= (limits[jobs[run]] or total)
        assert busy, "something waits although nothing runs"
        ended = busy.pop(random.randrange(len(busy)))  # type: ignore[attr-defined]
        queue.release(jobs[ended])
        done.append(ended)
    assert sorted(done) == sorted(jobs)
