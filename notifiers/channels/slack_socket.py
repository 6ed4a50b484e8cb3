"""Socket Mode: Slack's payloads through a WebSocket that we open, so that nothing of ours need be reachable.

A small loop over aiohttp and not slack_sdk's SocketModeClient, as of 3.47: that one hands envelopes to tasks of its own
without a limit and without an order; at a `disconnect` frame it puts the new connection in the place of the old one and
cancels what reads there, so what Slack still sends is left unread until it is sent again; one failed reconnect left it
deaf for good (slackapi/python-slack-sdk#1446, #1110); `connect` tries for ever by itself and logs the address with the
ticket; its pings run beside aiohttp's own; and closing waits up to 10 s for the other side.

Here: the next connection is open before the old one is left, which is read until Slack closes it. An envelope is
acknowledged once `SlackChat` has carried it out. A connection whose pings stay unanswered is over.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import anyio
import orjson
from anyio.abc import TaskGroup

from notifiers.channels import DeliveryError, Reason
from notifiers.channels.slack import Slack
from notifiers.channels.slack_chat import SlackChat
from notifiers.channels.slack_errors import unreachable
from notifiers.clock import Clock
from notifiers.settings import Secret
from rules.pacing import backoff

log = logging.getLogger(__name__)

PING_SECONDS = 10.0
"""How often the connection is asked for a sign of life; half of it later it is given up."""

CONNECT_SECONDS = 10.0
LINGER_SECONDS = 30.0  # Slack closes what it said it would within about ten.
_CLOSE_SECONDS = 1.0
_FRAME_BYTES = 4 * 2**20
_AT_ONCE = 16  # Envelopes of one connection in hand; then its reading waits.
_STEADY = 30.0  # A connection that lived so long was a good one.
_PAUSE, _LONGEST = 1.0, 60.0
_REFRESHED = frozenset({"refresh_requested", "warning"})
_REASONS = {
    "link_disabled": "Socket Mode is switched off in the app's settings: switch it on there",
    "too_many_websockets": "the app has as many connections as Slack allows: stop what else uses slack.app_token",
}


@dataclass(eq=False)
class _Line:
    """A connection. `left` is set when another should take its place; `why` is Slack's word for it, if it gave one."""

    socket: aiohttp.ClientWebSocketResponse
    left: anyio.Event = field(default_factory=anyio.Event)
    why: str | None = None
    room: anyio.Semaphore = field(default_factory=lambda: anyio.Semaphore(_AT_ONCE))


