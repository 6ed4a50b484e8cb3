"""Prefect's flows and tasks on the bus: what its states say, and, in a campaign, a real one."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import sensord.submit
from sensord.hooks.prefect import state_hook
from tests.frameworks import run_project
from tests.submit_kit import Daemon, listening


@pytest.fixture
def daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Daemon]:
    with listening() as server:
        monkeypatch.setenv("SENSORD_URL", server.url)
        monkeypatch.setenv("SENSORD_SPOOL", str(tmp_path / "spool"))
        yield server
        sensord.submit._close()


def told(status: str, *, data: Any = None, message: str | None = None, **more: Any) -> tuple[Any, Any, Any]:
    """As Prefect 3.8 hands it to a hook."""
    run = SimpleNamespace(
        id="r1",
        name="lucky-crow",
        tags=["geo"],
        run_count=1,
        start_time=datetime(2026, 1, 1, tzinfo=UTC),
        **more,
    )
    state = SimpleNamespace(
        id=f"s-{status}",
        type=SimpleNamespace(name=status),
        name=status.title(),
        message=message,
        data=data,
        timestamp=datetime(2026, 1, 1, 0, 0, 2, tzinfo=UTC),
    )
    return SimpleNamespace(name="houses"), run, state


def test_a_flow_that_failed_is_told_of_with_its_cause(daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_UI_URL", "http://prefect.test:4200/")
    error = OSError("no map")
    error.__cause__ = KeyError("map")
    hook = state_hook("bp.prefect.fails")
    hook(*told("FAILED", data=SimpleNamespace(result=error)))
    hook(*told("FAILED", data=SimpleNamespace(result=error)))
    daemon.until(1)
    sensord.submit.flush(20)
    (event,) = daemon.events
    assert event["message"] == "Prefect flow houses (lucky-crow) failed: OSError: no map (from KeyError: 'map')"
    assert (event["type"], event["severity"]) == ("prefect.flow.failed", "error")
    data = event["data"]
    assert (data["flow"], data["duration"], data["tags"]) == ("houses", 2.0, ["geo"])
    assert data["url"] == "http://prefect.test:4200/runs/flow-run/r1"


def test_tasks_and_other_ends_are_told_of_as_what_they_are(daemon: Daemon) -> None:
    hook = state_hook("bp.prefect.all")
    hook(*told("COMPLETED"))
    hook(*told("CRASHED", message="the process was killed"))
    hook(*told("CANCELLED"))
    hook(*told("FAILED", message="no map", task_key="load", flow_run_id="r0"))
    daemon.until(4)
    assert [event["type"] for event in daemon.events] == [
        "prefect.flow.completed",
        "prefect.flow.crashed",
        "prefect.flow.cancelled",
        "prefect.task.failed",
    ]
    assert daemon.messages[1] == "Prefect flow houses (lucky-crow) crashed: the process was killed"
    assert [event["severity"] for event in daemon.events] == ["info", "error", "warning", "error"]


def test_a_state_that_is_none_breaks_nobody(daemon: Daemon, caplog: pytest.LogCaptureFixture) -> None:
    state_hook("bp.prefect.fails")(None, None, None)
    assert "could not be made" in caplog.text
    assert daemon.events == []


@pytest.mark.campaign
def test_a_real_prefects_flows_are_told_of(daemon: Daemon, tmp_path: Path) -> None:
    run_project("prefect", tmp_path, daemon.url)
    kinds = [(event["topic"], event["type"]) for event in daemon.events]
    assert kinds == [
        ("bp.prefect.oks", "prefect.flow.completed"),
        ("bp.prefect.tasks", "prefect.task.failed"),
        ("bp.prefect.fails", "prefect.flow.failed"),
        ("bp.prefect.fails", "prefect.flow.crashed"),
    ]
    assert "OSError: no map (from KeyError: 'map')" in daemon.messages[2]
