"""Slack: messages as blocks through the Web API, one call at a time, each failure sorted by what to do about it.

`chat.postMessage` has no documented way to make a repeat harmless: `client_msg_id` shows in its answers, but is
no argument of it, so nothing here relies on it, and a lost answer is reported as uncertain.
"""

from __future__ import annotations

import base64
import io
import logging
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, cast

import anyio
from pydantic import Field, field_validator

from notifiers.channels import Channel, DeliveryError, Part, Reason, Receipt
from notifiers.channels.slack_blocks import escape, notification, render
from notifiers.channels.slack_errors import (
    NO_THREAD,
    BlocksRefusedError,
    from_answer,
    from_status,
    lost,
    of_edit,
    unreachable,
)
from notifiers.message import Message
from notifiers.settings import Secret, Settings
from rules.pacing import Window

if TYPE_CHECKING:
    import aiohttp
    from slack_sdk.web.async_client import AsyncWebClient

CONNECT, ANSWER, CALL = 10.0, 30.0, 60.0
"""Seconds to get a connection, to wait for the next byte of the answer, and for a call as a whole."""
IDLE = 5.0
"""Seconds a connection is kept for the next call: a longer one may be closed by Slack just as a call goes out,
and such a call counts as uncertain."""
LIST_PAGES = 20
CLOSED_THREADS = 1000

_TARGET = re.compile(r"(?P<channel>#[^\s/]+|[CDGUW][A-Z0-9]+)(?:/(?P<thread>\d+\.\d+))?")


class SlackConfig(Settings):
    """The keys of `slack:`."""

    token: Secret = Field(description="the bot's token, xoxb-…")
    app_token: Secret | None = Field(default=None, description="the app-level token, xapp-…, for Socket Mode")
    signing_secret: Secret | None = Field(
        default=None, description="of requests from Slack, where it sends them and there is no app_token"
    )
    commands: bool = Field(default=True, description="answer commands in the channels; false: send only")
    edits: bool = Field(default=True, description="a run is one message that changes; false: one for each event")
    api_url: str = Field(default="https://slack.com/api/", description="the Web API's base")

    @property
    def hears(self) -> bool:
        """Whether commands are answered: by Socket Mode where there is an app_token, else by signed requests."""
        return self.commands and (self.app_token is not None or self.signing_secret is not None)

    @field_validator("token")
    @classmethod
    def _of_the_bot(cls, value: Secret) -> Secret:
        if value.get_secret_value().startswith("xapp-"):
            raise ValueError(
                "this is the app-level token: write it as app_token, and here the bot's (OAuth & Permissions)"
            )
        return value

    @field_validator("app_token")
    @classmethod
    def _of_the_app(cls, value: Secret | None) -> Secret | None:
        if value is not None and value.get_secret_value() and not value.get_secret_value().startswith("xapp-"):
            raise ValueError(
                "not an app-level token, which begins with xapp-: make one with the scope connections:write "
                "(Basic Information, App-Level Tokens)"
            )
        return value

    @field_validator("signing_secret")
    @classmethod
    def _no_token(cls, value: Secret | None) -> Secret | None:
        if value is not None and value.get_secret_value().startswith(("xapp-", "xoxb-", "xoxp-")):
            raise ValueError("this is a token: the signing secret stands in Basic Information, App Credentials")
        return value


@asynccontextmanager
async def open_slack(config: SlackConfig) -> AsyncIterator[Channel]:
    """Open the channel `slack`. Targets: `#name` or an id (`C…`, `G…`, `D…`, `U…`), and `/thread_ts` after it.

    Nothing is called before the first send, so a wrong token shows there, as an unauthorised DeliveryError.
    """
    import aiohttp
    from slack_sdk.web.async_client import AsyncWebClient

    # The SDK logs requests and answers, which hold messages and upload addresses, unless its logger is above DEBUG.
    quiet = logging.getLogger("notifiers.channels.slack.sdk")
    quiet.setLevel(logging.WARNING)
    timeout = aiohttp.ClientTimeout(total=None, connect=CONNECT, sock_connect=CONNECT, sock_read=ANSWER)
    connector = aiohttp.TCPConnector(keepalive_timeout=IDLE)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        client = AsyncWebClient(
            token=config.token.get_secret_value(),
            base_url=config.api_url,
            session=session,
            logger=quiet,
            retry_handlers=[],  # The default handler repeats a post whose connection dropped: two messages.
        )
        yield Slack(client, session)


