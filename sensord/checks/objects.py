"""Objects of S3 sensors as files to check: how the process that checks one is to fetch it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from sensord.sources.s3 import S3Config

if TYPE_CHECKING:
    from sensord.sources.s3_account import Account

MOST = 4 << 30
"""Bytes of an object that are fetched at most."""
_SCHEME = "s3://"


class Objects:
    """Signs requests for objects of the buckets that sensors look at, each as its sensor does."""

    def __init__(self, buckets: Mapping[str, S3Config], state: Path) -> None:
        self._buckets = buckets
        self._state = state
        self._accounts: dict[str, Account] = {}

    def key_of(self, sensor: str | None, path: str) -> str | None:
        """The key, where the path is `s3://BUCKET/KEY` of this sensor's own bucket."""
        config = self._buckets.get(sensor or "")
        begin = "" if config is None else f"{_SCHEME}{config.bucket}/"
        return path[len(begin) :] if begin and path.startswith(begin) and len(path) > len(begin) else None

    async def wanted(self, sensor: str, key: str) -> dict[str, Any]:
        """What `fetching.fetch` is given. S3Trouble, which is an OSError: credentials or the address cannot be had."""
        account = self._account(sensor)
        place = await account.place()
        url = f"{place.url}/{quote(key, safe='/-_.~')}"
        return {
            "url": url,
            "headers": await account.sign(place, url) | {"Accept-Encoding": "identity"},
            "proxy": place.proxy,
            "authorities": place.session.get_config_variable("ca_bundle"),
            "region": place.region,
            "most": MOST,
            "folder": str(self._state),
        }

    async def move(self, sensor: str, region: str) -> None:
        """The bucket is in that region."""
        await self._account(sensor).move(region)

    def _account(self, sensor: str) -> Account:
        if sensor not in self._accounts:
            from sensord.sources.s3_account import Account

            self._accounts[sensor] = Account(self._buckets[sensor])
        return self._accounts[sensor]
