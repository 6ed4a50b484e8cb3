"""The message of a run that a delivery is about, and the parts that say so: put in its place, or under it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

from msgspec import Struct
from msgspec.structs import replace

from notifiers.channels import Part, Receipt
from notifiers.living_wording import continued, recovered, without_details
from notifiers.message import Message
from notifiers.progress import Progress
from notifiers.reading import Reader
from notifiers.reading.templates import Voice
from rules.event import Event, Severity

Way = Literal["first", "edit", "again"]


class Shown(Struct, frozen=True, kw_only=True):
    """What is to become of a run's message. `id` is its row's.

    `way`: `first` sends it; `edit` puts a state in its place, and what is more than that under it; `again` sends it
    anew, as a reply to the one that can be edited no more. `receipt` is of the message that is there. `refused` is why
    that is edited no more. `failure` is the event that it showed, where it now is to say that the job recovered; then
    `under` says that its details stand under it already. `reader` is who the message that is there was written for:
    its language stays what it is.
    """

    id: str
    way: Way
    state: str
    receipt: Receipt | None = None
    refused: str | None = None
    failure: Event | None = None
    reader: Reader | None = None
    under: bool = False

    def message(self, voice: Voice, event: Event) -> Message:
        """What the message is to say."""
        failure = self.failure
        message = voice.message(event) if failure is None else recovered(voice.message(failure), event, voice)
        message = without_details(message, voice)[0] if self.under else message
        return continued(message, voice) if self.way == "again" else message

    def lay_out(
        self, progress: Progress, render: Callable[[Message], Sequence[Part]], message: Message, voice: Voice
    ) -> list[Part]:
        """Every part in order. Where the message is edited, the first is what is put in its place."""
        edits = self.way == "edit"
        in_place = _in_place if self.failure is None else _alone_in_place
        parts = progress.lay_out(in_place(render, voice) if edits else render, message, voice.say("repeat"))
        root = self.receipt if edits else _receipt(progress)
        first = replace(parts[0], under=self._old) if self.way == "again" else parts[0]
        aloud = edits and message.severity >= Severity.error
        return [first, *(replace(part, under=root, aloud=aloud and not at) for at, part in enumerate(parts[1:]))]

    def arrived(self, receipt: Receipt) -> dict[str, Any]:
        """What is kept of the receipt of the first part."""
        kept = {"id": receipt.id, **receipt.data}
        if self.way == "edit":
            return kept | {"edited": True}
        return kept | {"continues": self.receipt.id} if self.way == "again" and self.receipt else kept

    @property
    def _old(self) -> Receipt | None:
        """The message that can be edited no more, unless it was lost with its chat: its number is another's there."""
        return None if self.refused is not None and self.refused.startswith("gone") else self.receipt


def way_of(progress: Progress) -> Way | None:
    """What became of the first part; None where it is not over with."""
    if not progress.receipts:
        return None
    first = progress.receipts[0] or {}
    return "edit" if first.get("edited") else "again" if "continues" in first else "first"


def _receipt(progress: Progress) -> Receipt | None:
    found = progress.receipts[0] if progress.receipts else None
    if found is None:
        return None
    return Receipt(id=str(found["id"]), data={key: value for key, value in found.items() if key != "id"})


def _alone_in_place(render: Callable[[Message], Sequence[Part]], voice: Voice) -> Callable[[Message], Sequence[Part]]:
    """Render a message as what replaces another and nothing more: whoever was told of it is told nothing again."""

    def parts(message: Message) -> Sequence[Part]:
        whole = render(message)
        return whole if len(whole) == 1 else render(without_details(message, voice)[0])[:1]

    return parts


def _in_place(render: Callable[[Message], Sequence[Part]], voice: Voice) -> Callable[[Message], Sequence[Part]]:
    """Render a message as what replaces another, and what does not fit there, or would be overlooked there."""

    def parts(message: Message) -> Sequence[Part]:
        head, details = without_details(message, voice)
        first, *rest = render(head)
        return [first, *rest, *(render(details) if details is not None else ())]

    return parts
