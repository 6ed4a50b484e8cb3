"""Airflow's tasks and DAGs on the bus: callbacks, and a notifier for whatever takes one, deadlines among them.

For Airflow 3. `on_failure_callback=failure_callback("bp.airflow.fails")` needs nothing else;
`DeadlineAlert(…, callback=AsyncCallback(SensordNotifier, kwargs={"topic": …}))` tells of what is late. Where sensord
is: `$SENSORD_URL` and `$SENSORD_TOKEN`. Neither fails a task, nor keeps it longer than half a second, and that only
where sensord takes the connection and does not answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow.sdk.bases.notifier import BaseNotifier

from rules.topics import check_topic
from sensord.hooks.airflow_events import failure_callback, publish, success_callback

__all__ = ["SensordNotifier", "failure_callback", "success_callback"]


class SensordNotifier(BaseNotifier):  # type: ignore[misc]
    """Publishes on a topic what its context says, or `message`, which is a template as elsewhere in Airflow."""

    template_fields: Sequence[str] = ("message",)

    def __init__(
        self, topic: str, message: str | None = None, severity: str | None = None, context: Any = None
    ) -> None:
        check_topic(topic)
        self.topic, self.message, self.severity = topic, message, severity
        super().__init__(context)

    def notify(self, context: Any) -> None:
        """Tell, from a task, the DAG processor or an executor."""
        publish(self.topic, context, message=self.message, severity=self.severity)

    async def async_notify(self, context: Any) -> None:
        """Tell, from the triggerer."""
        self.notify(context)
