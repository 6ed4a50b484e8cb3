"""Jobs and sensors: what they share, and the one part of each that says how a job starts and what is looked at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Self

from msgspec import Struct
from pydantic import Field, GetJsonSchemaHandler, SerializeAsAny, ValidationError, field_validator, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError

from notifiers.settings import Settings
from rules.keys import KeyRule, Policy
from sensord.config.fields import (
    Checks,
    Column,
    ConfigSchema,
    Count,
    Pause,
    Period,
    Priority,
    Topic,
    TreeTemplate,
)
from sensord.launchers.command import CommandConfig
from sensord.launchers.dagster import DagsterJobConfig
from sensord.launchers.http import HttpConfig
from sensord.launchers.python import PythonConfig as PythonJobConfig
from sensord.partitions import PartitionsConfig
from sensord.secrets import redact
from sensord.sources.dagster import DagsterConfig
from sensord.sources.directory import DirectoryConfig
from sensord.sources.lineage import LineageConfig
from sensord.sources.python import PythonConfig
from sensord.sources.runs import RunsConfig
from sensord.sources.s3 import S3Config
from sensord.sources.schedule import ScheduleConfig
from sensord.sources.topic import TopicConfig
from sensord.templated import Expression, TextTemplate

# Adding a launcher or a source is one line here: the key that names it, and its model. A launcher's fields stand
# among the job's own, the key being one of them; a source's stand below the key.
LAUNCHERS: tuple[tuple[str, type[Settings]], ...] = (
    ("command", CommandConfig),
    ("dagster", DagsterJobConfig),
    ("http", HttpConfig),
    ("python", PythonJobConfig),
)
SOURCES: tuple[tuple[str, type[Settings]], ...] = (
    ("dagster", DagsterConfig),
    ("directory", DirectoryConfig),
    ("lineage", LineageConfig),
    ("python", PythonConfig),
    ("runs", RunsConfig),
    ("s3", S3Config),
    ("schedule", ScheduleConfig),
    ("topic", TopicConfig),
)


class _Chosen(Struct, frozen=True):
    """The part's kinds that were found, and its raw values, on their way through pydantic."""

    kinds: tuple[str, ...]
    values: Mapping[str, Any]


class RetryConfig(Settings):
    """How often a run is attempted, and how long between two attempts: doubling, with jitter."""

    attempts: int = Field(default=1, ge=1, le=100, description="how often a run is attempted at most; 1 is no retry")
    backoff: Pause = Field(default=10.0, description="before the second attempt; doubles with each further one")
    max_backoff: Pause = Field(default=600.0, description="the longest pause between two attempts")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.max_backoff < self.backoff:
            raise ValueError("max_backoff is shorter than backoff; raise it")
        return self


class HooksConfig(Settings):
    """Topics that a job's events are published on besides their own."""

    success: Topic | None = Field(default=None, description="topic of runs that succeeded")
    failure: Topic | None = Field(default=None, description="topic of runs that failed or were lost")
    quality: Topic | None = Field(default=None, description="topic of the results of data checks")


