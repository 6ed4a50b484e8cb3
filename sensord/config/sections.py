"""The sections of `sensord.yaml`, and the whole of it: the union of the parts' own configuration models."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import parse_qsl, unquote, urlsplit

from pydantic import (
    BeforeValidator,
    Field,
    PrivateAttr,
    SerializationInfo,
    SerializerFunctionWrapHandler,
    field_serializer,
    field_validator,
    model_serializer,
    model_validator,
)

from notifiers.channels.apprise import AppriseConfig
from notifiers.channels.slack import SlackConfig
from notifiers.channels.telegram import TelegramConfig
from notifiers.channels.webhook import WebhookConfig
from notifiers.chat.settings import ChatConfig
from notifiers.settings import Secret, Settings
from sensord.config.fields import (
    Column,
    Count,
    Destination,
    DigestTime,
    Moment,
    Name,
    Pattern,
    Period,
    QuietHours,
    Text,
    Where,
    Zone,
)
from sensord.config.parts import JobConfig, SensorConfig
from sensord.logs import Format, Level
from sensord.secrets import redact, redacted

_DAY = 86_400.0


class HttpConfig(Settings):
    """The keys of `http:`."""

    host: Text = Field(default="127.0.0.1", description="address to listen on; any but loopback needs a token")
    port: int = Field(default=8300, ge=0, le=65_535, description="0 takes any free port")
    token: Secret | None = Field(default=None, description="what every request but health must carry")
    allowed_hosts: list[Text] = Field(default_factory=list, description="further names that a request's Host may have")

    @model_validator(mode="after")
    def _guarded(self) -> Self:
        if self.token is None and not _is_loopback(self.host):
            raise ValueError(f"host {self.host!r} can be reached from outside, and there is no token; set http.token")
        return self


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class SubscriptionConfig(Settings):
    """One entry of `subscriptions:`: what is told to whom."""

    topic: Pattern = Field(description="a topic; `*` stands for one token, `>` for the rest")
    to: Destination = Field(description="telegram:ID, slack:CHANNEL, webhook:NAME, apprise:NAME, console: or inbox:")
    where: Where = Field(default_factory=dict, description="a filter over the event's fields")
    since: Moment | None = Field(
        default=None, description="when first made, told of what was since that time too, or for so long: 2h"
    )
    after: int = Field(default=1, ge=1, le=100, description="failures in a row of one job or check before it tells")
    quiet: QuietHours | None = Field(
        default=None, description="held back in these hours, told afterwards: 22:00-08:00 Europe/Lisbon"
    )
    digest: DigestTime | None = Field(
        default=None, description="told in one message, hourly, daily 09:00 Europe/Lisbon or weekly MON 09:00 UTC"
    )
    lang: Literal["en", "ru"] | None = Field(
        default=None, description="the language it is told in; default: `language`"
    )
    zone: Zone | None = Field(default=None, description="the clock it is told by, e.g. Europe/Lisbon; default: `zone`")

    @property
    def options(self) -> dict[str, Any]:
        """How it is told: when, where that is not at once, in which language and by which clock."""
        found = {"quiet": self.quiet, "digest": self.digest, "after": self.after if self.after > 1 else None}
        found |= {"lang": self.lang, "zone": self.zone}
        return {name: value for name, value in found.items() if value is not None}


class RetentionConfig(Settings):
    """How long what is over is kept."""

    ticks: Period = Field(default=30 * _DAY, description="evaluations of sensors")
    events: Period = Field(default=90 * _DAY, description="events and messages")
    deliveries: Period = Field(default=90 * _DAY, description="deliveries that ended")
    logs: Period = Field(default=30 * _DAY, description="output of runs")


class LogConfig(Settings):
    """The keys of `log:`."""

    level: Level = Field(default="info", description="the least severe that is written")
    format: Format = Field(default="text", description="text for people, json for machines; one event is one line")


def _embedded(value: Any) -> Any:
    if isinstance(value, str) and value.startswith("nats://"):
        raise ValueError("NATS is not supported by this version; write bus: embedded")
    return value


class Config(Settings):
    """The whole configuration. Every path in it is absolute."""

    database: str = Field(
        default="sqlite:///sensord.db",
        repr=False,
        description="sqlite:///RELATIVE, sqlite:////ABSOLUTE or postgresql://USER:PASSWORD@HOST/NAME",
    )
    bus: Annotated[Literal["embedded"], BeforeValidator(_embedded)] = Field(default="embedded")
    state: Path = Field(default=Path(".sensord"), description="folder of logs, sockets and the supervisor")
    http: HttpConfig = Field(default_factory=HttpConfig)
    telegram: TelegramConfig | None = None
    slack: SlackConfig | None = None
    chat: ChatConfig = Field(default_factory=ChatConfig)
    webhooks: dict[Name, WebhookConfig] = Field(default_factory=dict)
    apprise: dict[Name, AppriseConfig] = Field(default_factory=dict, description="services, by apprise's URLs")
    jobs: dict[Name, JobConfig] = Field(default_factory=dict)
    sensors: dict[Name, SensorConfig] = Field(default_factory=dict)
    subscriptions: list[SubscriptionConfig] = Field(default_factory=list)
    quiet: dict[Destination, QuietHours] = Field(
        default_factory=dict, description="hours in which a destination is told nothing but what is critical"
    )
    bursts: Literal["digest", "send"] = Field(
        default="digest", description="what is more than a chat takes becomes digests, or is sent one by one"
    )
    mask: list[Column] = Field(
        default_factory=list, description="columns whose values no message and no table shows, of any job; globs"
    )
    language: Literal["en", "ru"] = Field(default="en", description="of messages to whoever chose none")
    zone: Zone = Field(default="UTC", description="the clock of messages to whoever chose none, e.g. Europe/Lisbon")
    templates: Path | None = Field(
        default=None, description="folder of message templates that stand before ours: run.yaml, quality.ru.yaml, …"
    )
    owner: Destination | None = Field(default=None, description="who is told when another destination dies")
    concurrency: Count = Field(default=16, description="how many attempts run at a time, of all jobs together")
    retention: RetentionConfig = Field(default_factory=RetentionConfig)
    log: LogConfig = Field(default_factory=LogConfig)

    _environment: str = PrivateAttr(default="")
    _launches: bool = PrivateAttr(default=True)

    @property
    def environment(self) -> str:
        """The environment that was chosen; empty where none was."""
        return self._environment

    @property
    def launches(self) -> bool:
        """Whether jobs are launched at all; else runs succeed at once."""
        return self._launches

    def chosen(self, environment: str, *, launches: bool) -> Self:
        """The same, in that environment."""
        found = self.model_copy()
        found._environment, found._launches = environment, launches  # noqa: SLF001 - our own copy
        return found

    @field_validator("database")
    @classmethod
    def _known_database(cls, value: str) -> str:
        if value.startswith("sqlite:"):
            name = value.removeprefix("sqlite:///")
            if name == value or not name.strip("/") or name.startswith(":") or "?" in name:
                raise ValueError("an SQLite database is a file: sqlite:///RELATIVE.db or sqlite:////ABSOLUTE.db")
        elif value.startswith("postgresql://"):
            _postgresql(value)
        else:
            raise ValueError("a database is sqlite:///FILE or postgresql://USER:PASSWORD@HOST/NAME")
        return value

    def __repr__(self) -> str:
        return redact(super().__repr__())

    def __str__(self) -> str:
        return redact(super().__str__())

    @model_serializer(mode="wrap")
    def _dumped(self, handler: SerializerFunctionWrapHandler, info: SerializationInfo) -> Any:
        """As JSON, no text holds a secret, wherever it was written."""
        dumped = handler(self)
        return redacted(dumped) if info.mode_is_json() else dumped

    @field_serializer("database")
    def _without_password(self, _value: str) -> str:
        return self.database_label

    @model_validator(mode="before")
    @classmethod
    def _empty_sections(cls, data: Any) -> Any:
        """`jobs:` with nothing below is an empty section, not a wrong one."""
        if not isinstance(data, dict):
            return data
        return {key: value for key, value in data.items() if value is not None or key not in cls.model_fields}

    @property
    def database_label(self) -> str:
        """The database's URL without its password: what may be shown."""
        if self.database.startswith("sqlite:"):
            return self.database
        parts = urlsplit(self.database)
        userinfo, _, host = parts.netloc.rpartition("@")
        user = userinfo.partition(":")[0]
        return f"postgresql://{user}@{host}{parts.path}" if user else f"postgresql://{host}{parts.path}"


def _postgresql(url: str) -> None:
    try:
        parts = urlsplit(url)
        _ = parts.port, parts.hostname
        whole = parts.netloc.count("@") <= 1 and not parts.fragment and bool(parts.path.strip("/") or parts.query)
    except ValueError:
        whole = False
    if not whole:
        raise ValueError(
            "not a whole postgresql://USER:PASSWORD@HOST/NAME; "
            "in the password write @ / : ? # % as %40 %2F %3A %3F %23 %25"
        )


def database_secrets(url: Any) -> list[str]:
    """The passwords in a database's URL, as written and decoded; of one that is no URL, nothing."""
    if not isinstance(url, str):
        return []
    userinfo = url.partition("://")[2].rpartition("@")[0]
    try:
        query = parse_qsl(urlsplit(url).query)
    except ValueError:
        query = []
    found = [userinfo.partition(":")[2], *(value for key, value in query if "pass" in key)]
    return [form for value in found if value for form in (value, unquote(value))]
