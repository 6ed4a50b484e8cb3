"""`/metrics`: how the daemon does, for Prometheus. A scrape reads what is new since the last one, never the history."""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from aiohttp import web
from msgspec import Struct, field
from sqlalchemy import Connection, func, select

from notifiers.clock import to_us
from notifiers.tables import deliveries, destinations, events
from sensord.app import App
from sensord.ledger.queries import count_open
from sensord.ledger.tables import TERMINAL, ticks
from sensord.run_events import SEVERITY

if TYPE_CHECKING:  # Loaded by the first scrape: a twentieth of the daemon's whole start.
    from prometheus_client import CollectorRegistry
    from prometheus_client.core import Metric

_RUN_TYPES = {f"run.{what}": what for what in SEVERITY}


class _Seen(Struct):
    """What was counted so far, and up to where in each of the two logs."""

    event: int = 0
    tick: int = 0
    runs: Counter[tuple[str, str]] = field(default_factory=Counter)
    events: Counter[str] = field(default_factory=Counter)
    ticks: Counter[tuple[str, str]] = field(default_factory=Counter)


class _Now(Struct, frozen=True):
    open_runs: Mapping[tuple[str, str], int]
    deliveries: Mapping[tuple[str, str], int]
    oldest_pending: int | None
    paused: int


