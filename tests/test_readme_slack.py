"""The README's way to make an app of Slack's is the way that works."""

from __future__ import annotations

from pathlib import Path

import yaml

from notifiers.channels.slack_payloads import EVENTS, SCOPES
from sensord.config import load
from tests.doubles.slack_workspace import SCOPES as ASKED_FOR
from tests.test_readme import block


def test_the_manifest_asks_for_what_is_used_and_no_more() -> None:
    manifest = yaml.safe_load(block("test: slack manifest"))
    scopes = manifest["oauth_config"]["scopes"]["bot"]
    assert tuple(scopes) == SCOPES == tuple(sorted(SCOPES))
    assert set(scopes) >= set(ASKED_FOR.values())
    settings = manifest["settings"]
    assert tuple(settings["event_subscriptions"]["bot_events"]) == EVENTS == tuple(sorted(EVENTS))
    assert settings["socket_mode_enabled"] is settings["interactivity"]["is_enabled"] is True
    (command,) = manifest["features"]["slash_commands"]
    assert command["command"] == "/sensord"
    assert manifest["features"]["app_home"]["messages_tab_read_only_enabled"] is False


def test_the_configuration_hears_commands(tmp_path: Path) -> None:
    (tmp_path / "sensord.yaml").write_text(block("test: slack configuration"), encoding="utf-8")
    config = load(tmp_path / "sensord.yaml", {"SLACK_BOT_TOKEN": "xoxb-1", "SLACK_APP_TOKEN": "xapp-1"})
    assert config.slack is not None
    assert config.slack.hears
    assert list(config.chat.granted()) == ["slack:U0123ABC"]
