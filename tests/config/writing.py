"""Writes configuration files for tests and reads them with the real loader."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from textwrap import dedent

import pytest

from sensord.config import Config, ConfigError, Problem, load

JOB = "jobs: {load: {command: [python, load.py]}}\n"
EXAMPLE = """\
database: sqlite:///sensord.db        # or postgresql://user:${PGPASSWORD}@host/db
bus: embedded
http: {host: 127.0.0.1, port: 8300, token: ${SENSORD_TOKEN}}    # any non-loopback host needs a token

telegram: {token: ${TELEGRAM_TOKEN}, api_url: https://api.telegram.org}
slack:    {token: ${SLACK_BOT_TOKEN}, app_token: ${SLACK_APP_TOKEN}, api_url: https://slack.com/api/}

jobs:
  load_houses:
    command: [python, load.py]
    config_schema: {type: object, properties: {path: {type: string}}, required: [path]}
    env: {REGION: eu}
    cwd: etl
    timeout: 30m
    retry: {attempts: 3, backoff: 10s}
    concurrency: 2
    tags: {team: geo}
    hooks: {success: bp.houses.oks, failure: bp.houses.fails, quality: bp.houses.quality}

sensors:
  houses_drop:
    directory: {path: incoming, pattern: "*.csv", recursive: true, settle: 2s}
    job: load_houses
    run_key: "{{ file.name }}"
    run_config: {path: "{{ file.path }}"}
    when: "file.size > 0"

subscriptions:
  - {topic: "bp.houses.>", to: "telegram:-100123456", where: {severity: ">=warning"}}
  - {topic: "runs.*.failed", to: "slack:#data-alerts"}
"""
ENVIRON = {
    "PGPASSWORD": "pg-canary-1",
    "SENSORD_TOKEN": "http-canary-2",
    "TELEGRAM_TOKEN": "123:telegram-canary-3",
    "SLACK_BOT_TOKEN": "xoxb-canary-4",
    "SLACK_APP_TOKEN": "xapp-canary-5",
}


def write(folder: Path, text: str, name: str = "sensord.yaml") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(dedent(text), encoding="utf-8")
    return path


def config(folder: Path, text: str, environ: Mapping[str, str] | None = None) -> Config:
    return load(write(folder, text), environ or {})


def problems(folder: Path, text: str, environ: Mapping[str, str] | None = None) -> list[Problem]:
    with pytest.raises(ConfigError) as caught:
        load(write(folder, text), environ or {})
    assert caught.value.problems
    return caught.value.problems


def said(folder: Path, text: str, environ: Mapping[str, str] | None = None) -> list[str]:
    """The problems as they are printed, the folder left out."""
    return [str(problem).replace(f"{folder}/", "") for problem in problems(folder, text, environ)]
