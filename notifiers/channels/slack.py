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
from pydantic import Field

from notifiers.channels import Channel, DeliveryError, Part, Reason, Receipt
from notifiers.channels.slack_blocks import escape, notification, render
from notifiers.channels.slack_errors import BlocksRefusedError, from_answer, from_status, lost, of_edit, unreachable
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

_TARGET = re.compile(r"(?P<channel>#[^\s/]+|[CDGUW][A-Z0-9]+)(?:/(?P<thread>\d+\.\d+))?")


class SlackConfig(Settings):
    """The keys of `slack:`."""

    token: Secret = Field(description="the bot's token, xoxb-…")
    app_token: Secret | None = Field(default=None, description="the app-level token, xapp-…, for Socket Mode")
    api_url: str = Field(default="https://slack.com/api/", description="the Web API's base")


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
            return cast("Mapping[str, Any]", response.data)
        raise failure

    async def _put(self, url: str, content: bytes) -> None:
        import aiohttp

        step = "the upload of the file"
        try:
            with anyio.fail_after(CALL):
                proxy = self._client.proxy
                data = io.BytesIO(content)
                async with self._session.post(url, data=data, proxy=proxy, allow_redirects=False) as answer:
                    status, headers = answer.status, answer.headers
        except (aiohttp.ClientError, OSError) as error:
            failure = lost(step, error, shows=False)
        else:
            if status == 200:  # noqa: PLR2004
                return
            failure = from_status(step, status, headers, shows=False)
        raise failure
