"""The README's words about reading hold as they stand there."""

from __future__ import annotations

from pathlib import Path

from notifiers.message import Pre
from notifiers.reading.checking import check_templates
from notifiers.reading.samples import SAMPLES
from notifiers.reading.templates import Templates, read_own
from sensord.config import load
from tests.test_readme import block


def test_the_configuration_and_the_template_are_taken_as_they_stand(tmp_path: Path) -> None:
    (tmp_path / "sensord.yaml").write_text(block("test: reading configuration"), encoding="utf-8")
    config = load(tmp_path / "sensord.yaml", {})
    assert config.templates == tmp_path / "wording"
    assert config.subscriptions[0].options == {"lang": "ru", "zone": "Europe/Lisbon"}
    config.templates.mkdir()
    (config.templates / "run.yaml").write_text(block("test: reading template"), encoding="utf-8")

    assert not check_templates(config.templates)
    message = Templates(read_own(config.templates)).voice().message(SAMPLES["run.failed"])
    assert message.title == "load_houses needs you"
    assert ("took", "1 min 23 s") in message.facts
    assert [block.title for block in message.body if isinstance(block, Pre)] == ["end of the log"]
