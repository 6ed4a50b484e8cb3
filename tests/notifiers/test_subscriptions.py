from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import sqlalchemy
from sqlalchemy import Connection

from notifiers.clock import new_uuid7
from notifiers.subscriptions import (
    Configured,
    Directory,
    Ended,
    Wanted,
    add_subscriptions,
    end_subscriptions,
    load_directory,
    sync_configured,
)
from tests.notifiers.service import HeldTime, Patient, Service, Watched, delivering, event, publish, select

WHERE: dict[str, Any] = {"severity": ">=warning", "job": "x"}


def wanted(topic: str, to: str = "chat:a", where: Mapping[str, Any] | None = None) -> Wanted:
    return Wanted(id=new_uuid7(), topic=topic, destination=to, at=1, where=where or {})


def configured(*all_of_them: Wanted) -> Configured:
    return Configured(wanted=all_of_them, at=2)


async def test_a_start_with_the_same_configuration_changes_nothing(database: Watched) -> None:
    assert await database.write(sync_configured, configured(wanted("a"), wanted("b", where=WHERE))) == 2
    before = await database.read(load_directory)
    swapped = dict(reversed(WHERE.items()))

    assert await database.write(sync_configured, configured(wanted("b", where=swapped), wanted("a"))) == 0
    assert await database.read(load_directory) == before


async def test_one_named_twice_is_one(database: Watched) -> None:
    assert await database.write(sync_configured, configured(wanted("a"), wanted("a"))) == 1


async def test_what_left_the_configuration_ends_and_what_users_asked_for_stays(database: Watched) -> None:
    await database.write(sync_configured, configured(wanted("a"), wanted("b")))
    await database.write(add_subscriptions, wanted("mine"))
    await database.write(sync_configured, configured(wanted("b")))
    rows = await select(database, "SELECT topic, origin, ended_at FROM subscriptions ORDER BY topic")

    assert [(row["topic"], row["origin"], row["ended_at"]) for row in rows] == [
        ("a", "config", 2),
        ("b", "config", None),
        ("mine", "user", None),
    ]


async def test_one_that_comes_back_is_new_and_misses_what_was_between(
    database: Watched, time: HeldTime, wait: Patient
) -> None:
    chat = Service(time)
    await database.write(sync_configured, configured(wanted("t.>")))
    await database.write(sync_configured, configured())
    await publish(database, event("between"))
    await database.write(sync_configured, configured(wanted("t.>")))
    await publish(database, event("after"))
    async with delivering(database, {"chat": chat}, time):
        await wait.until_all_ended()

    assert chat.texts() == ["after"]


async def test_one_that_both_a_user_and_the_configuration_want_is_one(database: Watched) -> None:
    mine = wanted("a")
    await database.write(add_subscriptions, mine)
    await database.write(sync_configured, configured(wanted("a")))
    again = await database.write(add_subscriptions, wanted("a"))
    rows = await select(database, "SELECT id, origin FROM subscriptions")

    assert again == (mine.id, False)
    assert rows == [{"id": mine.id, "origin": "config"}]


async def test_two_who_ask_for_the_same_at_once_get_the_same(database: Watched) -> None:
    first, second = await database.write_many(add_subscriptions, [wanted("a"), wanted("a")])

    assert first[0] == second[0]
    assert (first[1], second[1]) == (True, False)


async def test_what_does_not_hold_cannot_be_ended(database: Watched) -> None:
    mine, _ = await database.write(add_subscriptions, wanted("a"))

    assert await database.write(end_subscriptions, Ended(id=mine, at=3))
    assert not await database.write(end_subscriptions, Ended(id=mine, at=4))
    assert not await database.write(end_subscriptions, Ended(id="nobody", at=4))


def test_a_moved_destination_is_followed_through_all_its_moves_and_never_in_a_circle() -> None:
    directory = Directory(1, (), {"a": "b", "b": "c", "x": "y", "y": "x"}, frozenset())

    assert directory.resolve("a") == "c"
    assert directory.resolve("elsewhere") == "elsewhere"
    assert directory.resolve("x") == "y"


async def test_a_second_subscription_to_a_chat_does_not_hide_the_first_from_earlier_events(
    database: Watched, time: HeldTime, wait: Patient
) -> None:
    chat = Service(time)
    # By its id the younger one comes first, and would be the one that tells the chat.
    await database.write(add_subscriptions, Wanted(id="b", topic="t.>", destination="chat:a", at=1, where={}))
    await publish(database, event("between"))
    await database.write(add_subscriptions, Wanted(id="a", topic=">", destination="chat:a", at=1, where={}))
    await publish(database, event("after"))
    async with delivering(database, {"chat": chat}, time):
        await wait.until_all_ended()

    assert chat.texts() == ["between", "after"]


@pytest.mark.parametrize("statement", [1, 2, 3])
async def test_what_is_made_while_subscriptions_are_read_is_not_missing_from_their_version(
    database: Watched, statement: int
) -> None:
    await database.write(add_subscriptions, wanted("early"))
    done = 0

    def read(conn: Connection) -> Directory:
        def after(*_: Any) -> None:
            nonlocal done
            done += 1
            if done == statement:
                with conn.engine.connect().execution_options(writes=True) as other, other.begin():
                    add_subscriptions(other, [wanted("late")])

        sqlalchemy.event.listen(conn, "after_cursor_execute", after)
        return load_directory(conn)

    found = await database.read(read)
    now = await database.read(load_directory)
    assert len(now.subscriptions) == 2
    assert found.version < now.version or len(found.subscriptions) == 2
