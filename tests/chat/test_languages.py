"""`/lang`, and `lang=` behind `/subscribe`: a chat is told in its own language, by its own clock."""

from __future__ import annotations

from pathlib import Path

import orjson

from tests.chat.kit import ADMIN, GROUP, OWNER, STRANGER, Telegram, telegram


def options(chat: Telegram) -> list[dict[str, str]]:
    rows = chat.rows("SELECT options FROM subscriptions WHERE ended_at IS NULL ORDER BY id")
    return [orjson.loads(row["options"] or "{}") for row in rows]


async def test_a_new_subscription_takes_the_persons_language_and_lang_changes_it(tmp_path: Path) -> None:
    async with telegram(tmp_path) as chat:
        chat.double.people.names[OWNER] = {"language_code": "ru-RU"}
        await chat.ask("/subscribe bp.> severity>=warning")
        assert options(chat) == [{"lang": "ru"}]
        await chat.ask("/subscribe runs.> zone=Europe/Lisbon lang=en")
        assert options(chat)[1] == {"lang": "en", "zone": "Europe/Lisbon"}
        answer = await chat.ask("/lang ru Europe/Moscow")
        assert "Сообщения здесь — на русском, время по часам Europe/Moscow" in answer
        assert options(chat) == [{"lang": "ru", "zone": "Europe/Moscow"}] * 2
        assert "на русском" in await chat.ask("/lang")
        assert "by the clock of Europe/Moscow" in await chat.ask("/lang en")
        await chat.ask("/subscribe bp.> severity>=warning lang=ru")
        assert [one["lang"] for one in options(chat)] == ["ru", "en"]


async def test_a_language_that_there_is_not_and_people_who_may_not_choose_are_refused(tmp_path: Path) -> None:
    async with telegram(tmp_path) as chat:
        chat.double.people.names[OWNER] = {"language_code": "pt-br"}
        assert "there is no language 'de'" in (await chat.ask("/lang de")).casefold()
        assert "did you mean 'Europe/Lisbon'" in await chat.ask("/subscribe bp.> zone=Europe/Lisbonn")
        assert chat.subscribed() == []
        await chat.ask("/subscribe bp.>")
        assert options(chat) == [{}]
        chat.double.say(STRANGER, "/lang ru", user=STRANGER)
        await chat.heard()
        assert options(chat) == [{}]


async def test_a_group_is_told_in_another_language_by_its_administrator_alone(tmp_path: Path) -> None:
    roles = "\n  roles: {owner: [telegram:1], viewer: [telegram:4]}\n"
    async with telegram(tmp_path, roles=roles) as chat:
        chat.double.chats.add(GROUP, kind="supergroup")
        chat.double.people.members[GROUP, ADMIN] = "administrator"
        await chat.ask("/subscribe bp.>", chat=GROUP, user=ADMIN)
        assert "administrators" in await chat.ask("/lang ru", chat=GROUP, user=OWNER)
        assert "на русском" in await chat.ask("/lang ru", chat=GROUP, user=ADMIN)
        assert options(chat) == [{"lang": "ru"}]
