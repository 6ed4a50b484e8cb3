"""Everybody is told in their own language: at once, as a message changes, in digests, and of broken templates."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from notifiers.channels.inbox import open_inbox
from notifiers.chat.answers import from_json
from notifiers.reading import Reader
from notifiers.reading.templates import Own, read_own
from notifiers.subscriptions import Ended, end_subscriptions
from rules.event import Event, Severity
from tests.notifiers.living_kit import CHAT, ROOM, Story, doubles, telling
from tests.notifiers.noise_kit import mute, subscribe, until_held, until_over
from tests.notifiers.service import START, HeldTime, Patient, Service, Watched, delivering, publish, select

CHAT_OF_RUSSIANS, ROOM_OF_OTHERS = f"telegram:{CHAT}", f"slack:{ROOM}"


async def test_one_event_is_two_messages_each_in_its_own_language(
    database: Watched, time: HeldTime, wait: Patient
) -> None:
    await subscribe(database, "runs.>", CHAT_OF_RUSSIANS, lang="ru")
    await subscribe(database, "runs.>", ROOM_OF_OTHERS)
    async with doubles(time) as served, telling(database, time, served, wording=None) as chats:
        await Story().tell(database, chats, "failed", attempt=3, error="KeyError", duration_s=83)
        await wait.until_all_ended()
        (russian,), (english,) = chats.texts(), chats.posts()

    assert "load: ошибка после 3 попыток" in russian
    assert "длительность: 1 мин 23 с" in russian  # noqa: RUF001 - Russian
    assert "load failed after 3 attempts" in english
    assert "KeyError" in russian
    assert "KeyError" in english


async def test_a_message_keeps_its_language_as_it_changes_whoever_wants_the_later_states(
    database: Watched, time: HeldTime, wait: Patient
) -> None:
    first = await subscribe(database, "runs.*.started", CHAT_OF_RUSSIANS, lang="ru")
    await subscribe(database, "runs.*.failed", CHAT_OF_RUSSIANS, lang="en")
    await subscribe(database, "runs.*.succeeded", CHAT_OF_RUSSIANS, lang="en")
    story = Story()
    async with doubles(time) as served, telling(database, time, served, wording=None) as chats:
        await story.tell(database, chats, "started")
        await wait.until_all_ended()
        await database.write(end_subscriptions, Ended(id=first, at=1))
        await story.tell(database, chats, "failed", error="KeyError")
        await wait.until_all_ended()
        message, under = chats.texts()
        assert message.startswith("❌ load: ошибка")
        assert "Что пошло не так" in under
        await Story(key="again").tell(database, chats, "succeeded")
        await wait.until_all_ended()
        recovered, _, other = chats.texts()

    assert "Исправлено: load — успешно, 2026-11-21 00:00 UTC (again)." in recovered
    assert "load succeeded" in other


def quality(number: int) -> Event:
    return Event(
        id=f"q{number}",
        type="quality.failed",
        topic="quality.load.failed",
        time=START,
        severity=Severity.warning,
        message="load: check price failed",
        job="load",
        data={"check": "price", "detail": f"{number} rows"},
    )


async def test_a_digest_is_in_the_language_of_most_that_it_stands_for(
    database: Watched, time: HeldTime, wait: Patient
) -> None:
    chat = Service(time)
    await subscribe(database, "quality.>", lang="ru", zone="Europe/Moscow")
    await subscribe(database, "runs.>", lang="en")
    await mute(database, time, 3600.0)
    async with delivering(database, {"chat": chat}, time, wording=None):
        await publish(database, quality(1), quality(2), Story().event("started"))
        await until_held(wait, 3)
        wait.step = 600.0
        await until_over(wait)

    (row,) = await select(database, "SELECT message FROM digests")
    digest = from_json(row["message"])
    assert chat.texts()[0] == digest.title
    assert digest.title == "Пауза закончилась: все темы (время вышло). За это время пришли 3 сообщения"  # noqa: RUF001
    assert digest.facts[0] == (
        "21 нояб. 03:00 MSK",
        "предупреждение quality.load.failed: load: проверка price не пройдена: 1 rows",
    )


async def test_the_configurations_language_is_for_whoever_chose_none(
    database: Watched, time: HeldTime, wait: Patient
) -> None:
    chat = Service(time)
    await subscribe(database, "runs.>")
    async with delivering(database, {"chat": chat}, time, wording=None, reader=Reader("ru", "Europe/Lisbon")):
        await publish(database, Story().event("succeeded"))
        await until_over(wait)

    assert chat.texts() == ["load: успешно"]


async def test_the_owner_is_told_once_of_a_broken_template_and_the_message_goes_out(
    database: Watched, time: HeldTime, wait: Patient, tmp_path: Path
) -> None:
    (tmp_path / "run.yaml").write_text("every:\n  title: '{{ data.error / 0 }}'\n", encoding="utf-8")
    own: Own = read_own(tmp_path)
    chat, boss = Service(time), Service(time)
    await subscribe(database, "runs.>")
    channels: dict[str, Any] = {"chat": chat, "boss": boss}
    async with open_inbox(database, time.clock) as inbox:
        channels["inbox"] = inbox
        async with delivering(database, channels, time, wording=None, own=own, owner="boss:x"):
            await publish(database, *(Story(key=f"{n}").event("failed", error="e") for n in range(3)))
            await until_over(wait)
            await wait.until(lambda: len(boss.accepted) == 1)
            await until_over(wait)

    assert chat.texts() == ["load failed"] * 3
    (told,) = boss.texts()
    assert "The template run.yaml, line 2 is broken, and the built-in one stands in for it" in told
    assert len(await select(database, "SELECT id FROM inbox")) == 1
