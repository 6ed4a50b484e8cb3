"""What each job's run_config is to be: written down, or said by what runs it, which is asked when it is first needed.

A model or a function is read by a process of its own, for the daemon never imports people's code, and again once a
file that it was read from has changed. A Dagster job is asked of its instance; while that is away nothing is known of
it, and nothing is refused; its fields are shown by names, as `sensord.launchers.dagster_parameters` has them. What is
not written down is the runner's to judge: it drives questions, completion and the checks of what somebody asks for, and
is no reason by itself to fail what a sensor has asked for.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from notifiers.clock import Clock
from sensord.launchers.dagster import DagsterJobConfig
from sensord.launchers.python import PythonConfig
from sensord.schema_reading import DagsterFields, DagsterSchema, ModuleSchema, Schema, SchemaUnreadableError, Source

if TYPE_CHECKING:
    from sensord.config import Config, JobConfig

log = logging.getLogger(__name__)


class Fields(Protocol):
    """Names for what lies deep in a run_config."""

    def shown(self, schema: Schema | None) -> Schema | None:
        """The schema with such names."""
        ...

    def judged(self, config: Any) -> Any:
        """A run_config without them, as what runs it takes it."""
        ...


class JobSchema:
    """What one job's run_config is to be. `written`: somebody wrote it down, so that every run has to keep to it."""

    def __init__(
        self,
        source: Source | None,
        *,
        written: bool,
        names_only: bool = False,
        known: Schema | None = None,
        fields: Fields | None = None,
    ) -> None:
        self._source = source
        self._fields = fields
        self._shown: tuple[Schema | None, Schema | None] = (None, None)
        self._written = written
        self._names_only = names_only
        self._known = known
        self._validators: tuple[Schema | None, Any] = (None, None)

    @property
    def known(self) -> Schema | None:
        """What was read last, as it is shown."""
        if self._fields is None:
            return self._known
        if self._shown[0] is not self._known:
            self._shown = (self._known, self._fields.shown(self._known))
        return self._shown[1]

    async def now(self) -> Schema | None:
        """As it is now; None where there is none, or where it cannot be had."""
        try:
            await self._read()
        except SchemaUnreadableError as error:
            log.warning("config_schema.unreadable", extra={"reason": str(error)})
            return None
        return self.known

    @property
    def of_a_module(self) -> bool:
        """Whether it is read from a module of somebody's."""
        return isinstance(self._source, ModuleSchema)

    async def trouble(self) -> str | None:
        """Why it cannot be read now; None where it can, or where nothing has to be."""
        try:
            await self._read()
        except SchemaUnreadableError as error:
            return str(error)
        return None

    async def refusal(self, config: Any) -> str | None:
        """Why somebody who asks for a run with this run_config gets none; None where they do."""
        try:
            schema = await self._read()
        except SchemaUnreadableError as error:
            return f"config_schema: {error}" if self._written else None
        if schema is None or (not self._written and not self._names_only and not config):
            return None  # Dagster may have a config of its own for a run that is given none.
        judged = config if self._fields is None else self._fields.judged(config)
        found = self._validator(schema).iter_errors(with_defaults(schema, judged))
        if self._names_only:  # A value is converted by its annotation, which takes more than a schema can say.
            found = (one for one in found if not one.path and one.validator in ("required", "additionalProperties"))
        from jsonschema.exceptions import best_match

        first = best_match(found)
        return None if first is None else f"{first.json_path}: {first.message}"

    async def at_launch(self, config: Any) -> str | None:
        """Why a run of whoever asked for it is not started; None where it is."""
        return await self.refusal(config) if self._written else None

    async def completed(self, config: Any) -> Any:
        """With the defaults that are written down; what runs it knows its own."""
        return with_defaults(await self.now(), config) if self._written else config

    async def _read(self) -> Schema | None:
        if self._source is not None:
            self._known = await self._source.read()
        return self._known

    def _validator(self, schema: Schema) -> Any:
        if self._validators[0] is not schema:
            from jsonschema import Draft202012Validator

            self._validators = (schema, Draft202012Validator(schema))
        return self._validators[1]


def with_defaults(schema: Schema | None, config: Any) -> Any:
    """The same, and the default of each property that it does not have."""
    properties = schema.get("properties") if isinstance(schema, Mapping) else None
    if not isinstance(properties, Mapping) or not isinstance(config, Mapping):
        return config
    missing = {
        name: one["default"]
        for name, one in properties.items()
        if name not in config and isinstance(one, Mapping) and "default" in one
    }
    return {**config, **missing} if missing else config


def job_schemas(config: Config, *, clock: Clock) -> dict[str, JobSchema]:
    """Of every job, by its name. Nothing is asked before it is needed."""
    return {name: _of_job(job, clock) for name, job in config.jobs.items()}


def _of_job(job: JobConfig, clock: Clock) -> JobSchema:
    given, launcher = job.config_schema, job.launcher
    if isinstance(given, dict):
        return JobSchema(None, written=True, known=given)
    if given is not None:
        env, path = _place(launcher)
        return JobSchema(ModuleSchema(given.name, path or given.path, env, clock), written=True)
    if isinstance(launcher, PythonConfig):
        env, path = _place(launcher)
        called = ModuleSchema(launcher.python, path or Path(), env, clock, resources=tuple(launcher.resources))
        return JobSchema(called, written=False, names_only=True)
    if isinstance(launcher, DagsterJobConfig) and launcher.dagster.run_config == "{{ run.config }}":
        return JobSchema(DagsterSchema(launcher, clock), written=False, fields=DagsterFields())
    return JobSchema(None, written=False)


def _place(launcher: Any) -> tuple[Mapping[str, str], Path | None]:
    """The environment and the folder in which the job's own module is imported."""
    return (launcher.env, launcher.path) if isinstance(launcher, PythonConfig) else ({}, None)