class JobConfig(Settings):
    """One job: exactly one launcher, with its fields, and what all jobs have."""

    launcher: SerializeAsAny[Settings] = Field(description="the part model of the one launcher")
    config_schema: ConfigSchema | None = Field(
        default=None,
        description="what run_config is: a JSON Schema (2020-12), or module:Model or module:function; default: what a "
        "Python function's signature or a Dagster job's ops say",
    )
    timeout: Period | None = Field(default=None, description="an attempt that takes longer is ended and has failed")
    retry: RetryConfig = Field(default_factory=RetryConfig)
    concurrency: Count | None = Field(
        default=None, description="how many runs of this job at a time; default: no limit"
    )
    priority: Priority = Field(default=0, description="higher goes first among queued runs")
    tags: dict[str, str] = Field(default_factory=dict, description="given to every run of this job")
    hooks: HooksConfig = Field(default_factory=HooksConfig)
    partitions: PartitionsConfig | None = Field(
        default=None, description="the slices that its data comes in; default: those of a schedule that starts it"
    )
    checks: Checks | None = Field(default=None, description="what its file undergoes before a run is started")
    mask: list[Column] = Field(
        default_factory=list, description="columns whose values no message and no table shows; globs"
    )

    @property
    def kind(self) -> str:
        """The key that names the launcher, e.g. `command`."""
        return _kind(self.launcher, LAUNCHERS)

    def __repr__(self) -> str:
        """Without secrets: a launcher's `env` is text to pydantic, and may well hold one."""
        return redact(super().__repr__())

    @model_validator(mode="before")
    @classmethod
    def _gather(cls, data: Any) -> Any:
        if not isinstance(data, dict) or isinstance(data.get("launcher"), Settings):
            return data
        _refuse_key("launcher", data)
        kinds = tuple(kind for kind, _ in LAUNCHERS if kind in data)
        models = [model for kind, model in LAUNCHERS if not kinds or kind in kinds]
        names = {name for model in models for name in model.model_fields} | set(kinds)
        rest = {key: value for key, value in data.items() if key not in names}
        return rest | {"launcher": _Chosen(kinds, {key: data[key] for key in data if key in names})}

    @field_validator("launcher", mode="plain")
    @classmethod
    def _one_launcher(cls, value: Any) -> Settings:
        if not isinstance(value, _Chosen):
            return _part(value)
        kind = _only(value.kinds, LAUNCHERS, "launcher", "job")
        return dict(LAUNCHERS)[kind].model_validate(value.values)

    @classmethod
    def written_fields(cls, values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
        """The keys that may stand in such a mapping, with their annotations; all launchers' if it names none."""
        kinds = [kind for kind, _ in LAUNCHERS if kind in values]
        for kind, model in LAUNCHERS:
            if not kinds or kind in kinds:
                yield from ((name, field.annotation) for name, field in model.model_fields.items())
        yield from ((name, field.annotation) for name, field in cls.model_fields.items() if name != "launcher")

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """The mapping as it is written: the launchers' fields among the job's own."""
        schema = handler.resolve_ref_schema(handler(core))
        own = {name: value for name, value in schema["properties"].items() if name != "launcher"}
        owners: dict[str, list[str]] = {}
        for kind, model in LAUNCHERS:
            part = handler.resolve_ref_schema(handler(model.__pydantic_core_schema__))
            for name, value in part["properties"].items():
                held = own.get(name, value)
                own[name] = value if held == value else {"anyOf": [held, value]}
                if name != kind:
                    owners.setdefault(name, []).append(kind)
        needs = {name: {"anyOf": [{"required": [kind]} for kind in kinds]} for name, kinds in owners.items()}
        return _written(schema, own, [kind for kind, _ in LAUNCHERS], []) | {"dependentSchemas": needs}


class KeysConfig(Settings):
    """Who may take a run_key that is held. May be written as the policy alone."""

    policy: Policy = Field(
        default="once",
        description="once: nobody; per_version: a new version; retry_failed: anybody after a run that came to nothing; "
        "latest_wins: a new version, and a run of the old one that has not ended is cancelled",
    )
    ttl: Period | None = Field(default=None, description="after so long anybody may; default: never")

    @model_validator(mode="before")
    @classmethod
    def _short(cls, data: Any) -> Any:
        return {"policy": data} if isinstance(data, str) else data

    @property
    def rule(self) -> KeyRule:
        """The same for those who decide."""
        return KeyRule(self.policy, None if self.ttl is None else round(self.ttl * 1_000_000))

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """A mapping, or the policy as text."""
        written = handler.resolve_ref_schema(handler(core))
        return {"anyOf": [written["properties"]["policy"], dict(written)]}


class SensorConfig(Settings):
    """One sensor: exactly one source, the rule over what it sees, and the jobs that run because of it."""

    source: SerializeAsAny[Settings] = Field(description="the part model of the one source")
    job: str | list[str] = Field(description="the job that runs, or several")
    run_key: TextTemplate | None = Field(default=None, description="template; one run per key and job, ever")
    run_config: TreeTemplate = Field(default_factory=dict, description="data for the job; its texts are templates")
    keys: KeysConfig = Field(default_factory=KeysConfig, description="who may take a run_key that is held, and when")
    when: Expression | None = Field(default=None, description="Jinja expression; false is a skip with its reason")
    tags: dict[str, TextTemplate] = Field(default_factory=dict, description="given to the run; templates")
    partition_key: TextTemplate | None = Field(default=None, description="template")
    priority: Priority = Field(default=0, description="of the runs it asks for: higher goes first")
    checks: Checks | None = Field(default=None, description="what the file undergoes before its runs are started")

    @property
    def kind(self) -> str:
        """The key that names the source, e.g. `directory`."""
        return _kind(self.source, SOURCES)

    @property
    def jobs(self) -> tuple[str, ...]:
        """The names of the jobs that run, one or several, in the order they are written."""
        return (self.job,) if isinstance(self.job, str) else tuple(self.job)

    @model_validator(mode="before")
    @classmethod
    def _gather(cls, data: Any) -> Any:
        if not isinstance(data, dict) or isinstance(data.get("source"), Settings):
            return data
        _refuse_key("source", data)
        kinds = tuple(kind for kind, _ in SOURCES if kind in data)
        rest = {key: value for key, value in data.items() if key not in kinds}
        return rest | {"source": _Chosen(kinds, {kind: data[kind] for kind in kinds})}

    @field_validator("source", mode="plain")
    @classmethod
    def _one_source(cls, value: Any) -> Settings:
        if not isinstance(value, _Chosen):
            return _part(value)
        kind = _only(value.kinds, SOURCES, "source", "sensor")
        return dict(SOURCES)[kind].model_validate(value.values[kind])

    @model_validator(mode="after")
    def _compiles(self) -> Self:
        from rules.triggers import compile_rule

        if isinstance(self.source, PythonConfig):
            written = [
                key for key in ("run_key", "run_config", "when", "partition_key") if key in self.model_fields_set
            ]
            if written:
                raise ValueError(f"a Python sensor's function decides that by itself; leave out {', '.join(written)}")
            if self.keys.policy in ("per_version", "latest_wins"):
                raise ValueError(
                    f"keys: {self.keys.policy} compares versions, and what a Python sensor asks for has none; let its "
                    "function put the version into the run_key"
                )
        if self.run_key is None and self.keys.policy in ("per_version", "latest_wins"):
            raise ValueError(
                f"keys: {self.keys.policy} compares versions of one run_key, and by default each version has a run_key "
                'of its own; add a run_key that leaves the version out, e.g. "{{ file.name }}"'
            )
        compile_rule(jobs=self.jobs)  # Its templates were compiled one by one, each with its own place.
        return self

    @classmethod
    def written_fields(cls, _values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
        """The keys that may stand in such a mapping, with their annotations."""
        yield from SOURCES
        yield from ((name, field.annotation) for name, field in cls.model_fields.items() if name != "source")

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """The mapping as it is written: the source below the key that names it."""
        schema = handler.resolve_ref_schema(handler(core))
        own = {name: value for name, value in schema["properties"].items() if name != "source"}
        parts = {kind: _schema_of(model, handler) for kind, model in SOURCES}
        return _written(schema, parts | own, list(parts), ["job"])


def _schema_of(model: type[Settings], handler: GetJsonSchemaHandler) -> JsonSchemaValue:
    """A part's schema, with what the part itself adds to it: short forms."""
    return model.__get_pydantic_json_schema__(model.__pydantic_core_schema__, handler)


def _written(
    schema: JsonSchemaValue, properties: dict[str, Any], kinds: list[str], required: list[str]
) -> JsonSchemaValue:
    return {
        "type": "object",
        "description": schema.get("description", ""),
        "properties": properties,
        "additionalProperties": False,
        "required": required,
        "oneOf": [{"required": [kind]} for kind in kinds],
    }


def _kind(part: Settings, registry: tuple[tuple[str, type[Settings]], ...]) -> str:
    return next(kind for kind, model in registry if type(part) is model)


def _part(value: Any) -> Settings:
    if not isinstance(value, Settings):
        raise TypeError("not a part model")
    return value


def _only(kinds: tuple[str, ...], registry: tuple[tuple[str, Any], ...], what: str, owner: str) -> str:
    if len(kinds) == 1:
        return kinds[0]
    found = f"{' and '.join(kinds)} together" if kinds else f"no {what}"
    there_are = ", ".join(kind for kind, _ in registry)
    raise PydanticCustomError(
        "no_part",
        "{text}",
        {"text": f"{found}; a {owner} has exactly one {what} of: {there_are}", "kinds": list(kinds)},
    )


def _refuse_key(name: str, data: dict[str, Any]) -> None:
    """`launcher` and `source` are fields of the models, not keys of the file."""
    if name in data:
        raise ValidationError.from_exception_data(
            name, [{"type": "extra_forbidden", "loc": (name,), "input": None}], hide_input=True
        )
