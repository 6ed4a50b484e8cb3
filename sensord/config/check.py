"""A document that was read → a configuration that can be relied on, or every problem with it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from notifiers.channels import split_destination
from sensord.config.chains import circles, unknown_jobs
from sensord.config.errors import translated
from sensord.config.fields import CHANNELS, NAMED, NO_TARGET
from sensord.config.file import Document
from sensord.config.parts import JobConfig, SensorConfig
from sensord.config.problems import ConfigError, Loc, Problem, did_you_mean, problem
from sensord.config.queues import shared_queues
from sensord.config.secrets import Secrets
from sensord.config.sections import Config
from sensord.config.slices import apart
from sensord.secrets import REDACTOR

Model = TypeVar("Model", bound=BaseModel)


def checked(document: Document) -> Config:
    """The configuration that `document` holds, its paths absolute; ConfigError with all problems if there are any.

    The process's redactor is told every secret first, so that not even a problem can show one.
    """
    secrets = Secrets(document)
    REDACTOR.register(secrets.values())
    problems = list(document.problems)
    config: Config | None = None
    if not document.broken:
        try:
            config = Config.model_validate(document.data)
        except ValidationError as error:
            problems += translated(error, document, secrets)
        problems += _references(document)
        problems += _empty_secrets(document, secrets)
    if config is not None and not problems:
        problems += unknown_jobs(document, config)
        problems += circles(document, config)
        problems += shared_queues(document, config)
        problems += apart(document, config)
    if config is None or problems:
        raise ConfigError(sorted(dict.fromkeys(problems), key=lambda one: (one.file, one.line, one.column)))
    return _absolute(config, document).chosen(document.environment, launches=document.launches)


def _empty_secrets(document: Document, secrets: Secrets) -> Iterator[Problem]:
    for loc, value in secrets.fields.items():
        if value == "" and loc not in document.unread:
            yield problem(document.place(loc), loc, "empty", hint="give it a value or leave the key out")


def _references(document: Document) -> Iterator[Problem]:
    """Names that lead nowhere. Looks at the data as written, so that it needs no valid configuration."""
    data = document.data
    jobs = _names(data, "jobs")
    for name, sensor in _entries(data, "sensors"):
        named = sensor.get("job")
        several = isinstance(named, list)
        for index, job in enumerate(named if isinstance(named, list) else [named]):
            loc: Loc = ("sensors", name, "job", index) if several else ("sensors", name, "job")
            if isinstance(job, str) and job not in jobs and loc not in document.unread:
                yield problem(
                    document.place(loc), loc, f"there is no job {job!r}", hint=did_you_mean(job, jobs, "jobs")
                )
    destinations: list[tuple[Loc, Any]] = [(("owner",), data.get("owner"))]
    subscriptions = data.get("subscriptions")
    for index, entry in enumerate(subscriptions if isinstance(subscriptions, list) else []):
        if isinstance(entry, dict):
            destinations.append((("subscriptions", index, "to"), entry.get("to")))
    for loc, to in destinations:
        if isinstance(to, str) and loc not in document.unread:
            yield from _destination(document, loc, to)


def _destination(document: Document, loc: Loc, to: str) -> Iterator[Problem]:
    try:
        channel, target = split_destination(to)
    except ValueError:
        return  # The field's own check says so.
    place = document.place(loc)
    section = NAMED.get(channel)
    if section is not None and target and target not in (names := _names(document.data, section)):
        yield problem(place, loc, f"there is no {channel} {target!r}", hint=did_you_mean(target, names, section))
    elif channel in CHANNELS and channel not in (*NAMED, *NO_TARGET) and document.data.get(channel) is None:
        yield problem(place, loc, f"{channel} is not configured", hint=f"add a section '{channel}:' with its token")


def _names(data: dict[str, Any], section: str) -> list[str]:
    entries = data.get(section)
    return list(entries) if isinstance(entries, dict) else []


def _entries(data: dict[str, Any], section: str) -> Iterator[tuple[str, dict[str, Any]]]:
    entries = data.get(section)
    if isinstance(entries, dict):
        yield from ((name, entry) for name, entry in entries.items() if isinstance(entry, dict))


def _absolute(config: Config, document: Document) -> Config:
    name = config.database.removeprefix("sqlite:///")
    if name != config.database:
        file = document.folder(("database",)) / name
        config = config.model_copy(update={"database": f"sqlite:///{file}"})
    return _anchored(config, (), document)


def _anchored(model: Model, loc: Loc, document: Document) -> Model:
    """The same model with every relative path in it made absolute, from the folder of the file that holds it."""
    changes = {}
    for name in type(model).model_fields:
        value = getattr(model, name)
        moved = _moved(value, _written_at(model, loc, name), document)
        if moved is not value:
            changes[name] = moved
    return model.model_copy(update=changes) if changes else model


def _written_at(model: BaseModel, loc: Loc, name: str) -> Loc:
    if isinstance(model, JobConfig) and name == "launcher":
        return loc
    if isinstance(model, SensorConfig) and name == "source":
        return (*loc, model.kind)
    return (*loc, name)


def _moved(value: Any, loc: Loc, document: Document) -> Any:
    if isinstance(value, Path):
        return document.folder(loc) / value
    if isinstance(value, BaseModel):
        return _anchored(value, loc, document)
    if isinstance(value, dict):
        return {key: _moved(item, (*loc, key), document) for key, item in value.items()}
    if isinstance(value, list):
        return [_moved(item, (*loc, index), document) for index, item in enumerate(value)]
    return value
