from __future__ import annotations

from pathlib import Path

import pytest

from sensord.config import ConfigError, load
from sensord.doctor import examine


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "token: xoxb-planted-1, app_token: xoxb-planted-2",
            ["slack.app_token", "begins with xapp-", "connections:write"],
        ),
        ("token: xapp-planted-1", ["slack.token", "write it as app_token"]),
        ("token: xoxb-planted-1, signing_secret: xapp-planted-2", ["slack.signing_secret", "App Credentials"]),
        ("token: xoxb-planted-1, app_token: ''", ["slack.app_token", "empty"]),
        ("token: xoxb-planted-1, app_tokne: x", ["did you mean 'app_token'"]),
        ("app_token: xapp-planted-1", ["slack.token: missing"]),
    ],
)
def test_a_secret_in_the_wrong_place_is_said_with_what_to_do_and_not_shown(
    tmp_path: Path, text: str, words: list[str]
) -> None:
    (tmp_path / "sensord.yaml").write_text(f"slack: {{{text}}}\n")
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "sensord.yaml", {})
    assert "planted" not in str(caught.value)
    for word in words:
        assert word in str(caught.value), str(caught.value)


@pytest.mark.parametrize(
    ("text", "hears"),
    [
        ("", False),
        ("app_token: xapp-1", True),
        ("signing_secret: 8f742231b10e", True),
        ("app_token: xapp-1, commands: false", False),
    ],
)
def test_commands_are_heard_where_there_is_a_way_and_they_are_wanted(tmp_path: Path, text: str, hears: bool) -> None:
    (tmp_path / "sensord.yaml").write_text(f"slack: {{token: xoxb-1, {text}}}\n")
    found = load(tmp_path / "sensord.yaml", {}).slack
    assert found is not None
    assert found.hears is hears


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("slack: {token: xoxb-1}", ["commands are not heard: set slack.app_token, or slack.commands: false"]),
        ("slack: {token: xoxb-1, commands: false}", []),
        ("slack: {token: xoxb-1, app_token: xapp-1}", ["commands are heard through Socket Mode"]),
        (
            "slack: {token: xoxb-1, signing_secret: abc}",
            ["commands are heard as requests to /api/slack/…; names in http.allowed_hosts: none: add the name that"],
        ),
        (
            "slack: {token: xoxb-1, signing_secret: abc}\nhttp: {allowed_hosts: [sensord.example]}",
            ["commands are heard as requests to /api/slack/…; names in http.allowed_hosts: sensord.example"],
        ),
        ("", []),
    ],
)
def test_the_doctor_says_how_commands_are_heard_or_that_they_are_not(
    tmp_path: Path, text: str, said: list[str]
) -> None:
    (tmp_path / "sensord.yaml").write_text(f"{text}\n")
    found = [one for one in examine(load(tmp_path / "sensord.yaml", {})) if one.what == "slack"]
    assert [one.text[: len(start)] for one, start in zip(found, said, strict=True)] == said
    assert all(one.well for one in found)