class Metrics:
    """`GET /metrics`. Counters begin with the daemon's life. It is a Collector of prometheus_client."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._seen = _Seen()
        self._now = _Now({}, {}, None, 0)
        self._registry: CollectorRegistry | None = None

    async def begin(self) -> None:
        """Count from here on."""
        self._seen.event, self._seen.tick = await self._app.database.read(_ends)

    async def __call__(self, _request: web.Request) -> web.Response:
        """Read what changed, and write everything out."""
        from prometheus_client import generate_latest
        from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

        self._registry = self._registry or self._registered()
        self._now = await self._app.database.read(self._read)
        return web.Response(body=generate_latest(self._registry), headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})

    def _registered(self) -> CollectorRegistry:
        from prometheus_client import CollectorRegistry, ProcessCollector

        registry = CollectorRegistry()
        registry.register(self)
        ProcessCollector(registry=registry)
        return registry

    def _read(self, conn: Connection) -> _Now:
        seen = self._seen
        last_event, last_tick = _ends(conn)
        here = (events.c.seq > seen.event) & (events.c.seq <= last_event)
        query = select(events.c.type, events.c.job, events.c.source, func.count()).where(here)
        for type_, job, source, number in conn.execute(query.group_by(events.c.type, events.c.job, events.c.source)):
            ours = source == "sensord"
            seen.events[type_ if ours else "other"] += number
            if ours and type_ in _RUN_TYPES:
                seen.runs[job, _RUN_TYPES[type_]] += number
        here = (ticks.c.seq > seen.tick) & (ticks.c.seq <= last_tick)
        by_outcome = select(ticks.c.sensor, ticks.c.outcome, func.count()).where(here)
        for sensor, outcome, number in conn.execute(by_outcome.group_by(ticks.c.sensor, ticks.c.outcome)):
            seen.ticks[sensor, outcome] += number
        seen.event, seen.tick = last_event, last_tick
        return _Now(count_open(conn), _deliveries(conn), _oldest_pending(conn), _paused(conn))

    def describe(self) -> Iterable[Metric]:
        """Nothing: registering must not look at the database."""
        return []

    def collect(self) -> Iterable[Metric]:
        """Every figure."""
        yield _gauge("sensord_build_info", "The program", ("version", "python"), {_build(): 1})
        yield from self._runs()
        yield from self._sensors()
        yield from self._telling()
        yield from self._database()

    def _runs(self) -> Iterable[Metric]:
        jobs = self._app.config.jobs
        open_ = {(job, status): self._now.open_runs.get((job, status), 0) for job in jobs for status in _OPEN}
        yield _gauge("sensord_runs", "Runs that have not ended", ("job", "status"), open_ | dict(self._now.open_runs))
        steps = {(job, status): 0 for job in jobs for status in ("queued", *TERMINAL)} | dict(self._seen.runs)
        yield _counter("sensord_run_steps", "Runs that came to this status", ("job", "status"), steps)
        queue = self._app.running.queue
        yield _gauge("sensord_queue_length", "Runs that wait for a slot", (), {(): queue.waiting})
        yield _gauge("sensord_attempts_running", "Attempts that run now", (), {(): queue.running})

    def _sensors(self) -> Iterable[Metric]:
        yield _counter(
            "sensord_ticks", "Sensed things by what was made of them", ("sensor", "outcome"), self._seen.ticks
        )
        now, sensings = self._app.clock.monotonic(), self._app.sensings
        ages = {(name,): now - one.looked_at for name, one in sensings.items()}
        yield _gauge("sensord_sensor_look_age_seconds", "Time since the last look, or the start", ("sensor",), ages)
        looks = {(name,): one.looks for name, one in sensings.items()}
        yield _counter("sensord_sensor_looks", "Evaluations that ended", ("sensor",), looks)
        lags = {(name,): one.lag for name, one in sensings.items()}
        text = (
            "Age of the oldest thing that waits to be decided; of a sensor that cannot look, time since its last look"
        )
        yield _gauge("sensord_sensor_lag_seconds", text, ("sensor",), lags)
        failing = {(name,): one.failing is not None for name, one in sensings.items()}
        yield _gauge("sensord_sensor_failing", "1 while the sensor cannot look", ("sensor",), failing)

    def _telling(self) -> Iterable[Metric]:
        yield _counter("sensord_events", "Events published", ("type",), {(k,): n for k, n in self._seen.events.items()})
        by_status = self._now.deliveries
        yield _gauge("sensord_deliveries", "Deliveries kept, by status", ("channel", "status"), by_status)
        oldest, now = self._now.oldest_pending, to_us(self._app.clock.now())
        age = 0.0 if oldest is None else max(0, now - oldest) / 1e6
        yield _gauge("sensord_delivery_oldest_pending_seconds", "Age of the oldest undelivered", (), {(): age})
        yield _gauge("sensord_destinations_paused", "Destinations that get nothing", (), {(): self._now.paused})

    def _database(self) -> Iterable[Metric]:
        database = self._app.database
        yield _counter("sensord_database_commits", "Group commits", (), {(): database.commits})
        trouble = {(): database.trouble is not None}
        yield _gauge("sensord_database_trouble", "1 while writes wait for the disk or the server", (), trouble)
        yield _gauge("sensord_ready", "1 while everything is started", (), {(): self._app.ready})


_OPEN = ("queued", "running")


def _gauge(name: str, text: str, labels: tuple[str, ...], values: Mapping[Any, float]) -> Metric:
    from prometheus_client.core import GaugeMetricFamily

    metric = GaugeMetricFamily(name, text, labels=labels)
    for key, value in values.items():
        metric.add_metric(key, float(value))
    return metric


def _counter(name: str, text: str, labels: tuple[str, ...], values: Mapping[Any, float]) -> Metric:
    from prometheus_client.core import CounterMetricFamily

    metric = CounterMetricFamily(name, text, labels=labels)
    for key, value in values.items():
        metric.add_metric(key, float(value))
    return metric


def _build() -> tuple[str, str]:
    return version("sensord"), platform.python_version()


def _ends(conn: Connection) -> tuple[int, int]:
    return conn.scalar(select(func.max(events.c.seq))) or 0, conn.scalar(select(func.max(ticks.c.seq))) or 0


def _deliveries(conn: Connection) -> dict[tuple[str, str], int]:
    query = select(deliveries.c.status, deliveries.c.destination, func.count())
    counts: Counter[tuple[str, str]] = Counter()
    for status, destination, number in conn.execute(query.group_by(deliveries.c.status, deliveries.c.destination)):
        counts[destination.partition(":")[0], status] += number
    return counts


def _oldest_pending(conn: Connection) -> int | None:
    query = select(func.min(deliveries.c.created_at)).where(deliveries.c.status.in_(["pending", "sending"]))
    found: int | None = conn.scalar(query)
    return found


def _paused(conn: Connection) -> int:
    paused = select(func.count()).select_from(destinations).where(destinations.c.state == "paused")
    return conn.scalar(paused) or 0
