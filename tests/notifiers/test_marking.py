"""What is put in the place of which part of a message that was sent, where it is to say what was done."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from notifiers.channels import DeliveryError
from notifiers.channels.slack_blocks import render as slack
from notifiers.channels.telegram_text import render as telegram
from notifiers.marking import Change, Marks
from notifiers.message import Attachment, Button, Link, Message, Text
from notifiers.progress import NOTE, Progress
from tests.channels.telegram_messages import HOSTILE
from tests.sources.app_kit import event

BEFORE = Marks(buttons=(Button("Re-run", "n" * 32), Button("Log", "m" * 32)))
AFTER = Marks(buttons=(Button("Log", "m" * 32),), lines=("Re-run by Ann, 12:00 UTC",))


class Shape:
    """A channel as far as rendering goes."""

    def __init__(self, render: object) -> None:
        self.render = render


def sent(message: Message, render: object, **more: object) -> Change:
    receipts = tuple({"id": str(number), "chat": 7} for number, _ in enumerate(render(message)))  # type: ignore[operator]
    progress = Progress(receipts=receipts, **more)  # type: ignore[arg-type]
    return Change(event=event("runs.a.failed"), progress=progress, marks=AFTER)


@pytest.mark.parametrize("render", [telegram, slack])
def test_of_a_long_message_the_last_text_changes_and_files_stay(render: object) -> None:
    body = [Text("word " * 3000), Text("the end")]
    message = Message(title="t", body=body, attachments=[Attachment("a.txt", b"x")])
    change = sent(message, render)
    receipt, part = change.part(Shape(render), message)  # type: ignore[arg-type]
    before = render(BEFORE.on(message))  # type: ignore[operator]
    assert int(receipt.id) == len(before) - 2
    assert receipt.data == {"chat": 7}
    assert before[-2].text.rstrip() in part.text
    assert part.text.rstrip().endswith("Re-run by Ann, 12:00 UTC")
    assert "m" * 32 in str(part.payload)
    assert "n" * 32 not in str(part.payload)


def test_a_message_without_room_for_it_is_not_changed() -> None:
    message = Message(title="t", body=[Text("x" * 4085)])
    with pytest.raises(DeliveryError, match="no room") as refused:
        sent(message, telegram).part(Shape(telegram), message)  # type: ignore[arg-type]
    assert refused.value.permanent


def test_a_message_that_was_sent_twice_keeps_its_note_and_the_copy_that_was_pressed_changes() -> None:
    message = Message(title="t")
    receipts = ({"id": "8"}, {"id": "9"})
    change = Change(event=event("a"), progress=Progress(receipts, doubts=(0,)), marks=AFTER, message="9")
    receipt, part = change.part(Shape(telegram), message)  # type: ignore[arg-type]
    assert receipt.id == "9"
    assert NOTE in part.text
    lost = Change(event=event("a"), progress=Progress((None,), doubts=(0, 0)), marks=AFTER)
    with pytest.raises(DeliveryError, match="not known which message"):
        lost.part(Shape(telegram), message)  # type: ignore[arg-type]


texts = st.text(max_size=40) | st.sampled_from(HOSTILE) | st.integers(3_900, 4_200).map("x ".__mul__)


@settings(max_examples=60)
@given(texts, st.lists(texts.map(Text), max_size=2), st.booleans(), st.sampled_from([telegram, slack]))
def test_any_message_can_be_changed_or_says_that_it_cannot(
    title: str, body: list[Text], linked: bool, render: object
) -> None:
    message = Message(title=title, body=body, links=[Link("run", "https://a.example/1")] if linked else [])
    try:
        _, part = sent(message, render).part(Shape(render), message)  # type: ignore[arg-type]
    except DeliveryError as error:
        refused: DeliveryError | None = error
    else:
        refused = None
        assert "Re-run by Ann" in part.text
    # A message of one text that has room for it can always be changed.
    one = len(render(message)) == len(render(AFTER.on(message))) == 1  # type: ignore[operator]
    assert refused is None or (refused.permanent and not one)