class Slack:
    """The channel. Remembers the ids of channels that it posted to by name, which files need."""

    def __init__(self, client: AsyncWebClient, session: aiohttp.ClientSession) -> None:
        self._client = client
        self._session = session
        self._ids: dict[str, str] = {}
        self._closed_threads: set[tuple[str, str]] = set()
        self._scopes: frozenset[str] | None = None

    @property
    def proxy(self) -> str | None:
        """The proxy that the environment names for HTTPS, if any."""
        return self._client.proxy

    async def ask(
        self, method: str, about: Mapping[str, str] | None = None, *, headers: Mapping[str, str] | None = None
    ) -> Mapping[str, Any]:
        """Call a method that shows nothing to anybody; its answer. DeliveryError, which holds no secret, otherwise."""
        return await self._call(method, shows=False, data=dict(about or {}), headers=dict(headers or {}))

    async def answers(self) -> None:
        """Ask who the app is, which has a limit of its own (hundreds a minute)."""
        await self._call("auth.test", shows=False)

    async def scopes(self) -> frozenset[str] | None:
        """What the token may do, as Slack says with its answer; None where it does not. DeliveryError otherwise."""
        await self._call("auth.test", shows=False)
        return self._scopes

    async def whisper(self, url: str, text: str) -> None:
        """Say something to one person alone, by the `response_url` of what they did. DeliveryError otherwise.

        It is good for 5 uses in 30 minutes, and who has it needs no token: it stands in no error.
        """
        if not url.startswith(("https://", f"{self._client.base_url.partition('/api/')[0]}/")):
            raise DeliveryError("the response_url is none of Slack's", Reason.refused, permanent=True)
        body = {"response_type": "ephemeral", "replace_original": False, "text": escape(text)}
        await self._submit(url, "a response_url", json=body)

    def render(self, message: Message) -> Sequence[Part]:
        """Posts, then files; see `slack_blocks.render`."""
        return render(message)

    def windows(self, target: str) -> Sequence[Window]:
        """One call a second to a channel, and 100 a minute to the workspace.

        Slack documents the first, and of the second only that it exists. 100 a minute is the floor that it
        promises for methods of tier 4, which the upload methods are, and no window is told the kind of a part.
        """
        channel = target.partition("/")[0]
        return [Window(f"slack:{channel}", 1, 1.0), Window("slack", 100, 60.0)]

    async def send(self, target: str, part: Part) -> Receipt:
        """Post one part, or upload its file. Blocks that Slack refuses are posted once more as plain text."""
        match = _TARGET.fullmatch(target)
        if match is None:
            wanted = "write #name or a channel's id such as C0123ABCD, and /thread_ts after it for a thread"
            raise DeliveryError(f"{target!r} is no Slack target: {wanted}", Reason.gone, permanent=True, pause=True)
        channel, thread = match["channel"], match["thread"]
        under = "" if part.under is None else str(part.under.data.get("ts", ""))
        if thread is not None or not under or (channel, under) in self._closed_threads:
            return await self._send(channel, thread, part)
        try:
            return await self._send(channel, under, part)
        except DeliveryError as error:
            if not any(code in str(error) for code in NO_THREAD):
                raise
            # The message was deleted, or takes no replies. Slack did nothing, but counts the call: not at once again.
            if len(self._closed_threads) >= CLOSED_THREADS:
                self._closed_threads.clear()
            self._closed_threads.add((channel, under))
            text = f"{error}; it goes as a message of its own"
        raise DeliveryError(text, Reason.server_error)

    async def _send(self, channel: str, thread: str | None, part: Part) -> Receipt:
        if part.payload["kind"] == "file":
            return await self._upload(channel, thread, part)
        return await self._post(channel, thread, part)

    async def _post(self, channel: str, thread: str | None, part: Part) -> Receipt:
        body: dict[str, Any] = {
            "channel": channel,
            "text": part.payload["text"],
            "mrkdwn": False,
            "parse": "none",
            "link_names": False,
            "unfurl_links": False,
            "unfurl_media": False,
        }
        if thread is not None:
            body["thread_ts"] = thread
            if part.aloud:
                body["reply_broadcast"] = True
        refused = ""
        try:
            answer = await self._call("chat.postMessage", json={**body, "blocks": part.payload["blocks"]})
        except BlocksRefusedError as error:
            refused = str(error)
        if refused:
            answer = await self._call("chat.postMessage", json={**body, "text": escape(part.text.strip())})
        posted, ts = str(answer["channel"]), str(answer["ts"])
        self._ids[channel] = posted
        data = {"channel": posted, "ts": ts}
        return Receipt(id=ts, data=data | ({"plain_because": refused} if refused else {}))

    def edit_windows(self, target: str) -> Sequence[Window]:  # noqa: ARG002 - the limit is one for all channels
        """50 a minute: `chat.update` is of tier 3, counted by method and workspace, apart from posts."""
        return [Window("slack:chat.update", 50, 60.0)]

    async def edit(self, target: str, receipt: Receipt, part: Part) -> None:  # noqa: ARG002 - the receipt knows its channel
        """Put a post in the place of a post, buttons and all. Blocks that Slack refuses are put as plain text.

        To make the same edit again does no harm. DeliveryError: `permanent` where the message is deleted, too old
        to be edited in this workspace, in a channel that is archived or away, or not the bot's own.
        """
        if part.payload["kind"] != "post" or not {"channel", "ts"} <= receipt.data.keys():
            raise DeliveryError("only a post can be put in the place of a post", Reason.refused, permanent=True)
        body = {name: receipt.data[name] for name in ("channel", "ts")} | {"parse": "none", "link_names": False}
        text, blocks = part.payload["text"], part.payload["blocks"]
        refused = None
        try:
            await self._call("chat.update", json={**body, "text": text, "blocks": blocks})
        except BlocksRefusedError:
            refused = {**body, "text": notification(part.text), "blocks": []}
        except DeliveryError as error:
            raise of_edit(error) from None
        if refused is not None:
            try:
                await self._call("chat.update", json=refused)
            except DeliveryError as error:
                raise of_edit(error) from None

    async def _upload(self, channel: str, thread: str | None, part: Part) -> Receipt:
        """Upload a file in Slack's three steps; only the third makes it visible."""
        name, content = part.payload["name"], base64.b64decode(part.payload["content"])
        place = {"channel_id": await self._channel_id(channel)} | ({} if thread is None else {"thread_ts": thread})
        form = {"filename": name, "length": str(len(content))}
        ticket = await self._call("files.getUploadURLExternal", shows=False, data=form)
        await self._put(ticket["upload_url"], content)
        files = [{"id": ticket["file_id"], "title": name}]
        await self._call("files.completeUploadExternal", json={"files": files, **place})
        return Receipt(id=str(ticket["file_id"]), data={"channel": place["channel_id"]})

    async def _channel_id(self, channel: str) -> str:
        """The id that uploads want, where posts take a name or a person's id as well."""
        if channel[0] not in "#UW":
            return channel
        if channel not in self._ids:
            self._ids[channel] = await (self._named if channel[0] == "#" else self._direct)(channel)
        return self._ids[channel]

    async def _direct(self, user: str) -> str:
        answer = await self._call("conversations.open", shows=False, data={"users": user})
        return str(answer["channel"]["id"])

    async def _named(self, channel: str) -> str:
        query = {"types": "public_channel,private_channel", "exclude_archived": "true", "limit": "1000"}
        for _page in range(LIST_PAGES):
            answer = await self._call("conversations.list", shows=False, data=query)
            for listed in answer["channels"]:
                if listed["name"] == channel[1:]:
                    return str(listed["id"])
            query["cursor"] = answer.get("response_metadata", {}).get("next_cursor", "")
            if not query["cursor"]:
                break
        advice = "write its id (C…) as the destination, or invite the bot to it"
        raise DeliveryError(f"Slack lists no channel {channel} to upload to: {advice}", Reason.gone, permanent=True)

    async def _call(self, method: str, *, shows: bool = True, **request: Any) -> Mapping[str, Any]:
        """Call a method of the Web API. `shows`: its success is what people see, so a lost answer matters.

        The SDK's errors hold the request and with it the token, so none of them is chained to what is raised.
        """
        import aiohttp
        from slack_sdk.errors import SlackApiError

        try:
            with anyio.fail_after(CALL):
                response = await self._client.api_call(method, **request)
        except SlackApiError as error:
            failure = from_answer(method, error.response, shows=shows)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            failure = unreachable(method, error)
        except (aiohttp.ClientError, OSError) as error:
            failure = lost(method, error, shows=shows)
        except (AttributeError, ValueError, LookupError) as error:  # How the SDK meets answers that are no object.
            failure = lost(method, error, shows=shows)
        else:
            if (scopes := response.headers.get("x-oauth-scopes")) is not None:
                self._scopes = frozenset(scope.strip() for scope in str(scopes).split(","))
            return cast("Mapping[str, Any]", response.data)
        raise failure

    async def _put(self, url: str, content: bytes) -> None:
        await self._submit(url, "the upload of the file", data=io.BytesIO(content))

    async def _submit(self, url: str, step: str, **content: Any) -> None:
        """Post to an address that Slack gave us. DeliveryError, without the address, where it is not taken."""
        import aiohttp

        try:
            with anyio.fail_after(CALL):
                proxy = self._client.proxy
                async with self._session.post(url, proxy=proxy, allow_redirects=False, **content) as answer:
                    status, headers = answer.status, answer.headers
        except (aiohttp.ClientError, OSError, ValueError) as error:
            failure = lost(step, error, shows=False)
        else:
            if status == 200:  # noqa: PLR2004
                return
            failure = from_status(step, status, headers, shows=False)
        raise failure
