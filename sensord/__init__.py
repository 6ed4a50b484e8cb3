"""sensord senses, decides, runs and tells.

These names are for people's own programs; importing them loads nothing of the daemon.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rules.request import RunRequest, SkipReason
    from sensord.authoring import SensorEvaluationContext, build_sensor_context, sensor
    from sensord.hooks.dagster import failure_hook, success_hook
    from sensord.submit import submit_event

__all__ = [
    "RunRequest",
    "SensorEvaluationContext",
    "SkipReason",
    "build_sensor_context",
    "failure_hook",
    "sensor",
    "submit_event",
    "success_hook",
]

_HOMES = {
    "RunRequest": "rules.request",
    "SensorEvaluationContext": "sensord.authoring",
    "SkipReason": "rules.request",
    "build_sensor_context": "sensord.authoring",
    "failure_hook": "sensord.hooks.dagster",
    "sensor": "sensord.authoring",
    "submit_event": "sensord.submit",
    "success_hook": "sensord.hooks.dagster",
}


def __getattr__(name: str) -> Any:
    """Load a public name when it is first used, so that `import sensord` costs nothing."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
