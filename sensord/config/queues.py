"""Queues of notices: what one sensor reads, another does not get."""

from __future__ import annotations

from collections.abc import Iterator

from sensord.config.file import Document
from sensord.config.problems import Loc, Problem, problem
from sensord.config.sections import Config
from sensord.sources.s3 import S3Config


def shared_queues(document: Document, config: Config) -> Iterator[Problem]:
    """Sensors that read a queue which another one reads already: each would take half of the notices."""
    readers: dict[str, str] = {}
    for name, sensor in config.sensors.items():
        if not isinstance(sensor.source, S3Config) or sensor.source.queue_url is None:
            continue
        first = readers.setdefault(sensor.source.queue_url.rstrip("/"), name)
        if first != name:
            loc: Loc = ("sensors", name, "s3", "queue_url")
            words = f"sensor {first} reads this queue too, and each notice reaches but one of its readers"
            hint = (
                "give each sensor a queue of its own, which an SNS topic or an EventBridge rule fills; or make one "
                "sensor of them, with several prefixes or jobs"
            )
            yield problem(document.place(loc), loc, words, hint=hint)
