"""What an answer of the Bot API means for the delivery: pure, from status, headers and body to a DeliveryError.

The strings are those of the Bot API server (`Client.cpp`, `fail_query_with_error`) and of TDLib.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from notifiers.channels import DeliveryError, Reason

# The chat as a whole: nothing will arrive there until somebody changes that.
_CHAT_GONE = (
    "chat not found",
    "peer_id_invalid",
    "group chat was deactivated",
    "group chat was deleted",
    "user is deactivated",
    "user not found",
    "channel_private",
    "chat_write_forbidden",
    "chat_restricted",
    "chat_admin_required",
    "need administrator rights in the channel chat",
    "not enough rights to send text messages",
    "have no rights to send a message",
)
_TOPIC_GONE = (
    "message thread not found",
    "message_thread_id is invalid",
    "topic_closed",
    "topic_deleted",
    "topic_id_invalid",
)
# The server was stopped, or sent the request on and did not hear back: it may have been carried out.
_AMBIGUOUS_STATUS = frozenset({502, 504})
_REQUEST_ABORTED = "request aborted"
_NOT_MODIFIED = "message is not modified"


class EntitiesRefusedError(DeliveryError):
    """Telegram refused the entities of a message, not the message: the same text without them may be sent."""


def read_answer(status: int, headers: Mapping[str, str], body: bytes) -> dict[str, Any] | DeliveryError:
    """The Bot API's answer, when it is a success; else what to do.

    Only a JSON object with `ok` counts as Telegram's word. An error page of something in between (a proxy, a
    gateway) says nothing about the chat or the token, so it never pauses a destination: it is worth a retry.
    Answers with 502 and 504 are uncertain, as is a success that cannot be read: the message may have arrived.
    """
    answer = _json_object(body)
    if answer is None or not isinstance(answer.get("ok"), bool):
        return _not_telegram(status)
    if answer["ok"]:
        if "result" in answer:
            return answer
        return DeliveryError("Telegram's answer has no result", Reason.answer_lost, uncertain=True)
    code = answer.get("error_code")
    parameters = answer.get("parameters")
    return classify(
        code if isinstance(code, int) else status,
        str(answer.get("description") or f"HTTP {status}"),
        parameters if isinstance(parameters, dict) else {},
        headers,
    )


def classify(code: int, description: str, parameters: Mapping[str, Any], headers: Mapping[str, str]) -> DeliveryError:
    """The decision for one error of Telegram's own; `description` is kept in its text."""
    said = f'Telegram says "{description}"'
    if code == 429:  # noqa: PLR2004
        wait = _seconds(parameters.get("retry_after"), headers.get("Retry-After"))
        return DeliveryError(said, Reason.rate_limited, retry_after=wait)
    if isinstance(moved := parameters.get("migrate_to_chat_id"), int):
        # The new supergroup has no topics yet, so the thread of the old target is not kept.
        return DeliveryError(f"{said}; its new id is {moved}", Reason.moved, moved_to=str(moved))
    if code >= 500:  # noqa: PLR2004
        return _server_error(code, said)
    if code in (401, 404):
        hint = f"{said}: check telegram.token, as given by @BotFather"
        return DeliveryError(hint, Reason.unauthorised, permanent=True, pause=True)
    return _refusal(code, description.lower(), said)


def of_edit(error: DeliveryError) -> DeliveryError | None:
    """What an answer means where a message was to be edited; None: it shows already what it is to show.

    A message's number holds in its chat alone: where a group became a supergroup, it can be edited no more. So
    it is where the topic is closed or gone, or the rights to edit; that is no word on the chat as a whole, of
    which whoever sends the next message hears.
    """
    if _NOT_MODIFIED in str(error).lower():
        return None
    if error.moved_to is not None or error.reason is Reason.gone:
        return DeliveryError(str(error), Reason.gone, permanent=True)
    return error


def _refusal(code: int, words: str, said: str) -> DeliveryError:
    if any(known in words for known in _TOPIC_GONE):
        hint = f"{said}: the topic is closed or deleted; reopen it, or subscribe another topic or the whole group"
        return DeliveryError(hint, Reason.gone, permanent=True, pause=True)
    if code == 403 or any(known in words for known in _CHAT_GONE):  # noqa: PLR2004
        hint = f"{said}: add the bot to the chat and let it write there, or unblock it"
        return DeliveryError(hint, Reason.gone, permanent=True, pause=True)
    if code == 400 and "entit" in words:  # noqa: PLR2004
        return EntitiesRefusedError(said, Reason.refused, permanent=True)
    return DeliveryError(said, Reason.refused, permanent=True)


def _server_error(code: int, said: str) -> DeliveryError:
    if code in _AMBIGUOUS_STATUS or _REQUEST_ABORTED in said.lower():
        return DeliveryError(f"{said}; the message may have arrived", Reason.answer_lost, uncertain=True)
    return DeliveryError(said, Reason.server_error)


def _not_telegram(status: int) -> DeliveryError:
    said = f"HTTP {status} without an answer of the Bot API"
    if 200 <= status < 300 or status in _AMBIGUOUS_STATUS:  # noqa: PLR2004
        return DeliveryError(f"{said}; the message may have arrived", Reason.answer_lost, uncertain=True)
    return DeliveryError(f"{said}: is telegram.api_url right, and is no proxy in between?", Reason.server_error)


def _json_object(body: bytes) -> dict[str, Any] | None:
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return answer if isinstance(answer, dict) else None


def _seconds(*given: Any) -> float | None:
    """The first that is a number of seconds."""
    for value in given:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
        if isinstance(value, str) and value.isdecimal():
            return float(value)
    return None
