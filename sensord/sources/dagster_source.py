"""One Dagster sensor: asks again and again, and says when it cannot."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta

from sqlalchemy import Connection, select

from notifiers.clock import Clock, to_us
from notifiers.database import Database
from rules.request import Sensed
from sensord.ledger.tables import sensors
from sensord.looks import Looks
from sensord.sources import Emit
from sensord.sources.dagster import DagsterConfig
from sensord.sources.dagster_assets import Assets
from sensord.sources.dagster_graphql import DagsterTrouble, Graph
from sensord.sources.dagster_history import History
from sensord.sources.dagster_reading import Place, Reading, read_place
from sensord.sources.dagster_runs import Runs

log = logging.getLogger(__name__)

_LONGEST_PAUSE = 60.0
_SHARE = 4.0
"""A look that finds nothing and takes long is repeated after so many times as long: Dagster has other work to do."""
_SHOWN = 1000


class DagsterSource:
    """See `sensord.sources.Source` for what `run`, `look` and `why` promise.

    The cursor is how far Dagster's time was read, and since when: `<time> since <time>`.
    """

    def __init__(
        self, name: str, config: DagsterConfig, graph: Graph, *, database: Database, clock: Clock, page: int
    ) -> None:
        self._name = name
        self._config = config
        self._graph = graph
        self._database = database
        self._clock = clock
        self._page = page
        self._history = self._new_history()
        self._looks = Looks(clock)

    def _new_history(self) -> History:
        kind = Runs if self._config.assets is None else Assets
        return kind(self._config, self._graph, self._page)

    async def run(self, emit: Emit, cursor: str | None) -> None:
        """Emit what happens in Dagster until cancelled."""
        self._history = self._new_history()
        reading: Reading | None = None
        trouble_pause, told = 0.0, ""
        while True:
            self._looks.begin()
            began = self._clock.monotonic()
            try:
                if reading is None:
                    reading = await self._begin(emit, cursor)
                emitted = await reading.look(emit)
            except DagsterTrouble as trouble:
                if str(trouble) != told:
                    log.warning("dagster.cannot_look", extra={"sensor": self._name, "reason": str(trouble)})
                told = str(trouble)
                await emit.failed(told)
                every = self._config.every
                pause = trouble_pause = min(max(every, 2 * trouble_pause), max(every, _LONGEST_PAUSE))
            else:
                trouble_pause, told = 0.0, ""
                await emit.recovered()
                emit.looked()
                took = self._clock.monotonic() - began
                pause = self._config.every if emitted else max(self._config.every, _SHARE * took)
                emit.behind(self._clock.now() + timedelta(seconds=pause))
            self._looks.end()
            await self._looks.pause(pause)

    async def _begin(self, emit: Emit, cursor: str | None) -> Reading:
        """Go on at the cursor; without one, where a new sensor begins, which becomes the cursor at once."""
        place = None if cursor is None else read_place(cursor)
        if place is None:
            if cursor is not None:
                log.warning("dagster.begins_anew", extra={"sensor": self._name, "cursor": cursor})
            place = await self._start()
            await emit([], cursor=place.written())
        return self._reading(self._history, place, await emit.marks())

    async def _start(self) -> Place:
        since = self._config.since
        if isinstance(since, datetime):
            return Place(to_us(since) // 1000, to_us(since) // 1000)
        if since == "beginning":
            return Place(0, 0)
        await self._graph.ask("{ version }", {})
        now = self._graph.now
        return Place(now, now)

    def _reading(self, history: History, place: Place, marks: Iterable[int]) -> Reading:
        follows = self._config.since == "now"
        return Reading(history, place, marks, overlap=self._config.overlap, follows=follows, clock=self._clock)

    async def look_now(self) -> None:
        """See `sensord.sources.Waking`: Dagster is asked."""
        await self._looks.now()

    async def look(self, known: set[int]) -> Sequence[Sensed]:
        """What one evaluation would emit from the cursor on, the first thousand: the dry run."""
        cursor = await self._database.read(lambda conn: _cursor(conn, self._name))
        place = None if cursor is None else read_place(cursor)
        history, would = self._new_history(), _Would()
        reading = self._reading(history, place or await self._start(), known)
        with suppress(_Enough):
            await reading.look(would)
        return would.sensed[:_SHOWN]

    def why(self, subject: str) -> str | None:
        """Why a run, by its id or the address of its page, or a materialisation is left out."""
        return self._history.why(subject)


class _Enough(Exception):
    """More than is shown."""


class _Would:
    """Takes what would be emitted."""

    def __init__(self) -> None:
        self.sensed: list[Sensed] = []

    async def __call__(self, sensed: Sequence[Sensed], cursor: str | None = None) -> None:
        del cursor
        self.sensed += sensed
        if len(self.sensed) >= _SHOWN:
            raise _Enough

    def behind(self, since: datetime | None) -> None:
        """Nothing is done, so nothing waits."""

    async def forget(self, marks: Iterable[int]) -> None:
        """Nothing is done."""


def _cursor(conn: Connection, sensor: str) -> str | None:
    text: str | None = conn.scalar(select(sensors.c.cursor).where(sensors.c.name == sensor))
    return text
