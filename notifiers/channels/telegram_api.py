"""python-telegram-bot's Bot over one aiohttp session, with the token kept out of the library.

Why not its own HTTP client: a pool of httpx connections slows down as more calls are in flight, and its errors do
not tell a connection that was never made from an answer that was lost.

The token is part of the Bot API's URL, and the library logs and quotes URLs. So the Bot is given a stand-in for
a token, and the real one is added here, in the base URL that only the aiohttp session knows. No exception of
aiohttp leaves this module: each becomes a DeliveryError whose text, cause and context hold no URL.
"""

from __future__ import annotations

import ssl
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote, urlsplit

import aiohttp
import orjson
from pydantic import SecretStr
from telegram import Bot
from telegram.error import TelegramError
from telegram.request import BaseRequest, RequestData
from yarl import URL

from notifiers.channels import DeliveryError, Reason
from notifiers.channels.telegram_errors import read_answer

CONNECT_SECONDS = 10.0
READ_SECONDS = 30.0
UPLOAD_SECONDS = 300.0
_STAND_IN = "0:token"
_JSON = {"Content-Type": "application/json"}


class Undelivered(TelegramError):
    """A DeliveryError on its way through the library, which lets only its own errors pass."""

    def __init__(self, error: DeliveryError) -> None:
        super().__init__(str(error))
        self.error = error


class AiohttpRequest(BaseRequest):
    """The library's way out: one POST per call, never repeated. Raises Undelivered for all that is no success.

    A connection that could not be made (name, address, TLS, proxy) is `unreachable`: certainly not sent.
    Whatever goes wrong later is `answer_lost` and uncertain.
    """

    __slots__ = ("_read_seconds", "_session", "_token")

    def __init__(self, session: aiohttp.ClientSession, token: SecretStr, read_seconds: float) -> None:
        self._session = session
        self._token = token
        self._read_seconds = read_seconds

    @property
    def read_timeout(self) -> float:
        """Seconds between two pieces of an answer."""
        return self._read_seconds

    async def initialize(self) -> None:
        """Nothing to do: the session belongs to `open_bot`."""

    async def shutdown(self) -> None:
        """Nothing to do: the session belongs to `open_bot`."""

    async def do_request(
        self,
        url: str,
        method: str,  # noqa: ARG002 - the Bot API is called by POST alone
        request_data: RequestData | None = None,
        read_timeout: Any = BaseRequest.DEFAULT_NONE,
        write_timeout: Any = BaseRequest.DEFAULT_NONE,  # noqa: ARG002 - bounded by UPLOAD_SECONDS
        connect_timeout: Any = BaseRequest.DEFAULT_NONE,  # noqa: ARG002
        pool_timeout: Any = BaseRequest.DEFAULT_NONE,  # noqa: ARG002 - the pool has no limit
    ) -> tuple[int, bytes]:
        """Make one call of the method that the URL names; the answer's body, always of a success."""
        seconds = read_timeout if isinstance(read_timeout, int | float) else self._read_seconds
        answer = await self._exchange(url.rpartition("/")[2], request_data, seconds)
        if isinstance(answer, DeliveryError):
            raise Undelivered(answer)
        return 200, answer

    async def _exchange(self, method: str, data: RequestData | None, seconds: float) -> bytes | DeliveryError:
        # Errors are returned, so that the one raised later has none of aiohttp's as its context.
        timeout = aiohttp.ClientTimeout(total=UPLOAD_SECONDS, sock_connect=CONNECT_SECONDS, sock_read=seconds)
        body, headers = _body(data)
        try:
            async with self._session.post(
                method, data=body, headers=headers, timeout=timeout, allow_redirects=False
            ) as response:
                received = await response.read()
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.ClientHttpProxyError) as exc:
            return DeliveryError(f"Telegram cannot be reached: {_describe(exc)}", Reason.unreachable)
        except (aiohttp.ClientError, TimeoutError, OSError) as exc:
            return DeliveryError(f"Telegram's answer was lost: {_describe(exc)}", Reason.answer_lost, uncertain=True)
        answer = read_answer(response.status, response.headers, received)
        if isinstance(answer, DeliveryError):
            return self._redacted(answer)
        if method.lower().startswith(("send", "editmessagetext")) and not _is_message(answer["result"]):
            return DeliveryError("Telegram's answer holds no message", Reason.answer_lost, uncertain=True)
        return received

    def _redacted(self, error: DeliveryError) -> DeliveryError:
        token = self._token.get_secret_value().strip()
        error.args = (str(error).replace(token, "<token>").replace(quote(token), "<token>"),)
        return error

    @staticmethod
    def parse_json_payload(payload: bytes) -> dict[str, Any]:
        """Read a body that `read_answer` has found good."""
        answer: dict[str, Any] = orjson.loads(payload)
        return answer


def _body(data: RequestData | None) -> tuple[Any, dict[str, str]]:
    if data is None or not data.contains_files:
        return orjson.dumps(data.parameters if data else {}), _JSON
    # Names of fields and files are clean by now, and the Bot API does not read `filename*`.
    form = aiohttp.FormData(quote_fields=False)
    for name, value in data.json_parameters.items():
        form.add_field(name, value)
    for name, (filename, content, mimetype) in data.multipart_data.items():
        form.add_field(name, content, filename=filename, content_type=mimetype)
    return form, {}


def _is_message(result: Any) -> bool:
    return (
        isinstance(result, dict)
        and isinstance(result.get("message_id"), int)
        and isinstance(result.get("date"), int)
        and isinstance(result.get("chat"), dict)
        and {"id", "type"} <= result["chat"].keys()
    )


def _describe(exc: BaseException) -> str:
    """What went wrong, without the texts of aiohttp, which may quote the URL."""
    cause = getattr(exc, "os_error", None) or (exc if isinstance(exc, OSError) else None)
    if isinstance(exc, aiohttp.ClientConnectorCertificateError | ssl.SSLError):
        return "its certificate or its TLS was not accepted"
    if cause is not None and cause.strerror:
        return f"{type(exc).__name__}, {cause.strerror}"
    return type(exc).__name__


def _proxy(api_url: str) -> str | None:
    """The proxy that the environment names for this address (`HTTPS_PROXY`, `NO_PROXY` and so on)."""
    parts = urlsplit(api_url)
    if urllib.request.proxy_bypass(parts.hostname or ""):
        return None
    return urllib.request.getproxies().get(parts.scheme)


@asynccontextmanager
async def open_bot(api_url: str, token: SecretStr, *, read_seconds: float = READ_SECONDS) -> AsyncIterator[Bot]:
    """A Bot over one session, without a first call: a dead network shows at the first send, not here.

    It must not be entered or initialised: that would call getMe.
    """
    base = URL(f"{api_url}/bot{quote(token.get_secret_value().strip(), safe=':')}/", encoded=True)
    session = aiohttp.ClientSession(
        base,
        connector=aiohttp.TCPConnector(limit=0),
        proxy=_proxy(api_url),
        json_serialize=lambda value: orjson.dumps(value).decode(),
    )
    async with session:
        request = AiohttpRequest(session, token, read_seconds)
        yield Bot(
            _STAND_IN,
            base_url=f"{api_url}/bot",
            base_file_url=f"{api_url}/file/bot",
            request=request,
            get_updates_request=request,
        )
