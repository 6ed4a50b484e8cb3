"""Who is taken out of the configuration's roles: their own chat is told nothing more, groups stay, the owner knows."""

from __future__ import annotations

from pathlib import Path

from notifiers.chat import Person
from notifiers.chat.people import Invite, add_invites, use_invite
from notifiers.subscriptions import Wanted, add_subscriptions
from rules.rights import Grant, Role
from sensord.app import App
from tests.conftest import rows
from tests.sources.app_kit import running
from tests.sources.directory_kit import until

BOTH = "chat: {roles: {owner: [telegram:1], viewer: [telegram:2, slack:U2], operator: [telegram:3]}}"
ONE = "chat: {roles: {owner: [telegram:1]}}"


async def subscribe(app: App, *destinations: str) -> None:
    for number, to in enumerate(destinations):
        one = Wanted(id=app.clock.new_id(), topic=f"bp.t{number}", destination=to, at=1, where={})
        await app.database.write(add_subscriptions, one)


def told(app: App) -> list[str]:
    return [one["destination"] for one in rows(app.database, "SELECT * FROM subscriptions WHERE ended_at IS NULL")]


async def test_the_own_chat_of_who_lost_the_role_is_told_no_more_and_the_owner_knows(
    tmp_path: Path, database_url: str
) -> None:
    group = "telegram:-1001"
    async with running(tmp_path, BOTH, database_url) as app:
        await subscribe(app, "telegram:2", "telegram:2/7", "slack:U2", group, "telegram:1", "telegram:9", "telegram:3")
        await app.database.write(add_invites, Invite(token="t", grant=Grant(Role.viewer), now=1, expires_at=9))
        assert await app.database.write(
            lambda conn, _: [use_invite(conn, "t", Person("telegram:3", "Guest"), guest="g", now=2)], None
        )
    config = f"{ONE}\nsubscriptions: [{{topic: 'bp.>', to: 'telegram:2'}}]\ntelegram: {{token: '1:a', commands: false}}"
    async with running(
        tmp_path, config.replace("telegram: {", "telegram: {api_url: 'http://127.0.0.1:9', "), database_url
    ) as app:
        # Another's chat that a program subscribed, the group, the guest and what the configuration says stay.
        assert sorted(told(app)) == sorted([group, "telegram:1", "telegram:9", "telegram:3", "telegram:2"])
        await until(
            lambda: (
                len(rows(app.database, "SELECT id FROM inbox WHERE title LIKE '%is told of nothing any more%'")) == 2
            )
        )
        acts = rows(
            app.database, "SELECT person, place, allowed, detail FROM chat_acts WHERE act = 'ended' ORDER BY id"
        )
        assert [(one["person"], one["place"]) for one in acts] == [("slack:U2",) * 2, ("telegram:2",) * 2]
        assert "bp.t0, bp.t1" in acts[1]["detail"]
        to = rows(app.database, "SELECT DISTINCT d.destination AS d FROM deliveries d JOIN events e ON e.id = d.event "
                                "WHERE e.topic = 'chat.ended'")  # fmt: skip
        assert [one["d"] for one in to] == ["inbox:"]


async def test_the_same_configuration_ends_nothing_and_who_comes_back_begins_anew(tmp_path: Path) -> None:
    async with running(tmp_path, BOTH) as app:
        await subscribe(app, "telegram:2")
    async with running(tmp_path, BOTH) as app:
        assert told(app) == ["telegram:2"]
    async with running(tmp_path, ONE) as app:
        assert told(app) == []
    async with running(tmp_path, BOTH) as app:
        assert told(app) == []
        assert len(rows(app.database, "SELECT id FROM chat_acts")) == 1
