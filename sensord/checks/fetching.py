"""Fetches an object into a file without a name, in the process that checks it: gone with that, however it ends.

Standard library only. What is asked for, and with which signature, was made by the daemon: no credentials are here.
"""

from __future__ import annotations

import os
import ssl
import tempfile
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from http.client import HTTPException
from typing import IO, Any
from urllib.error import HTTPError
from urllib.request import HTTPRedirectHandler, HTTPSHandler, OpenerDirector, ProxyHandler, Request, build_opener

_SECONDS = 60.0  # Without a byte. All of it together has the limit of the process.
_PIECE = 1 << 20
_PASSING = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS})


class DelayedError(Exception):
    """It cannot be fetched now, which says nothing of the object."""


class MovedError(Exception):
    """The bucket is in that region."""


class UnfetchedError(Exception):
    """It cannot be fetched, and why."""


class _Stay(HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


def fetch(wanted: Mapping[str, Any]) -> int:
    """The object as an open file without a name, as old as the object is; `wanted` is as `objects` makes it."""
    request = Request(wanted["url"], headers=dict(wanted["headers"]))  # noqa: S310 - the sensor's own server
    try:
        with _opener(wanted).open(request, timeout=_SECONDS) as answer:
            return _kept(answer, wanted["most"], wanted["folder"])
    except HTTPError as error:
        region = error.headers.get("x-amz-bucket-region", "")
        if region and region != wanted["region"]:
            raise MovedError(region) from None
        if error.code in _PASSING or error.code >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise DelayedError(f"its server answers HTTP {error.code}") from None
        raise UnfetchedError(f"it cannot be fetched: HTTP {error.code} {error.reason}".rstrip()) from None
    except (OSError, HTTPException) as error:
        reason = getattr(error, "reason", error)
        raise DelayedError(getattr(reason, "strerror", None) or type(reason).__name__) from None


def _opener(wanted: Mapping[str, Any]) -> OpenerDirector:
    scheme = wanted["url"].partition(":")[0]
    proxies = {scheme: wanted["proxy"]} if wanted["proxy"] else {}
    tls = ssl.create_default_context(cafile=wanted["authorities"])
    return build_opener(ProxyHandler(proxies), HTTPSHandler(context=tls), _Stay())


def _kept(answer: Any, most: int, folder: str) -> int:
    declared = answer.headers.get("Content-Length", "")
    if declared.isdecimal() and int(declared) > most:
        raise _too_large(most)
    file: IO[bytes] = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - it is the process's
    size = 0
    while piece := answer.read(_PIECE):
        size += len(piece)
        if size > most:
            raise _too_large(most)
        file.write(piece)
    file.flush()
    if declared.isdecimal() and size != int(declared):
        raise OSError("the connection ended before the object did")
    if modified := answer.headers.get("Last-Modified"):
        seconds = parsedate_to_datetime(modified).timestamp()
        os.utime(file.fileno(), (seconds, seconds))
    return os.dup(file.fileno())


def _too_large(most: int) -> UnfetchedError:
    return UnfetchedError(f"it is larger than the {most >> 20} MiB that are fetched to be checked")
