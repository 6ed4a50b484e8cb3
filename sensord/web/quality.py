"""Results of checks that come from outside: bounded and masked as they come in, and told where the job says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from rules.event import Event
from rules.quality import MASK, MAX_DETAIL, bounded_row, bounded_sample, is_masked, masked_row, masked_sample
from sensord.app import App

_TYPES = ("quality.passed", "quality.failed")
_COLUMN_S = ("actual", "expected")


def taken(events: Sequence[Event], app: App) -> list[Event]:
    """The events, those of checks as a result of ours would be; others as they are."""
    return [_result(event, app) if event.type in _TYPES else event for event in events]


def _result(event: Event, app: App) -> Event:
    first, _, rest = event.topic.partition(".")
    job = rest.rpartition(".")[0] if first == "quality" else ""
    hooks = app.hooks.get(job)
    masks = tuple(app.config.mask) if hooks is None else hooks.mask
    also = hooks.quality if hooks is not None and event.type == "quality.failed" else event.also
    return replace(event, data=_tidy(event.data, masks), also=also, job=event.job or job or None)


def _tidy(data: Mapping[str, Any], masks: Sequence[str]) -> dict[str, Any]:
    tidy = dict(data)
    sample, metrics, column = data.get("sample"), data.get("metrics"), data.get("column")
    if isinstance(sample, list):
        tidy["sample"] = masked_sample(bounded_sample(sample), masks)
    if isinstance(metrics, dict):
        tidy["metrics"] = masked_row(bounded_row(metrics), masks)
        if isinstance(column, str) and is_masked(column, masks):
            tidy["metrics"] |= {name: MASK for name in _COLUMN_S if name in metrics}
    if isinstance(data.get("detail"), str):
        tidy["detail"] = data["detail"][:MAX_DETAIL]
    return tidy
