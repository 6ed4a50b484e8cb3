"""Queues of notices, of which each has one reader."""

from __future__ import annotations

from pathlib import Path

from tests.config.writing import config, said

URL = "https://sqs.eu-west-1.amazonaws.com/123456789012"


def sensor(name: str, bucket: str, queue: str) -> str:
    return f"  {name}:\n    s3: {{bucket: {bucket}, queue_url: '{URL}/{queue}'}}\n    job: load\n"


def sensors(*of: str) -> str:
    return "jobs: {load: {command: [x]}}\nsensors:\n" + "".join(of)


def test_two_sensors_that_read_one_queue_are_refused(tmp_path: Path) -> None:
    [line] = said(tmp_path, sensors(sensor("a", "data", "q"), sensor("b", "other", "q/"), sensor("c", "data", "r")))
    assert line.startswith("sensord.yaml:7:")
    assert "sensors.b.s3.queue_url: sensor a reads this queue too, and each notice reaches but one" in line
    assert "give each sensor a queue of its own" in line


def test_two_sensors_with_a_queue_each_are_taken(tmp_path: Path) -> None:
    text = sensors(sensor("a", "data", "q"), sensor("b", "data", "r"), "  c: {s3: {bucket: data}, job: load}\n")
    assert set(config(tmp_path, text).sensors) == {"a", "b", "c"}
