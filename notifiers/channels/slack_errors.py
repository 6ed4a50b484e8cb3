"""What Slack answers when it does not deliver, as decisions.

Sources: docs.slack.dev, reference/methods/chat.postMessage and files.completeUploadExternal ("Errors"), and
apis/web-api/rate-limits. An HTTP 200 with `ok: false` is Slack's word that nothing was done, with two exceptions.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from notifiers.channels import DeliveryError, Reason

PAUSE = 1.0
"""Seconds to wait where Slack says "too fast" without saying how long."""

_LIMITED = frozenset({"rate_limited", "ratelimited", "message_limit_exceeded"})
_BLOCKS = frozenset({"invalid_blocks", "invalid_blocks_format", "msg_blocks_too_long"})
_UNCERTAIN = frozenset({"internal_error", "fatal_error"})
"""Of both the reference says that some aspect of the operation may have succeeded."""
_AGAIN = frozenset({"service_unavailable", "request_timeout", "team_added_to_org"})
_GONE = frozenset({
    "access_denied", "cannot_dm_bot", "cannot_reply_to_message", "channel_not_found", "ekm_access_denied",
    "invalid_channel", "is_archived", "messages_tab_disabled", "not_in_channel", "posting_to_channel_denied",
    "restricted_action", "team_not_found", "thread_not_found", "user_disabled", "user_not_found", "user_not_visible",
})  # fmt: skip
_UNAUTHORISED = frozenset({
    "accesslimited", "account_inactive", "enterprise_is_restricted", "invalid_auth", "missing_scope",
    "no_permission", "not_allowed_token_type", "not_authed", "org_login_required", "team_access_not_granted",
    "token_expired", "token_revoked", "two_factor_setup_required",
})  # fmt: skip
_ADVICE = {
    "channel_not_found": "check the name, and invite the bot if the channel is private",
    "is_archived": "unarchive the channel, or change the destination",
    "not_in_channel": "invite the bot to the channel",
    "team_not_found": "with an org-wide token, write the channel's id instead of its name",
    "invalid_auth": "check slack.token",
    "not_authed": "set slack.token",
    "token_revoked": "reinstall the app and set its new token as slack.token",
    "token_expired": "set a new token as slack.token",
    "account_inactive": "the bot was removed from the workspace; reinstall the app",
}


class BlocksRefusedError(DeliveryError):
    """Slack took the call but not the blocks: the same content may go through as text."""


def from_answer(method: str, response: Any, *, shows: bool) -> DeliveryError:
    """An answer that is no success: the SDK's response, or aiohttp's where the body was no JSON."""
    status: int = getattr(response, "status_code", None) or response.status
    data = getattr(response, "data", None)
    if status != HTTPStatus.OK:
        return from_status(method, status, response.headers, shows=shows)
    if not isinstance(data, Mapping) or not data.get("error"):
        return lost(method, ValueError("the answer is not Slack's"), shows=shows)
    return from_error(method, data, response.headers, shows=shows)


def from_error(method: str, data: Mapping[str, Any], headers: Mapping[str, str], *, shows: bool) -> DeliveryError:
    """An answer `{"ok": false, "error": …}`. Codes that nobody documented are refusals: Slack did nothing."""
    code = str(data["error"])
    text = f"Slack refused {method}: {code}{_details(data)}"
    if code in _ADVICE:
        text += f"; {_ADVICE[code]}"
    if code in _LIMITED:
        return DeliveryError(text, Reason.rate_limited, retry_after=_seconds(headers.get("Retry-After")))
    if code in _BLOCKS:
        return BlocksRefusedError(text, Reason.refused, permanent=True)
    if code in _UNCERTAIN or code in _AGAIN:
        return DeliveryError(text, Reason.server_error, uncertain=shows and code in _UNCERTAIN)
    if code in _GONE or code.startswith("restricted_action"):
        return DeliveryError(text, Reason.gone, pause=True)
    if code in _UNAUTHORISED:
        # Where only uploads lack their scope, posts still go through: that refuses the file, and pauses nothing.
        only_files = code == "missing_scope" and not method.startswith("chat.")
        return DeliveryError(text, Reason.unauthorised, permanent=only_files, pause=not only_files)
    return DeliveryError(text, Reason.refused, permanent=True)


def of_edit(error: DeliveryError) -> DeliveryError:
    """The same where a message was to be edited: a channel that is gone refuses this edit, and pauses nothing.

    Whoever posts to it next hears of it in a way that says what to do.
    """
    if error.reason is Reason.gone:
        return DeliveryError(str(error), Reason.gone, permanent=True)
    return error


def from_status(what: str, status: int, headers: Mapping[str, str], *, shows: bool) -> DeliveryError:
    """A status that is not 200.

    503 says that the call was not taken. Behind a 500, 502 or 504 is a program that died, or did not answer its
    gateway in time, perhaps after it had posted: uncertain.
    """
    text = f"Slack answered {what} with HTTP {status}"
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return DeliveryError(text, Reason.rate_limited, retry_after=_seconds(headers.get("Retry-After")))
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        uncertain = shows and status != HTTPStatus.SERVICE_UNAVAILABLE
        return DeliveryError(text, Reason.server_error, uncertain=uncertain)
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        return DeliveryError(f"{text}; check slack.token", Reason.unauthorised, pause=True)
    return DeliveryError(f"{text}; check slack.api_url", Reason.refused, permanent=True)


def unreachable(method: str, error: Exception) -> DeliveryError:
    """There was no connection, so nothing was sent."""
    return DeliveryError(f"no connection to Slack for {method}: {type(error).__name__}", Reason.unreachable)


def lost(what: str, error: Exception, *, shows: bool) -> DeliveryError:
    """The call went out, in part or whole, and its answer did not come or was not readable.

    Where the call would have shown nothing by itself, the message certainly was not delivered.
    """
    text = f"the answer of Slack to {what} was lost: {type(error).__name__}"
    if shows:
        return DeliveryError(text, Reason.answer_lost, uncertain=True)
    return DeliveryError(text, Reason.unreachable)


def _details(data: Mapping[str, Any]) -> str:
    """What Slack says beyond the code: the scope it misses, or which element of the blocks is wrong."""
    if data.get("needed"):
        return f" (the app needs the scope {data['needed']})"
    errors = data.get("errors") or data.get("response_metadata", {}).get("messages")
    return f" ({'; '.join(str(error) for error in errors[:3])})" if isinstance(errors, list) and errors else ""


def _seconds(header: str | None) -> float:
    return max(float(header), PAUSE) if header is not None and header.isascii() and header.isdigit() else PAUSE
