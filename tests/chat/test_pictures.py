"""A job's last durations as a picture: with a run's details, by `/chart`; and where it cannot be drawn."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from notifiers.channels import telegram_text
from notifiers.message import Attachment, Message
from notifiers.reading import ENGLISH
from sensord.pictures import EXTRA, PictureError
from tests.chat.kit import OWNER, STRANGER, VIEWER, Telegram, telegram
from tests.sources.app_kit import ended, launch
from tests.sources.directory_kit import until

PNG = b"\x89PNG\r\n\x1a\n"


def photos(chat: Telegram, where: int) -> list[dict[str, Any]]:
    return [one for one in chat.double.chats.get(where).messages.values() if "photo" in one]


async def test_the_details_of_a_run_are_followed_by_a_picture_in_the_chats_language(tmp_path: Path) -> None:
    async with telegram(tmp_path) as chat:
        for _ in range(2):
            await launch(chat.app, "load")
        first, *_ = await ended(chat.app, "load", 2)
        chat.double.say(OWNER, f"/why {first['id']}", user=OWNER)
        await chat.heard()
        assert not photos(chat, OWNER), "two runs say no more as a picture"
        await launch(chat.app, "load")
        await ended(chat.app, "load", 3)
        chat.double.people.names[OWNER] = {"language_code": "ru"}
        await chat.ask("/subscribe bp.none")
        chat.double.say(OWNER, f"/why {first['id']}", user=OWNER)
        await until(lambda: bool(photos(chat, OWNER)))

        (photo,) = photos(chat, OWNER)
        assert photo["caption"] == "load: сколько длились последние запуски"
        (about,) = photo["photo"]
        assert (about["width"], about["height"]) == (1080, 645)
        assert chat.double.world.files[about["file_id"]].startswith(PNG)
        await chat.heard()
        assert chat.rows("SELECT count(*) AS n FROM deliveries WHERE status != 'delivered'") == [{"n": 0}]


async def test_nobody_sees_the_picture_of_a_job_that_is_not_theirs(tmp_path: Path) -> None:
    async with telegram(tmp_path) as chat:
        await launch(chat.app, "tell")
        await ended(chat.app, "tell", 1)
        assert "no job tell that you may see" in await chat.ask("/chart tell", user=VIEWER)
        assert "Say of which job" in await chat.ask("/chart")
        assert "No run of load has ended yet" in await chat.ask("/chart load")
        chat.double.say(STRANGER, "/chart tell", user=STRANGER)
        await chat.heard()
        assert not photos(chat, STRANGER)


async def test_without_the_extra_the_details_say_which_one_draws(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with telegram(tmp_path) as chat:
        for _ in range(3):
            await launch(chat.app, "load")
        first, *_ = await ended(chat.app, "load", 3)
        monkeypatch.setitem(sys.modules, "matplotlib", None)
        assert EXTRA in await chat.ask(f"/why {first['id']}")
        assert EXTRA in await chat.ask("/chart load")
        with pytest.raises(PictureError, match="extra of sensord"):
            await chat.app.pictures().draw("load", None, ENGLISH)


async def test_a_drawing_that_fails_is_told_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with telegram(tmp_path) as chat:
        await launch(chat.app, "load")
        await ended(chat.app, "load", 1)
        monkeypatch.setattr(sys, "executable", "/bin/false")
        assert "Drawing it failed" in await chat.ask("/chart load")


def test_any_runs_become_a_picture_a_phone_can_show() -> None:
    start = datetime(2026, 11, 21, tzinfo=UTC)
    words = {"title": "$\\frac{x}$ <b>&" + "\u202e" * 90, "sub": "{}%s", "middle": "{}", "mark": "!", "statuses": {}}
    points = [
        (f"r{n}", seconds, status, (start + timedelta(hours=n)).isoformat())
        for n, (seconds, status) in enumerate(
            [(0.0, "succeeded"), (1e8, "lost"), (0.001, "succeeded"), (5.0, "cancelled"), (60.0, "unheard of")]
        )
    ]
    asked = {"points": points, "mark": "r0", "words": {**words, "lang": "ru", "zone": "Europe/Moscow"}}
    done = subprocess.run(
        [sys.executable, "-m", "sensord.drawing"], input=json.dumps(asked).encode(), capture_output=True, check=True
    )
    assert done.stdout.startswith(PNG)
    assert len(done.stdout) < 200_000
    assert int.from_bytes(done.stdout[16:20], "big") == 1080


def test_a_picture_alone_is_one_part_and_one_that_is_too_big_goes_as_a_file() -> None:
    small, big = (Attachment("x.png", PNG + b"x" * size, picture="x") for size in (10, 10_000_000))

    (part,) = telegram_text.render(Message(title="x", attachments=[small]))
    assert (part.text, list(part.payload)) == ("x", ["photo"])
    assert [list(one.payload) for one in telegram_text.render(Message(title="y", attachments=[small]))] == [
        ["entities"],
        ["photo"],
    ]
    assert list(telegram_text.render(Message(title="x", attachments=[big]))[-1].payload) == ["document"]
