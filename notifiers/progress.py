"""How far a delivery has come: which parts arrived, which answers were lost, and what goes next. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from notifiers.channels import Part
from notifiers.message import Message

NOTE = "Possible repeat: the answer to the first sending was lost."

_TRIES = 2
"""A part is sent once, and once more where the answer was lost."""


class Progress(Struct, frozen=True):
    """`receipts` has an entry for each part that is over with: its receipt, or None where every answer was lost.

    `doubts` has the number of a part each time an answer to it was lost. A message with a doubt about its first
    part is rendered with the note; a later part that is sent again has the note in a part of its own before it,
    so that the parts that did arrive stay what they were.
    """

    receipts: tuple[Mapping[str, Any] | None, ...] = ()
    doubts: tuple[int, ...] = ()

    @property
    def current(self) -> tuple[int, bool]:
        """The part that goes next: its number, and whether it is the note before that part."""
        number = position = 0
        while True:
            if self._noted(number):
                if position == len(self.receipts):
                    return number, True
                position += 1
            if position == len(self.receipts):
                return number, False
            position += 1
            number += 1

    def arrived(self, receipt: Mapping[str, Any]) -> Progress:
        """The current part was acknowledged."""
        return replace(self, receipts=(*self.receipts, receipt))

    def lost(self) -> Progress:
        """The answer to the current part was lost: it goes once more, marked; the second time it is let be."""
        number, note = self.current
        if note:
            return replace(self, receipts=(*self.receipts, None))
        doubted = replace(self, doubts=(*self.doubts, number))
        return replace(doubted, receipts=(*self.receipts, None)) if doubted.doubts.count(number) >= _TRIES else doubted

    def lay_out(self, render: Callable[[Message], Sequence[Part]], message: Message, note: str = NOTE) -> list[Part]:
        """Every part of the message in order, those that are over with included. `note` says that it is a repeat."""
        parts = render(replace(message, note=note) if 0 in self.doubts else message)
        if not parts:
            raise ValueError("a message was rendered to no part at all")
        laid: list[Part] = []
        for number, part in enumerate(parts):
            if self._noted(number):
                laid.extend(render(Message(title=note, severity=message.severity))[:1])
            laid.append(part)
        return laid

    def _noted(self, number: int) -> bool:
        return number > 0 and number in self.doubts
