"""What can go wrong with a bucket or its queue, in a sentence that says what to do."""

from __future__ import annotations

from urllib.parse import urlsplit

from sensord.secrets import one_line

_PASSING = frozenset(
    {"SlowDown", "ServiceUnavailable", "InternalError", "RequestTimeout", "Throttling", "ThrottlingException"}
    | {"RequestLimitExceeded", "TooManyRequestsException", "RequestThrottled", "OperationAborted"}
)
_EXPIRED = frozenset({"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "InvalidToken"})
_REFUSED = frozenset(
    {"InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidClientTokenId", "UnrecognizedClientException"}
    | {"InvalidSecurity", "AuthFailure", "IncompleteSignature"}
)
_ABSENT = frozenset({"NoSuchBucket", "AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist"})
_SHOWN = 300
_NOT_FOUND, _FORBIDDEN, _SLOW, _BROKEN, _TIMEOUT = 404, 403, 429, 500, 408


class S3Trouble(OSError):
    """The bucket or the queue cannot be looked at; its text says why, and what to do.

    `passing`: worth another try within seconds. `reopen`: credentials and addresses are to be found afresh first.
    `region`: the bucket is in that region, not in the one that was asked.
    """

    def __init__(self, text: str, *, passing: bool = False, reopen: bool = False, region: str | None = None) -> None:
        super().__init__(text)
        self.passing = passing
        self.reopen = reopen
        self.region = region


def first_of(group: BaseExceptionGroup[S3Trouble]) -> S3Trouble:
    """One of several that tasks side by side ran into."""
    first = group.exceptions[0]
    return first_of(first) if isinstance(first, BaseExceptionGroup) else first


def refused(what: str, status: int, code: str, message: str, *, right: str, region: str | None = None) -> S3Trouble:
    """What an answer of that status means; `code` and `message` are the server's, and may be empty.

    `what` is a bucket or a queue, as in "the bucket data"; `right` is the permission that looking at it takes.
    """
    said = one_line(f"{code or status}: {message}" if message else code or str(status))[:_SHOWN]
    reopen, passing = False, False
    if code in _EXPIRED:
        text, reopen = f"the credentials for {what} have expired ({said}); renew them", True
    elif code in _REFUSED:
        text = f"the credentials for {what} are refused ({said}); check access_key and secret_key, or the profile"
        reopen = True
    elif code == "RequestTimeTooSkewed":
        text = f"{what} says that this machine's clock is wrong ({said}); set it"
    elif code in _PASSING or status in {_SLOW, _TIMEOUT} or status >= _BROKEN:
        text, passing = f"{what} cannot answer now ({said}); it is asked again", True
    elif code in _ABSENT or status == _NOT_FOUND:
        text = f"{what} does not exist ({said}); create it, or mend its name"
    elif status == _FORBIDDEN or code.startswith("AccessDenied"):
        text, reopen = f"no permission to look at {what} ({said}); allow {right}", True
    else:
        text = f"{what} cannot be looked at ({said})"
    return S3Trouble(text, passing=passing, reopen=reopen, region=region)


def unreachable(what: str, error: BaseException) -> S3Trouble:
    """No answer came: a connection that failed, or timed out."""
    said = one_line(str(error) or type(error).__name__)[:_SHOWN]
    return S3Trouble(f"{what} cannot be reached ({said}); it is asked again", passing=True)


def led_away(what: str, status: int, code: str, location: str) -> S3Trouble:
    """An answer that only says to ask somewhere else."""
    parts = urlsplit(location)
    where = f"to {parts.scheme}://{parts.hostname}" if parts.hostname else "elsewhere"
    said = one_line(f"{code or status}: it redirects {where}")[:_SHOWN]
    return S3Trouble(f"{what} cannot be looked at ({said}); check endpoint_url and region", passing=True)
