"""Chats that can talk back: commands once for all of them. What each chat brings, and what the daemon answers.

A chat's own part (Telegram, Slack) makes these values of what it hears, and hands them to `Conversations`; answers
go out as messages through the same deliveries as everything else.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

from msgspec import Struct

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from notifiers.reading import Reading

JSON = dict[str, Any]


class Heard(Struct, frozen=True):
    """Where something stands in what a chat's service tells: `of` names the service and account, `number` grows.

    `ordered`: whatever comes after it has a greater number. What is posted to us may come late. Where the service
    counts nothing, `id` is its own word for the thing, the same each time it is told again; then `number` says nothing.
    """

    of: str
    number: int = 0
    ordered: bool = True
    id: str | None = None


class Person(Struct, frozen=True):
    """Who wrote: `id` is the service's word (`telegram:123`); `name` is their own, bounded, and never to be trusted."""

    id: str
    name: str


class Place(Struct, frozen=True):
    """Where it was written. `destination` is where an answer goes; a thread's `chat` is the chat it is in."""

    destination: str
    chat: str
    private: bool


class Said(Struct, frozen=True, kw_only=True):
    """Somebody wrote `text`; `me` is the bot's own name, by which commands are addressed to it.

    `typed` is what stands before a command's name there, where answers say what to type: `/` or `/sensord `. `replies`
    says that it answers a message of the bot's. `language` is the one that the person uses the service in, as an IETF
    tag, where that is known.
    """

    heard: Heard
    place: Place
    person: Person
    text: str
    me: str | None = None
    typed: str = "/"
    replies: bool = False
    language: str | None = None


class Shut(Struct, frozen=True, kw_only=True):
    """The bot was removed from a chat, blocked or silenced (`open` False), or it may write there again.

    A place whose chat is `slack:` is every chat of the service.
    """

    heard: Heard
    place: Place
    person: Person
    open: bool
    why: str


class Moved(Struct, frozen=True, kw_only=True):
    """A chat has another id from now on; both are destinations."""

    heard: Heard
    old: str
    new: str


class Pressed(Struct, frozen=True, kw_only=True):
    """Somebody pressed a button.

    `data` is the nonce it carried, `message` the id of the message it stands in, `answer` what the service wants back
    (its query's id, its response URL), if anything. `language` is as in `Said`.
    """

    heard: Heard
    place: Place
    person: Person
    data: str
    message: str
    answer: str | None = None
    language: str | None = None


class Filled(Struct, frozen=True, kw_only=True):
    """Somebody sent a form: `data` is the nonce that it carried, `values` what stands in its fields, by their places.

    A field that was left empty is missing, or None; where one of several was to be chosen, it is that one's place.
    """

    heard: Heard
    person: Person
    data: str
    values: Mapping[int, str | None]


class Standing(StrEnum):
    """What a person is in a chat, by the service's word at this moment."""

    administrator = "administrator"
    member = "member"
    stranger = "stranger"
    unknown = "unknown"  # The service does not say; that allows nothing.


class Room(Protocol):
    """What a chat's service is asked by whoever answers."""

    async def standing(self, place: Place, person: Person) -> Standing:
        """What the person is in the chat now. Never raises; takes a few seconds at most."""
        ...


class Parameter(Struct, frozen=True, kw_only=True):
    """One parameter of a job. `wanted` says in words what kind of value it takes; `choices` are all, where few are.

    `kinds` are JSON Schema's names of the kinds; none are any.
    """

    name: str
    description: str
    wanted: str
    kinds: frozenset[str] = frozenset()
    choices: tuple[Any, ...]
    required: bool
    has_default: bool
    default: Any


class Order(Protocol):
    """A run that somebody asks for, made ready: it has its id, and nothing of it is kept yet."""

    @property
    def run(self) -> str:
        """The id it will have."""
        ...

    def place(self, conn: Connection) -> None:
        """Ask for it, as part of the caller's transaction; asked for again, it is there already."""
        ...

    def placed(self) -> None:
        """The transaction is durable: it may start. After a crash it starts without this word."""
        ...


class Daemon(Protocol):
    """What commands ask of whoever runs the jobs."""

    @property
    def jobs(self) -> Mapping[str, Collection[str]]:
        """Each job's name, and the topics on which its runs are told: who may see one of them may see the job."""
        ...

    async def state(self) -> tuple[str, Sequence[str]]:
        """Whether everything is well, in a sentence, and what is not, each in one."""
        ...

    async def runs(self, jobs: Collection[str], most: int) -> Sequence[JSON]:
        """The newest runs of these jobs, as the API shows them."""
        ...

    async def run(self, run: str) -> JSON | None:
        """One run, as the API shows it."""
        ...

    async def why(self, what: str) -> tuple[Sequence[str], str]:
        """The story of a run or an event, line by line, and its verdict."""
        ...

    async def log(self, run: str, most: int) -> bytes | None:
        """The last bytes of a run's newest attempt's output; None where there is none."""
        ...

    async def chart(
        self, job: str, run: str | None, to: str, reading: Reading, *, least: int = 1
    ) -> Callable[[], None] | str | None:
        """What has a picture of a job's last runs sent to a destination, `run` marked, once it is called.

        In a sentence why there can be none; None where fewer than `least` runs would be in it.
        """
        ...

    async def parameters(self, job: str) -> Sequence[Parameter]:
        """What a job's run is given, in the order of its schema."""
        ...

    async def value(self, job: str, name: str, text: str) -> Any:
        """What a text says of one parameter; ValueError says in a sentence what is wrong with it."""
        ...

    async def order(self, job: str, config: Mapping[str, Any]) -> Order | str:
        """A run of a job with these parameters, or in a sentence why there can be none."""
        ...

    async def repeat(self, run: str) -> Order | str:
        """A run that repeats one that has ended, or in a sentence why there can be none."""
        ...
