from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from notifiers.channels import Part
from notifiers.message import Message, Text
from notifiers.progress import NOTE, Progress


def render(message: Message) -> Sequence[Part]:
    blocks = [block.text for block in message.body if isinstance(block, Text)]
    return [Part(text=text) for text in [f"{message.note} {message.title}".strip(), *blocks]]


@given(st.integers(1, 5), st.lists(st.sampled_from(["arrived", "lost", "lost, though it arrived"]), max_size=60))
def test_every_part_is_sent_in_order_at_most_twice_and_the_second_is_marked(parts: int, fates: list[str]) -> None:
    message = Message(title="0", body=[Text(f"{number}") for number in range(1, parts)])
    progress = Progress()
    sent: list[str] = []
    for fate in [*fates, *["arrived"] * 20]:
        laid = progress.lay_out(render, message)
        if len(progress.receipts) >= len(laid):
            break
        sent.append(laid[len(progress.receipts)].text)
        progress = progress.arrived({}) if fate == "arrived" else progress.lost()

    plain = [text.removeprefix(f"{NOTE} ") for text in sent if text != NOTE]
    assert list(dict.fromkeys(plain)) == [f"{number}" for number in range(parts)]
    assert plain == sorted(plain)
    for number in range(parts):
        times = plain.count(f"{number}")
        marked = sum(text in (f"{NOTE} {number}", NOTE) for text in sent[sent.index(f"{number}") :])

        assert times == 1 + (number in progress.doubts)
        assert times == 1 or marked >= 1
    assert len(progress.receipts) == len(progress.lay_out(render, message))


def test_a_part_that_arrived_stays_what_it_was_when_a_later_one_is_repeated() -> None:
    message = Message(title="0", body=[Text("1")])
    progress = Progress().arrived({"id": "7"}).lost()

    assert [part.text for part in progress.lay_out(render, message)] == ["0", NOTE, "1"]
    assert progress.current == (1, True)
    assert progress.receipts == ({"id": "7"},)
