from __future__ import annotations

from pathlib import Path

import pytest

from sensord.app import open_app
from tests.config.writing import config, said
from tests.conftest import rows
from tests.sources.app_kit import configured

TEXT = """
subscriptions:
  - {topic: "bp.>", to: "inbox:", after: 3, quiet: "22:00-8:00 Europe/Lisbon", digest: "daily 09:00 Europe/Lisbon"}
  - {topic: "runs.>", to: "inbox:"}
quiet: {"inbox:": "23:00-07:00 UTC"}
"""


def test_how_a_subscription_is_told_is_read(tmp_path: Path) -> None:
    first, second = config(tmp_path, TEXT).subscriptions
    assert first.options == {"after": 3, "quiet": "22:00-08:00 Europe/Lisbon", "digest": "daily 09:00 Europe/Lisbon"}
    assert second.options == {}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('subscriptions: [{topic: a, to: "inbox:", quiet: at night}]', "write when quiet begins"),
        ('subscriptions: [{topic: a, to: "inbox:", quiet: "22:00-08:00 Mars"}]', "there is no time zone 'Mars'"),
        ('subscriptions: [{topic: a, to: "inbox:", digest: often}]', "write hourly, daily 09:00"),
        ('subscriptions: [{topic: a, to: "inbox:", after: 0}]', "subscriptions[0].after"),
        ('quiet: {"pigeon:1": "22:00-08:00 UTC"}', "pigeon"),
        ("bursts: never", "bursts"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, text: str, words: str) -> None:
    assert words in "\n".join(said(tmp_path, text))


async def test_the_configuration_is_what_holds_after_a_start_and_a_users_quiet_hours_stay(
    tmp_path: Path, database_url: str
) -> None:
    async def start(text: str, more: str = "") -> tuple[list[tuple[str, str | None]], list[tuple[str, str]]]:
        async with open_app(configured(tmp_path, f"database: {database_url}\n{text}")) as app:
            if more:
                with app.database.engine.begin() as conn:
                    conn.exec_driver_sql(more)
            subs = rows(app.database, "SELECT topic, options FROM subscriptions WHERE ended_at IS NULL ORDER BY topic")
            quiet = rows(app.database, "SELECT destination, hours FROM quiet_hours ORDER BY destination")
            return [(row["topic"], row["options"]) for row in subs], [
                (row["destination"], row["hours"]) for row in quiet
            ]

    own = "INSERT INTO quiet_hours VALUES ('telegram:1', '01:00-02:00 UTC', 'user', 'telegram:1', 0)"
    subscriptions, quiet = await start(TEXT, own)
    options = '{"after":3,"digest":"daily 09:00 Europe/Lisbon","quiet":"22:00-08:00 Europe/Lisbon"}'
    assert subscriptions == [("bp.>", options), ("runs.>", None)]
    assert quiet == [("inbox:", "23:00-07:00 UTC"), ("telegram:1", "01:00-02:00 UTC")]
    changed = TEXT.replace("after: 3, ", "").replace("23:00", "22:00")
    subscriptions, quiet = await start(changed)
    assert subscriptions[0] == ("bp.>", options.replace('"after":3,', ""))
    assert quiet[0] == ("inbox:", "22:00-07:00 UTC")
    assert await start('subscriptions: [{topic: "bp.>", to: "inbox:"}]') == (
        [("bp.>", None)],
        [("telegram:1", "01:00-02:00 UTC")],
    )
