"""Check results of data, and what they amount to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rules.event import Severity


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """One check of one subject (a file, a table, a column).

    `severity` says what a failure means: `warn` tells, `error` tells louder, `block` fails the run as well.
    `sample` is a few of the offending rows, already bounded.
    """

    check: str
    passed: bool
    subject: str = ""
    severity: str = "error"
    detail: str = ""
    metrics: Mapping[str, Any] = field(default_factory=dict)
    sample: Sequence[Mapping[str, Any]] = ()


SEVERITIES = {"warn": Severity.warning, "error": Severity.error, "block": Severity.critical}
