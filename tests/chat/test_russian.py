"""Whoever uses a chat in Russian is answered in Russian: every command, its refusals, its questions and its buttons."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from notifiers.chat import floods
from rules.conditions import FIELDS
from rules.event import Severity
from tests.chat.kit import GROUP, OWNER, STRANGER, VIEWER, Telegram, telegram
from tests.chat.pressing import failed, messages, now, toasts
from tests.chat.test_run_dialogue import JOBS as WITH_PARAMETERS
from tests.chat.test_run_dialogue import ROLES, choose
from tests.sources.app_kit import ended, launch
from tests.sources.directory_kit import until

NAMES = {"ru", "en", "all", "off", "limit", "UTC", "MSK", "JSON", "sensord", "true", "false", "eu", "us", "load", "job"}
NAMES |= {
    "extract",
    "plain",
    "which",
    "file",
    "path",
    "region",
    "rows",
    "force",
    "lang",
    "where",
    "code",
    "exit",
    "id",
    "zzz",
    "tell",
    "severity",
}
"""Words of the tests' own configuration, and what is typed as it is."""

ENGLISH = re.compile(r"(?<![\w.>/=:@*-])[A-Za-z]{2,}(?![\w.>/=:@*-])")


def english(text: str) -> list[str]:
    """English words in an answer: no command, no topic, no id, no list of what may be typed."""
    for typed in (", ".join(FIELDS), ", ".join(Severity.__members__)):
        text = text.replace(typed, "")
    return [
        word for word in ENGLISH.findall(re.sub(r"`[^`]*`|'[^']*'|\[[^\]]*=[^\]]*\]", "", text)) if word not in NAMES
    ]


async def speak_russian(it: Telegram, *people: int) -> None:
    for person in people:
        it.double.people.names[person] = {"language_code": "ru", "first_name": "Анна"}


