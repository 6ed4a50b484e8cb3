"""Showing a modal: once for a trigger, within the 3 seconds that it counts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from notifiers.channels import DeliveryError, Reason
from notifiers.channels.slack import Slack

_SHOWN = "exchanged_trigger_id"
_LATE = frozenset({"expired_trigger_id", "invalid_trigger_id"})


async def open_view(channel: Slack, trigger: str, view: Mapping[str, Any]) -> bool:
    """Show a modal to whoever set the trigger off. False: it is too late for that, and nothing is shown.

    A trigger counts once: where an answer was lost, Slack says at the next call whether the first one showed it.
    DeliveryError where Slack does not show it for another reason.
    """
    about = {"trigger_id": trigger, "view": orjson.dumps(view).decode()}
    for last in (False, True):
        try:
            await channel.ask("views.open", about)
        except DeliveryError as error:
            code = str(error).partition(": ")[2].partition(" ")[0]
            if code == _SHOWN:
                return True
            if code in _LATE:
                return False
            if last or error.reason is not Reason.unreachable:
                raise
        else:
            return True
    return False  # Not reached: the last call returns or raises.
