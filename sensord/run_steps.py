"""What an attempt came to, as the ledger takes it: the step of its row, with the events that say so."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from notifiers.clock import Clock, to_us
from rules.event import Event, rfc3339
from rules.quality import apart
from sensord.launchers import Outcome
from sensord.ledger.outcomes import Step
from sensord.ledger.requests import dump
from sensord.run_events import Hooks, quality_event, run_event
from sensord.work import Work


class Steps:
    """Makes the steps of runs. `hooks` are those of each job by its name."""

    def __init__(self, clock: Clock, hooks: Mapping[str, Hooks]) -> None:
        self._clock = clock
        self._all_hooks = hooks

    def started(self, work: Work, at: datetime) -> Step:
        """The attempt's process exists since then."""
        event = self._event(work, "started", started_at=rfc3339(at))
        return Step(run=work.run.id, attempt=work.run.attempt, status="running", started_at=to_us(at), events=(event,))

    def ended(self, work: Work, outcome: Outcome) -> Step:
        """The run is over: what its checks found, then how it ended."""
        started = outcome.started_at or work.started_at
        data: dict[str, Any] = {"metadata": dict(outcome.metadata), "ended_at": rfc3339(outcome.ended_at)}
        if started is not None:
            data |= {"started_at": rfc3339(started), "duration_s": (outcome.ended_at - started).total_seconds()}
        if outcome.error:
            data["error"] = outcome.error
        if outcome.blocked_by:
            data["blocked_by"] = outcome.blocked_by
        words = f"{work.run.job} {outcome.status}" + (f": {outcome.error}" if outcome.error else "")
        event = self._event(work, outcome.status, words, **data)
        return Step(
            run=work.run.id,
            attempt=work.run.attempt,
            status=outcome.status,
            started_at=None if started is None else to_us(started),
            ended_at=to_us(outcome.ended_at),
            error=outcome.error or None,
            metadata=dump(outcome.metadata),
            events=(*self._quality(work, outcome), event),
        )

    def retrying(self, work: Work, outcome: Outcome, due: datetime, attempts: int) -> Step:
        """The attempt failed, and the next of at most so many is due then."""
        event = self._event(
            work,
            "retrying",
            f"{work.run.job}: attempt {work.run.attempt} of {attempts} failed: {outcome.error}",
            error=outcome.error,
            attempts=attempts,
            next_attempt_at=rfc3339(due),
        )
        return Step(
            run=work.run.id,
            attempt=work.run.attempt,
            status="queued",
            next_attempt_at=to_us(due),
            error=outcome.error,
            metadata=dump(outcome.metadata),
            events=(*self._quality(work, outcome), event),
        )

    def _quality(self, work: Work, outcome: Outcome) -> list[Event]:
        hooks = self._hooks(work.run.job)
        return [quality_event(self._clock, work.about, result, hooks=hooks) for result in apart(outcome.quality)]

    def _event(self, work: Work, what: str, message: str = "", **data: Any) -> Event:
        hooks = self._hooks(work.run.job)
        return run_event(self._clock, work.about, what, hooks=hooks, attempt=work.run.attempt, message=message, **data)

    def _hooks(self, job: str) -> Hooks:
        return self._all_hooks.get(job) or Hooks()
