"""Commands that look: they change nothing, and show what the person or the place may see."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from functools import partial

from msgspec.structs import replace
from sqlalchemy import Connection

from notifiers.chat import JSON, Daemon
from notifiers.chat import wording as words
from notifiers.chat.asking import Ask, refused
from notifiers.chat.looking import get_event, last_said, last_told
from notifiers.chat.turns import Act, Reply
from notifiers.clock import Clock
from notifiers.database import Database
from notifiers.message import Message, Text
from rules.commands import CommandError, limit_of, typed
from rules.event import Event
from rules.phrases import joined, phrase, sentence, why
from rules.rights import EVERYTHING, may_see
from rules.topics import check_pattern, matches

MOST = 15
LOG_BYTES = 3000
WORTH = 3
"""Fewer runs than that say no more as a picture than in words."""
_NOTHING_TOLD = phrase("Nothing was told here yet. Type the id behind the command: /runs shows those of runs.")

Command = Callable[[Ask], Awaitable[Act]]


def answer(message: Message) -> Act:
    """Nothing but an answer."""
    return lambda _conn: Reply(message=message)


class Questions:
    """`/help /topics /subs /status /runs /why /chart /log`."""

    def __init__(self, database: Database, daemon: Daemon, clock: Clock) -> None:
        self._database = database
        self._daemon = daemon
        self._clock = clock

    def by_name(self) -> Mapping[str, Command]:
        """Each command's name and what it does."""
        return {
            "help": self._help,
            "topics": self._topics,
            "subs": self._subs,
            "status": self._status,
            "runs": self._runs,
            "why": self._why,
            "chart": self._chart,
            "log": self._log,
        }

    async def _help(self, _ask: Ask) -> Act:
        return answer(words.help_text())

    async def _subs(self, ask: Ask) -> Act:
        return answer(words.subscription_list(ask.held))

    async def _topics(self, ask: Ask) -> Act:
        return answer(await self.topics(ask, ask.words[0] if ask.words else None))

    async def topics(self, ask: Ask, pattern: str | None) -> Message:
        """What was last said on each topic that a pattern takes, or that is below it."""
        if pattern is not None:
            try:
                check_pattern(pattern)
            except ValueError as error:
                raise CommandError(sentence(why(error))) from None

        def asked(topic: str) -> bool:
            return pattern is None or matches(pattern, topic) or matches(f"{pattern}.>", topic)

        newest: dict[str, Event | None] = {}
        for topics in self._daemon.jobs.values():
            newest |= {topic: None for topic in topics if asked(topic) and ask.sees([topic])}
        newest |= await self._database.read(partial(last_said, sees=ask.sees, asked=asked))
        return words.topic_list(newest, pattern, self._clock.now(), MOST)

    async def _status(self, ask: Ask) -> Act:
        jobs = self._visible(ask)
        newest: dict[str, JSON] = {}
        for job in sorted(jobs)[:MOST]:
            if found := await self._daemon.runs([job], 1):
                newest[job] = found[0]
        state: str = phrase("The newest runs of {shown} of {all} jobs", shown=len(newest), all=len(jobs))
        problems: Sequence[str] = ()
        if any(grant.topics == EVERYTHING for grant in ask.grants):
            state, problems = await self._daemon.state()
        return answer(words.state(state, problems, list(newest.values()), self._clock.now()))

    async def _runs(self, ask: Ask) -> Act:
        rest, most = limit_of(ask.words, MOST)
        job = rest[0] if rest else None
        jobs = [name for name in self._visible(ask) if job in (None, name)]
        runs = await self._daemon.runs(jobs, most) if jobs else []
        return answer(words.run_list(runs, job, self._clock.now()))

    def _visible(self, ask: Ask) -> Collection[str]:
        return [job for job, topics in self._daemon.jobs.items() if ask.sees(topics)]

    async def _why(self, ask: Ask) -> Act:
        what = await self._meant(ask)
        run = await self._daemon.run(what)
        if run is None or not ask.sees(self._daemon.jobs.get(run["job"], ())):
            event = await self._database.read(partial(get_event, id_=what))
            if event is None or not ask.sees(event.topics):
                none = phrase("There is no run and no event {what} that you may see.", what=words.one_line(what, 60))
                raise CommandError(none)
        message = words.story(*await self._daemon.why(what))
        if run is None or not ask.sees(self._daemon.jobs.get(run["job"], ())):
            return answer(message)
        chart = await self._daemon.chart(run["job"], run["id"], ask.place.destination, ask.reading, least=WORTH)
        if isinstance(chart, str):
            message = replace(message, body=[*message.body, Text(chart)])
            chart = None
        return lambda _conn: Reply(message=message, then=chart)

    async def _chart(self, ask: Ask) -> Act:
        if not ask.words:
            raise CommandError(joined(" ", [phrase("Say of which job."), typed("chart")]))
        job = ask.words[0]
        if job not in self._visible(ask):
            none = phrase("There is no job {job} that you may see. /status shows yours.", job=words.one_line(job, 60))
            raise CommandError(none)
        chart = await self._daemon.chart(job, None, ask.place.destination, ask.reading)
        if chart is None or isinstance(chart, str):
            raise CommandError(chart or phrase("No run of {job} has ended yet.", job=job))
        return lambda _conn: Reply(then=chart)

    async def _log(self, ask: Ask) -> Act:
        what = await self._meant(ask, run=True)
        run = await self._daemon.run(what)
        topics = () if run is None else self._daemon.jobs.get(run["job"], ())
        if run is None or not ask.sees(topics):
            raise CommandError(phrase("There is no run {run} that you may see.", run=words.one_line(what, 60)))
        if not may_see(ask.grants, topics):
            # A message shows the end of a log at most; the rest is not for everybody who reads along.
            return lambda _conn: refused(ask, phrase("A run's output is for people with a role."))
        output = await self._daemon.log(what, LOG_BYTES)
        if not output:
            raise CommandError(phrase("Run {run} has written nothing, or its output was too old to be kept.", run=what))
        return answer(words.log_end(run, output))

    async def _meant(self, ask: Ask, *, run: bool = False) -> str:
        """The id that was typed, or that of what the last message here was about: its run, else the event itself."""
        if ask.words:
            return ask.words[0]

        def last(conn: Connection) -> str | None:
            told = last_told(conn, ask.place.destination)
            event, of = told or (None, None)
            return of if run else of or event

        found = await self._database.read(last)
        if found is None:
            raise CommandError(_NOTHING_TOLD)
        return found
