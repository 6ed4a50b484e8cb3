"""What is sensed, and what a rule asks for because of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

PARTITION_START: Final = "sensord/partition_start"
PARTITION_END: Final = "sensord/partition_end"
"""Tags of a run whose partition is a window of time: RFC 3339 in UTC. A launcher tells its job of them."""
BACKFILL: Final = "sensord/backfill"
"""The tag of a run that a backfill asked for: the backfill's id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sensed:
    """One thing a source saw.

    `subject` is what a person calls it (a path, a URI, a run id) and is always printable text. `key` is the
    default run_key and changes with the thing's version. `context` is what templates see. `mark`, where a source
    uses one, is a 63-bit fingerprint of this version of the thing: it is remembered in the same transaction as
    what was decided, and handed back to the source at its next start. `partition_key` is that of the runs, unless
    their rule has its own, and `tags` are under those of their rule. `decided` is what the source asks for by itself,
    where it is a program that decides (a person's function): the rule then only completes it. `newest` is false where
    the source knows that a later version of the thing has replaced this one.
    """

    subject: str
    key: str
    at: datetime
    context: Mapping[str, Any]
    mark: int | None = None
    partition_key: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    decided: tuple[RunRequest, ...] | SkipReason | None = None
    newest: bool = True


@dataclass(frozen=True, slots=True)
class RunRequest:
    """A wish that a job run once for `run_key` (without one: always). Shapes and names are Dagster's."""

    run_key: str | None = None
    run_config: Mapping[str, Any] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    job_name: str | None = None
    partition_key: str | None = field(default=None, kw_only=True)
    priority: int = field(default=0, kw_only=True)


@dataclass(frozen=True, slots=True)
class SkipReason:
    """Why something sensed asks for nothing."""

    skip_message: str