async def test_every_command_is_answered_in_russian_before_and_after_there_is_a_subscription(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(floods, "ANSWERS", 1000)
    async with telegram(tmp_path) as it:
        await speak_russian(it, OWNER)
        asked = (
            "/help", "/subs", "/topics", "/topics zzz", "/topics bp..x", "/status", "/runs", "/runs extract limit=5",
            "/runs limit=x", "/run", "/run zzz", "/why", "/why zzz", "/log", "/log zzz", "/mute", "/mute soon",
            "/mute 90d", "/unmute", "/quiet", "/quiet 25:00-08:00", "/quiet 08:00-08:00", "/lang", "/lang de",
            "/lang ru Mars/Base",
            "/cancel", "/zzz", "/subscrib", "/subscribe", "/subscribe bp.>.x", "/subscribe bp.> sevrity=error",
            "/subscribe bp.> warning", "/subscribe bp.> severity>=loud", "/subscribe bp.> limit=5", "/unsubscribe",
            "/unsubscribe bp.>", "/chart", "/chart zzz", "/start", "hello",
            "/subscribe bp.> severity>=warning", "/subscribe bp.> severity>=warning", "/subs", "/test", "/mute 2h bp.>",
            "/mute", "/unmute", "/quiet 22:00-08:00 Europe/Moscow", "/quiet off", "/unsubscribe all", "/lang",
        )  # fmt: skip
        left = {text: words for text in asked if (words := english(await it.ask(text)))}
        assert left == {}


async def test_a_run_is_told_of_asked_about_and_pressed_in_russian(tmp_path: Path) -> None:
    roles = "\n  roles: {owner: [telegram:1]}\n"
    async with telegram(tmp_path, roles=roles) as it:
        await speak_russian(it, OWNER)
        await it.ask("/subscribe runs.*.failed")
        await launch(it.app, "extract", code=3)
        await ended(it.app, "extract", 1)
        await until(lambda: any("extract: ошибка" in one.text and one.buttons for one in messages(it, OWNER)))
        seen = next(one for one in messages(it, OWNER) if one.buttons)
        assert set(seen.buttons) == {"Подробнее", "Журнал", "Повторить", "Принято", "Тишина до исправления"}
        it.double.press(OWNER, seen.id, seen.buttons["Принято"], user=OWNER)
        await until(lambda: "Принято: Анна" in now(it, seen).text)
        await until(lambda: len(toasts(it)) == 1)
        it.double.press(OWNER, seen.id, seen.buttons["Принято"], user=OWNER)
        await until(lambda: len(toasts(it)) == 2)
        assert toasts(it) == ["Принято к сведению.", "Уже принято: Анна."]
        for text in ("/why", "/runs", "/status", "/topics"):
            answer = await it.ask(text)
            assert not english(answer), answer
        assert "запрошен запуск" in await it.ask("/why")
        assert "extract: ошибка" in await it.ask("/why")


async def test_the_questions_of_run_are_russian_and_so_are_their_buttons(tmp_path: Path) -> None:
    async with telegram(tmp_path, roles=ROLES, jobs=WITH_PARAMETERS) as it:
        await speak_russian(it, OWNER)
        answers = [await it.ask("/run load"), await it.ask("a"), await it.ask("a.csv"), await choose(it, "eu")]
        answers += [await choose(it, "По умолчанию: 100"), await choose(it, "Пропустить")]
        assert "Запустить load?" in answers[-1]
        answers.append(await choose(it, "Запустить"))
        assert {text: words for text in answers if (words := english(text))} == {}
        assert "Нажмите" not in answers[-1]


async def test_a_stranger_and_a_viewer_are_refused_in_their_language(tmp_path: Path) -> None:
    async with telegram(tmp_path) as it:
        await speak_russian(it, STRANGER, VIEWER)
        assert "роли у вас здесь пока нет" in await it.ask("/subs", user=STRANGER)  # noqa: RUF001 - Russian
        assert "Вам можно подписаться" in await it.ask("/subscribe quality.>", user=VIEWER)
        assert "You may subscribe" not in await it.ask("/run load", user=VIEWER)
        it.double.people.names.pop(VIEWER)
        assert "only commands" in (await it.ask("hello", user=VIEWER)).casefold()


async def test_a_chat_keeps_the_language_that_was_asked_for_and_its_subscriptions_say_it_first(tmp_path: Path) -> None:
    async with telegram(tmp_path) as it:
        it.double.chats.add(GROUP, kind="supergroup")
        it.double.people.members[GROUP, OWNER] = "administrator"
        assert "told of nothing yet" in await it.ask("/subs", chat=GROUP)
        assert "на русском" in await it.ask("/lang ru Europe/Moscow", chat=GROUP)
        assert it.subscribed() == []
        assert "пока ни о чём" in await it.ask("/subs", chat=GROUP)  # noqa: RUF001 - Russian
        assert "told of nothing yet" in await it.ask("/subs")
        await it.ask("/subscribe bp.>", chat=GROUP)
        assert it.rows("SELECT options FROM subscriptions") == [{"options": '{"lang":"ru","zone":"Europe/Moscow"}'}]
        assert "Messages here are in English" in await it.ask("/lang en", chat=GROUP)
        assert "1 subscription" in await it.ask("/subs", chat=GROUP)


async def test_a_press_is_answered_in_the_language_of_its_chat(tmp_path: Path) -> None:
    async with telegram(tmp_path, roles=ROLES.replace("runs.load.*", ">")) as it:
        await speak_russian(it, OWNER)
        it.double.people.names[VIEWER] = {"language_code": "en"}
        await it.ask("/subscribe runs.*.failed lang=en")
        seen = await failed(it)
        it.double.press(OWNER, seen.id, seen.buttons["Acknowledge"], user=OWNER)
        await until(lambda: toasts(it) == ["Acknowledged."])


async def test_why_nobody_was_told_is_said_in_russian(tmp_path: Path) -> None:
    roles = "\n  roles: {owner: [telegram:1]}\n"
    async with telegram(tmp_path, roles=roles) as it:
        await speak_russian(it, OWNER)
        await it.ask("/subscribe runs.*.failed severity>=critical")
        await launch(it.app, "extract", code=3)
        await ended(it.app, "extract", 1)
        await until(lambda: it.rows("SELECT id FROM deliveries WHERE status = 'suppressed'"))
        (run,) = it.rows("SELECT id FROM runs")
        answer = await it.ask(f"/why {run['id']}")
        assert "не отправлялось: severity error — ниже critical" in answer
        assert not english(answer.replace("severity error — ниже critical", "")), answer
