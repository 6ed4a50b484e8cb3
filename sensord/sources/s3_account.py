"""Who asks, and where: credentials, signatures and addresses, all as aiobotocore finds them."""

from __future__ import annotations

import logging
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass
from weakref import WeakValueDictionary

import anyio
from anyio.to_thread import run_sync
from msgspec import Struct

from sensord.secrets import one_line
from sensord.sources.s3 import S3Config
from sensord.sources.s3_trouble import S3Trouble, unreachable

_DEFAULT_REGION = "us-east-1"
_CONNECT_SECONDS, _READ_SECONDS = 10, 60
_SHOWN = 300
_shared: WeakValueDictionary[str, Any] = WeakValueDictionary()


class Place(Struct, frozen=True):
    """Where the bucket is: the URL before the query, its region, and how to get there."""

    session: Any
    url: str
    region: str
    proxy: str | None
    tls: ssl.SSLContext | bool


class Account:
    """Signs requests for the bucket, and opens the client of its queue."""

    def __init__(self, config: S3Config) -> None:
        self._config = config
        self._place: Place | None = None
        self._finding = anyio.Lock()

    async def place(self) -> Place:
        """Where the bucket is. Found once; S3Trouble if it cannot be."""
        async with self._finding:
            if self._place is None:
                self._place = await self._find(None)
        return self._place

    async def move(self, region: str) -> None:
        """The bucket is in another region."""
        async with self._finding:
            self._place = await self._find(region)

    def forget(self) -> None:
        """Find credentials and addresses afresh: what is in files and in the environment may have changed."""
        self._place = None

    async def sign(self, place: Place, url: str) -> dict[str, str]:
        """The headers of a request for something."""
        from botocore.auth import S3SigV4Auth  # type: ignore[import-untyped]
        from botocore.awsrequest import AWSRequest  # type: ignore[import-untyped]

        frozen = await _credentials(place.session)
        request = AWSRequest("GET", url)
        S3SigV4Auth(frozen, "s3", place.region).add_auth(request)
        return dict(request.headers)

    @asynccontextmanager
    async def queue(self) -> AsyncIterator[Any]:
        """A client of the queue's server, which tries nothing again by itself."""
        from aiobotocore.config import AioConfig  # type: ignore[import-untyped]
        from botocore.exceptions import BotoCoreError  # type: ignore[import-untyped]

        place = await self.place()
        server = self._config.queue_endpoint or ""
        config = AioConfig(
            retries={"total_max_attempts": 1}, connect_timeout=_CONNECT_SECONDS, read_timeout=_READ_SECONDS
        )
        region = self._config.region or _region_of(server) or place.region
        await _credentials(place.session)
        try:
            opening = place.session.create_client("sqs", region_name=region, endpoint_url=server, config=config)
            client = await opening.__aenter__()
        except BotoCoreError as error:
            raise S3Trouble(f"the queue cannot be opened: {error}", reopen=True) from None
        try:
            yield client
        finally:
            await opening.__aexit__(None, None, None)

    async def _find(self, region: str | None) -> Place:
        # Reading botocore's models takes a fifth of a second; no other task has to wait for it.
        return await run_sync(_find, self._config, region)


async def _credentials(session: Any) -> Any:
    """Those of this moment; wherever they come from is asked when they run out."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        credentials = await session.get_credentials()
        frozen = None if credentials is None else await credentials.get_frozen_credentials()
    except (BotoCoreError, ClientError, OSError, ValueError) as error:
        said = one_line(str(error))[:_SHOWN]
        raise S3Trouble(f"no credentials can be had ({said}); it is tried again", reopen=True) from None
    if frozen is None:
        advice = "set access_key and secret_key, profile, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        raise S3Trouble(f"no credentials were found; {advice}", reopen=True)
    return frozen


def _find(config: S3Config, region: str | None) -> Place:
    from aiobotocore.session import AioSession  # type: ignore[import-untyped]
    from botocore.exceptions import BotoCoreError

    # The lines that it writes for debugging quote session tokens.
    logging.getLogger("botocore").setLevel(logging.INFO)
    try:
        models = _models()
        session = AioSession(profile=config.profile)
        if config.access_key is not None and config.secret_key is not None:
            token = None if config.session_token is None else config.session_token.get_secret_value()
            session.set_credentials(config.access_key.get_secret_value(), config.secret_key.get_secret_value(), token)
        region = region or config.region or session.get_config_variable("region") or _DEFAULT_REGION
        if config.queue_url is not None:
            session.register_component("data_loader", models)
            session.warm_up_loader_caches("sqs")
        finder = AioSession(profile=config.profile)
        finder.register_component("data_loader", models)
        url = anyio.run(_url, finder, config, region)
        bundle = session.get_config_variable("ca_bundle")
        tls = ssl.create_default_context(cafile=bundle) if bundle else True
    except (BotoCoreError, ValueError) as error:
        raise S3Trouble(f"the bucket {config.bucket} cannot be addressed: {error}", reopen=True) from None
    except OSError as error:
        raise unreachable(f"the bucket {config.bucket}", error) from None
    parts = urlsplit(url)
    proxy = None if proxy_bypass(parts.hostname or "") else getproxies().get(parts.scheme)
    return Place(session, url, region, proxy, tls)


def _models() -> Any:
    """What botocore knows of services: 14 MB and a fifth of a second, and so shared while anybody needs it."""
    from botocore.loaders import create_loader  # type: ignore[import-untyped]

    return _shared.setdefault("models", create_loader())


async def _url(session: Any, config: S3Config, region: str) -> str:
    """The bucket's URL, in the style that its server wants; nothing is sent, and these credentials are none."""
    from aiobotocore.config import AioConfig

    opening = session.create_client(
        "s3",
        region_name=region,
        endpoint_url=config.endpoint_url,
        aws_access_key_id="nobody",
        aws_secret_access_key="nothing",  # noqa: S106
        config=AioConfig(signature_version="s3v4"),
    )
    async with opening as client:
        url: str = await client.generate_presigned_url("list_objects_v2", Params={"Bucket": config.bucket})
    return url.partition("?")[0].rstrip("/")


def _region_of(server: str) -> str | None:
    """`https://sqs.eu-west-1.amazonaws.com` → `eu-west-1`."""
    name, _, rest = (urlsplit(server).hostname or "").partition(".")
    region, _, domain = rest.partition(".")
    return region if name == "sqs" and domain.startswith("amazonaws.com") else None
