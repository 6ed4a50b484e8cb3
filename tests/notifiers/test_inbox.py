from __future__ import annotations

from collections.abc import Sequence

import orjson
from hypothesis import given, settings
from sqlalchemy import Connection

from notifiers.channels.inbox import Inbox, open_inbox
from notifiers.message import Message, Pre, Table, Text
from notifiers.progress import NOTE
from rules.event import Severity
from tests.channels.telegram_messages import messages
from tests.notifiers.service import HeldTime, Patient, Watched, delivering, event, publish, select, subscribe


def send_again(conn: Connection, batch: Sequence[None]) -> Sequence[None]:
    conn.exec_driver_sql("UPDATE deliveries SET status = 'sending', receipts = '[]', ended_at = NULL")
    return batch


async def test_a_message_is_kept_with_its_text_and_its_structure(database: Watched, time: HeldTime) -> None:
    message = Message(
        title="load failed\x00",
        severity=Severity.error,
        facts=[("file", "a\ud800.csv")],
        body=[Text("why"), Pre("log", "end"), Table(["a", "b"], [["1", "2"]])],
    )
    async with open_inbox(database, time.clock) as inbox:
        (part,) = inbox.render(message)
        receipt = await inbox.send("team", part)
    (row,) = await select(database, "SELECT * FROM inbox")

    assert (row["id"], row["target"], row["severity"]) == (receipt.id, "team", 40)
    assert row["title"] == "load failed␀"
    assert row["text"] == "load failed␀\nfile: a?.csv\nwhy\nend:\nlog\na\tb\n1\t2"
    assert orjson.loads(row["message"])["body"][2]["rows"] == [["1", "2"]]


@settings(max_examples=40)
@given(messages)
def test_every_message_can_be_kept(message: Message) -> None:
    (part,) = Inbox.render(None, message)  # type: ignore[arg-type]

    assert "\x00" not in part.text
    assert orjson.loads(orjson.dumps(part.payload))["title"] == part.payload["title"]
    part.text.encode()


async def test_a_repeat_after_a_crash_is_no_second_message(database: Watched, time: HeldTime) -> None:
    await subscribe(database, ">", "inbox:")
    async with open_inbox(database, time.clock) as inbox:
        async with delivering(database, {"inbox": inbox}, time):
            await publish(database, event("one"))
            await Patient(database, time).until_all_ended()
        # As after a crash between the message's commit and the receipt's.
        await database.write(send_again, None)
        async with delivering(database, {"inbox": inbox}, time):
            (delivery,) = await Patient(database, time).until_all_ended()
    kept = await select(database, "SELECT id, text FROM inbox")

    assert delivery["doubtful"] == 1
    assert [row["id"] for row in kept] == [delivery["id"]]
    assert NOTE not in kept[0]["text"]