class SlackSocket:
    """Keeps a connection to Slack, and hands what comes through it to the chat."""

    def __init__(self, channel: Slack, chat: SlackChat, app_token: Secret, *, clock: Clock) -> None:
        self._channel = channel
        self._chat = chat
        self._app_token = app_token
        self._clock = clock
        self._failures = 0
        self._lines = 0

    async def run(self) -> None:
        """Hear until cancelled. Trouble is said once, and waited out."""
        async with aiohttp.ClientSession() as session, anyio.create_task_group() as group:
            while True:
                try:
                    await self._live(session, group)
                except DeliveryError as error:
                    await self._chat.troubled(error)
                    pause = backoff(max(1, self._failures), base=_PAUSE, cap=_LONGEST, jitter=1.0)
                    await self._clock.sleep(pause if error.retry_after is None else error.retry_after)
                except Exception:
                    log.exception("slack.broke")
                    await self._clock.sleep(_LONGEST)

    async def _live(self, session: aiohttp.ClientSession, group: TaskGroup) -> None:
        """One connection, until another is to take its place. DeliveryError where it ended or there is none."""
        self._failures += 1
        line = _Line(await self._connect(session))
        began = self._clock.monotonic()
        group.start_soon(self._read, line, name="slack connection")
        await self._chat.well()
        await line.left.wait()
        if self._clock.monotonic() - began >= _STEADY:
            self._failures = 0
        if line.why not in _REFRESHED:
            raise _ended(line.why)
        if self._failures > 1:
            await self._clock.sleep(backoff(self._failures - 1, base=_PAUSE, cap=_LONGEST, jitter=1.0))

    async def _connect(self, session: aiohttp.ClientSession) -> aiohttp.ClientWebSocketResponse:
        """A connection on which Slack said hello. Its address holds a ticket, so no error with it is passed on."""
        bearer = {"Authorization": f"Bearer {self._app_token.get_secret_value()}"}
        address = (await self._channel.ask("apps.connections.open", headers=bearer)).get("url")
        socket: aiohttp.ClientWebSocketResponse | None = None
        hello: Mapping[str, Any] = {}
        try:
            with anyio.fail_after(CONNECT_SECONDS):
                socket = await session.ws_connect(
                    str(address),
                    heartbeat=PING_SECONDS,
                    timeout=aiohttp.ClientWSTimeout(ws_close=_CLOSE_SECONDS),
                    max_msg_size=_FRAME_BYTES,
                    proxy=self._channel.proxy,
                )
                hello = _frame(await socket.receive()) or {}
        except (aiohttp.ClientError, OSError, ValueError) as error:  # TimeoutError is an OSError.
            failure = unreachable("Socket Mode", error)
        else:
            if hello.get("type") == "hello":
                self._look_around(hello)
                return socket
            failure = _ended(str(hello.get("reason")) if hello.get("type") == "disconnect" else None)
        if socket is not None:
            await socket.close()
        raise failure

    def _look_around(self, hello: Mapping[str, Any]) -> None:
        """Slack gives each envelope to one of the app's connections: a second program would take some of them."""
        others = hello.get("num_connections")
        if isinstance(others, int) and others > self._lines + 1:
            reason = "another program is connected with slack.app_token, and gets some of the commands"
            log.warning("slack.shared", extra={"reason": reason})

    async def _read(self, line: _Line) -> None:
        """Take what comes until the connection ends; then what is in hand is finished."""
        self._lines += 1
        deadline = float("inf")
        try:
            async with anyio.create_task_group() as group:
                while True:
                    with anyio.CancelScope(deadline=deadline) as waiting:
                        message = await line.socket.receive()
                    if waiting.cancelled_caught or message.type in _OVER:
                        break
                    frame = _frame(message)
                    if frame is not None and frame.get("type") == "disconnect":
                        line.why = str(frame.get("reason"))
                        line.left.set()
                        deadline = anyio.current_time() + LINGER_SECONDS
                    elif frame is not None and isinstance(frame.get("envelope_id"), str):
                        await line.room.acquire()
                        group.start_soon(self._take, line, frame)
                line.left.set()
        finally:
            line.left.set()
            self._lines -= 1
            with anyio.move_on_after(_CLOSE_SECONDS, shield=True):
                await line.socket.close()

    async def _take(self, line: _Line, frame: Mapping[str, Any]) -> None:
        """Carry an envelope out and say so. What cannot be said will be told again, and known."""
        try:
            payload = frame.get("payload")
            shown = await self._chat.take(
                str(frame.get("type")), payload if isinstance(payload, Mapping) else {}, frame["envelope_id"]
            )
            if shown is None:
                return
            word: dict[str, Any] = {"envelope_id": frame["envelope_id"]}
            if shown and frame.get("accepts_response_payload") is True:
                word["payload"] = shown
            await line.socket.send_str(orjson.dumps(word).decode())
        except (aiohttp.ClientError, OSError) as error:
            log.info("slack.unacknowledged", extra={"reason": type(error).__name__})
        finally:
            line.room.release()


_OVER = frozenset(
    {aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSING, aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR}
)


def _frame(message: aiohttp.WSMessage) -> Mapping[str, Any] | None:
    """A frame of Slack's; None where it is none."""
    if message.type is not aiohttp.WSMsgType.TEXT:
        return None
    try:
        frame = orjson.loads(message.data)
    except orjson.JSONDecodeError:
        log.warning("slack.no_frame", extra={"length": len(message.data)})
        return None
    return frame if isinstance(frame, dict) else None


def _ended(why: str | None) -> DeliveryError:
    if why in _REASONS:
        return DeliveryError(_REASONS[why], Reason.refused)
    said = f" ({why[:40]})" if why and why.isascii() and why.isprintable() else ""
    return DeliveryError(f"the connection to Slack ended{said}", Reason.unreachable)
