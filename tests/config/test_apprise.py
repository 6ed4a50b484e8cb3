from __future__ import annotations

from pathlib import Path

import pytest

from sensord.config import ConfigError, json_schema, load
from sensord.secrets import redact

URL = "mailto://robot:planted-mail-password@example.org"


def read(folder: Path, text: str) -> object:
    (folder / "sensord.yaml").write_text(text)
    return load(folder / "sensord.yaml", {"MAIL": URL})


def test_a_service_is_its_url_or_a_mapping_and_its_url_is_a_secret_in_both(tmp_path: Path) -> None:
    for text in ('{team: "${MAIL}"}', '{team: {url: "${MAIL}", timeout: 5s}}', f'{{team: "{URL}"}}'):
        subscription = 'subscriptions: [{topic: "runs.>", to: "apprise:team"}]'
        config = read(tmp_path, f"apprise: {text}\n{subscription}\n")
        assert "planted" not in repr(config)
        assert redact(f"posted to {URL}") == "posted to ***"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("apprise: {team: planted-no-url}", ["apprise", "SERVICE://"]),
        ("apprise: {team: {uri: x}}", ["uri", "url"]),
        (f'apprise: {{team: "{URL}"}}\nowner: "apprise:taem"', ["there is no apprise 'taem'", "team"]),
        ('owner: "apprise:team"', ["there is no apprise 'team'"]),
        ('owner: "apprise:"', ["names no target"]),
    ],
)
def test_what_is_wrong_is_said_without_the_url(tmp_path: Path, text: str, words: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, f"{text}\n")
    said = str(caught.value)
    assert "planted" not in said
    for word in words:
        assert word in said, said


def test_editors_are_told_of_both_forms() -> None:
    schema = json_schema()
    assert "apprise" in schema["properties"]
