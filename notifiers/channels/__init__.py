"""A channel is a kind of way out. Each lives in its own file, with its configuration and its errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, Protocol, runtime_checkable

from msgspec import Struct, field

from notifiers.message import Message
from rules.pacing import Window


class Reason(StrEnum):
    """Why a call failed: a closed set, used as a metric's label."""

    unreachable = "unreachable"  # no connection: certainly not sent
    answer_lost = "answer_lost"  # sent, and nobody knows what became of it
    rate_limited = "rate_limited"
    server_error = "server_error"  # 5xx: the service says it did not take it
    refused = "refused"  # this message can never be taken as it is
    unauthorised = "unauthorised"  # the token is wrong, or lacks a scope
    gone = "gone"  # the destination does not exist, or does not want us
    moved = "moved"


class DeliveryError(Exception):
    """A call that did not deliver. The fields are the decision; the text is for a person and holds no secret.

    permanent: repeating this call cannot help, now or later.
    pause: the destination as a whole is dead (gone, unauthorised): hold what is queued and tell the owner.
    retry_after: seconds during which the service wants no call to this destination.
    moved_to: the target's new name; send there from now on.
    uncertain: the request went out whole or in part and the answer was lost: it may have been delivered.
    """

    def __init__(
        self,
        message: str,
        reason: Reason,
        *,
        permanent: bool = False,
        pause: bool = False,
        retry_after: float | None = None,
        moved_to: str | None = None,
        uncertain: bool = False,
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.permanent = permanent
        self.pause = pause
        self.retry_after = retry_after
        self.moved_to = moved_to
        self.uncertain = uncertain


class Part(Struct, frozen=True, kw_only=True):
    """One API call's worth of a message: JSON, made by the channel that will send it, opaque to others.

    `text` is the plain text that a person will see in this part. `key` names this part of this delivery, the
    same at every try; whoever sends sets it, for channels whose other side drops what it has already.
    `under` is the message that this part belongs to, as a reply or in its thread, where the channel has such a thing
    and the message is there; `aloud` says that it is seen by who does not look into threads.
    """

    text: str
    payload: Mapping[str, Any] = field(default_factory=dict)
    key: str = ""
    under: Receipt | None = None
    aloud: bool = False


class Receipt(Struct, frozen=True, kw_only=True):
    """The service's word that a part arrived: its id there, and what it takes to edit or answer it later."""

    id: str
    data: Mapping[str, Any] = field(default_factory=dict)


class Channel(Protocol):
    """A way out. Safe for concurrent calls; paces nothing by itself, and never retries by itself."""

    def render(self, message: Message) -> Sequence[Part]:
        """Split a message into at least one part that the service will not refuse; pure and total."""
        ...

    def windows(self, target: str) -> Sequence[Window]:
        """The limits that one call to this target counts against, shared by equal keys."""
        ...

    async def send(self, target: str, part: Part) -> Receipt:
        """Make one call. Return once the service acknowledged it; raise DeliveryError otherwise."""
        ...


@runtime_checkable
class Editable(Channel, Protocol):
    """A channel whose messages can be changed after they were sent."""

    async def edit(self, target: str, receipt: Receipt, part: Part) -> None:
        """Put `part` in the place of what `receipt` says was sent.

        DeliveryError, `permanent` where the service lets it be edited no more. To make an edit again does no harm.
        """
        ...

    def edit_windows(self, target: str) -> Sequence[Window]:
        """The limits that one edit at this target counts against, shared by equal keys with those of `windows`."""
        ...


@runtime_checkable
class Answering(Channel, Protocol):
    """A channel whose service can be asked for something that shows nothing to anybody."""

    async def answers(self) -> None:
        """Return where the service answers as it should; raise DeliveryError otherwise."""
        ...


def split_destination(destination: str) -> tuple[str, str]:
    """`telegram:-100/7` → (`telegram`, `-100/7`). ValueError where there is no channel before a colon."""
    channel, colon, target = destination.partition(":")
    if not colon or not channel.isidentifier():
        raise ValueError(f"destination {destination!r} is not CHANNEL:TARGET, e.g. telegram:-100123 or inbox:")
    return channel, target
