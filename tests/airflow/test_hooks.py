"""Airflow's tasks on the bus: what its contexts say, and, in a campaign, a real one."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import sensord.submit
from sensord.hooks.airflow_events import failure_callback, publish, success_callback
from tests.frameworks import run_project
from tests.submit_kit import Daemon, listening


@pytest.fixture
def daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Daemon]:
    with listening() as server:
        monkeypatch.setenv("SENSORD_URL", server.url)
        monkeypatch.setenv("SENSORD_SPOOL", str(tmp_path / "spool"))
        yield server
        sensord.submit._close()


def raised() -> BaseException:
    error = OSError("no map")
    error.__cause__ = KeyError("map")
    return error


def context(**more: Any) -> dict[str, Any]:
    """As Airflow 3.3 hands it to a task's callback."""
    instance = SimpleNamespace(
        id="019a-1",
        dag_id="houses",
        task_id="load",
        run_id="manual",
        state=SimpleNamespace(value="failed"),
        try_number=2,
        map_index=-1,
        start_date=datetime(2026, 1, 1, tzinfo=UTC),
        end_date=datetime(2026, 1, 1, 0, 0, 3, tzinfo=UTC),
        log_url="http://airflow.test/load",
    )
    return {"ti": instance, "dag": SimpleNamespace(tags={"geo"}), "run_id": "manual", "exception": raised(), **more}


def test_a_task_that_failed_is_told_of_with_its_cause(daemon: Daemon) -> None:
    failure_callback("bp.airflow.fails")(context())
    (event,) = daemon.events
    assert event["message"] == "Airflow task houses.load failed: OSError: no map (from KeyError: 'map')"
    assert (event["type"], event["severity"], event["topic"]) == ("airflow.task.failed", "error", "bp.airflow.fails")
    data = event["data"]
    assert (data["dag"], data["task"], data["run_id"], data["attempt"]) == ("houses", "load", "manual", 2)
    assert (data["duration"], data["tags"], data["url"]) == (3.0, ["geo"], "http://airflow.test/load")
    assert data["cause"] == {"class": "KeyError", "message": "'map'"}


def test_an_attempt_is_one_event_and_the_next_another(daemon: Daemon) -> None:
    again = context()
    again["ti"].id = "019a-2"
    for one in (context(), context(), again):
        failure_callback("bp.airflow.fails")(one)
    assert len(daemon.events) == 2


def test_a_dag_is_told_of_with_airflows_reason(daemon: Daemon) -> None:
    dag = SimpleNamespace(dag_id="houses", tags=())
    failure_callback("bp.dags.fails")({"dag": dag, "run_id": "manual", "reason": "task_failure"})
    success_callback("bp.dags.oks")({"dag": dag, "run_id": "manual", "reason": "success"})
    assert daemon.messages == ["Airflow DAG houses failed: task_failure", "Airflow DAG houses succeeded"]


def test_a_context_that_is_none_breaks_nobody(daemon: Daemon) -> None:
    class Away:
        @property
        def dag_id(self) -> str:
            raise ConnectionError("the server is away")

    failure_callback("bp.airflow.fails")({})
    publish("bp.airflow.fails", {"ti": Away(), "exception": 3}, message="word")
    publish("bp.airflow.fails", 3)  # type: ignore[arg-type]
    assert daemon.messages == ["Airflow DAG None failed", "word"]


@pytest.mark.campaign
def test_a_real_airflows_tasks_and_deadlines_are_told_of(daemon: Daemon, tmp_path: Path) -> None:
    run_project("airflow", tmp_path, daemon.url)
    run_project("airflow", tmp_path, daemon.url, "late")
    said = {event["topic"]: event["message"] for event in daemon.events}
    assert said == {
        "bp.airflow.oks": "Airflow task houses.build succeeded",
        "bp.airflow.fails": "Airflow task houses.load failed: OSError: no map (from KeyError: 'map')",
        "bp.airflow.notified": "paint of houses",
        "bp.airflow.late": "houses is late",
    }
