"""Who is spoken to how: the voice for each delivery, and what is to be told of broken templates."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache

from msgspec.structs import replace
from sqlalchemy import Connection, select

from notifiers.message import Message
from notifiers.owner import Notice, Owner, post
from notifiers.reading import ENGLISH, Reader, Readers
from notifiers.reading.templates import NOTHING, Broken, Own, Templates, Voice
from notifiers.store import Claimed, Waiting
from notifiers.tables import events
from rules.event import Event

log = logging.getLogger(__name__)


class Tongues:
    """Knows who reads, and speaks to them. `readers` is asked for those of the subscriptions that hold."""

    def __init__(
        self,
        owner: Owner,
        *,
        own: Own = NOTHING,
        reader: Reader = ENGLISH,
        base_url: str | None = None,
        wording: Callable[[Event], Message] | None = None,
        environment: str = "",
    ) -> None:
        self.otherwise = reader
        self.readers: Callable[[], Readers] = Readers
        self._owner = owner
        self._broken: deque[Broken] = deque()
        self.templates = Templates(own, base_url=base_url, tell=self._broke)
        self._wording = wording
        self._environment = environment
        own_voice = wording or environment
        self.voice: Callable[[Reader], Voice] = (
            lru_cache(maxsize=64)(self._voice) if own_voice else self.templates.voice
        )

    def reader(self, claimed: Claimed) -> Reader:
        """Who reads a delivery. A message that is there already keeps its language."""
        shown = claimed.living and claimed.living.reader
        if shown is None and claimed.change is not None:
            shown = claimed.change.reader
        subscription = claimed.subscription if claimed.change is None else claimed.change.subscription
        return shown or self.readers().of(self.otherwise, claimed.destination, subscription)

    def of_digest(self, destination: str, subscriptions: Iterable[str]) -> Voice:
        """The voice of one message that stands for those of many subscriptions. Any thread may ask."""
        return self.voice(self.readers().most(self.otherwise, destination, subscriptions))

    def to_warm(self) -> Sequence[str]:
        """The languages that are spoken now and have to be loaded; English takes nothing."""
        return [lang for lang in self.languages() if lang != ENGLISH.lang]

    def warm(self) -> None:
        """Load what those take. For a thread of its own."""
        for lang in self.to_warm():
            self.voice(Reader(lang, self.otherwise.zone)).say("messages", count=1)

    def languages(self) -> Sequence[str]:
        """Every language that is spoken now."""
        return sorted({self.otherwise.lang, *self.readers().languages})

    def _broke(self, broken: Broken) -> None:
        log.warning("template.broken", extra={"template": broken.file, "line": broken.line, "reason": broken.why})
        self._broken.append(broken)

    def trouble(self) -> Notice | None:
        """What is to be told next of broken templates."""
        while self._broken:
            broken = self._broken.popleft()
            notice = self._owner.template(f"{broken.file}, line {broken.line}", broken.why)
            if notice is not None:
                return notice
        return None

    def _voice(self, reader: Reader) -> Voice:
        voice = self.templates.voice(reader)
        say = self._wording or voice.message
        return replace(voice, message=(lambda event: _labelled(say(event), self._environment)))


def _labelled(message: Message, environment: str) -> Message:
    return replace(message, title=f"[{environment}] {message.title}") if environment else message


def post_notices(conn: Connection, batch: Sequence[Notice]) -> list[list[Waiting]]:
    """Publish notices by themselves; what is to be sent because of each."""
    found: list[list[Waiting]] = []
    for notice in batch:
        post(conn, notice)
        seq = conn.scalar(select(events.c.seq).where(events.c.id == notice.event.id)) or 0
        found.append([Waiting(one, to, int(notice.event.severity), seq) for one, _, to in notice.to])
    return found
