"""What stands on a message beside what it says: its buttons, and what people did about it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from notifiers.channels import Channel as Way
from notifiers.channels import DeliveryError, Part, Reason, Receipt
from notifiers.message import Button, Message, Text
from notifiers.progress import Progress
from notifiers.reading import Reader
from notifiers.reading.templates import Voice
from notifiers.wording import english
from rules.event import Event


class Line(Struct, frozen=True):
    """Who did what, by which button, when, and what came of it."""

    deed: str
    name: str
    at: datetime
    outcome: str | None = None

    def said(self, voice: Voice) -> str:
        """As the message says it from then on."""
        known: dict[str, Any] = {"name": self.name, "at": voice.language.clock(self.at)}
        if self.outcome:
            return voice.say(f"done.{self.deed} run", **known, run=self.outcome)
        return voice.say(f"done.{self.deed}", **known)


class Marks(Struct, frozen=True):
    """Buttons to press, and lines that say who did what. The buttons' words are English here."""

    buttons: tuple[Button, ...] = ()
    lines: tuple[str | Line, ...] = ()

    def on(self, message: Message, voice: Voice | None = None) -> Message:
        """The message with them: the lines last, so that nothing before them moves."""
        if not self.lines and not self.buttons:
            return message
        voice = voice or english()
        lines = [line if isinstance(line, str) else line.said(voice) for line in self.lines]
        body = [*message.body, Text("\n".join(lines))] if lines else message.body
        buttons = [replace(button, text=voice.language.text(button.text)) for button in self.buttons]
        return replace(message, body=body, buttons=[*message.buttons, *buttons])


UNMARKED: Final = Marks()


class Change(Struct, frozen=True, kw_only=True):
    """A message that was sent of `event`, as far as `progress` says, is to bear these marks.

    `message` is its id where it is known which one was meant: a message that was sent twice has two. `subscription`
    and `reader` say whom it was written for.
    """

    event: Event
    progress: Progress
    marks: Marks
    message: str = ""
    subscription: str = ""
    reader: Reader | None = None

    def part(self, channel: Way, message: Message, voice: Voice | None = None) -> tuple[Receipt, Part]:
        """What of the message is to be put in the place of which part of it. DeliveryError where none can be.

        The lines and the buttons stand at the end of the text, so that one part differs. Where they do not fit
        there, the message would need one part more than was sent.
        """
        voice = voice or english()
        repeat = voice.say("repeat")
        before = self.progress.lay_out(channel.render, message, repeat)
        after = self.progress.lay_out(channel.render, self.marks.on(message, voice), repeat)
        differ = [number for number, (was, now) in enumerate(zip(before, after, strict=False)) if was != now]
        if len(before) != len(after) or len(differ) != 1:
            raise DeliveryError("the message has no room for what was done", Reason.refused, permanent=True)
        return self._receipt(differ[0]), after[differ[0]]

    def _receipt(self, number: int) -> Receipt:
        receipts = self.progress.receipts
        meant = [one for one in receipts if one is not None and one.get("id") == self.message]
        found = meant[0] if meant else receipts[number] if number < len(receipts) else None
        if found is None:
            raise DeliveryError("it is not known which message that is", Reason.refused, permanent=True)
        return Receipt(id=str(found["id"]), data={key: value for key, value in found.items() if key != "id"})


def sent_as(parts: Sequence[Part]) -> list[Part]:
    """The parts of an answer that was to change a message, and is sent as one of its own: the change stands first."""
    return [Part(text=""), *parts]
