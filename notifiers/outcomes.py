"""What a try amounts to: the receipt or the error becomes the delivery's next state. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from msgspec import Struct
from msgspec.structs import replace

from notifiers.channels import DeliveryError, Reason
from notifiers.noise import DIGEST
from notifiers.owner import Owner
from notifiers.store import Claimed, Result
from rules.pacing import backoff

A_COPY_MAY_EXIST = "an answer was lost: it may have arrived more than once, or not at all"


class Patience(Struct, frozen=True, kw_only=True):
    """How long to go on. Durations in seconds.

    `base` and `cap` bound the wait between tries; after `give_up` of failures a delivery is dead, and after
    `aside` of a service's own errors it lets the younger of its lane pass. `longest_hold` bounds what a service
    may ask for: Telegram has asked for three hours, and nothing sane asks for more than a day. What may have arrived
    is sent once more and no more: that try is put off for as long as the destination has been in trouble, up to
    `doubtful`, because in an outage of a gateway that answers for its service each message would use up both tries.
    (Where the service can be asked whether it answers, it is asked before: see `Sending`.)
    """

    base: float = 1.0
    cap: float = 60.0
    give_up: float = 3 * 86400.0
    aside: float = 900.0
    longest_hold: float = 86400.0
    doubtful: float = 60.0
    moves: int = 3
    renderings: int = 5


def arrived(claimed: Claimed, receipt: Mapping[str, Any], parts: int, now: int) -> Result:
    """The current part was acknowledged: the next one goes, or the delivery has ended."""
    return _over_with(claimed, replace(claimed, progress=claimed.progress.arrived(_plain(receipt))), parts, now)


def refused_edit(claimed: Claimed, error: DeliveryError, now: int) -> Result:
    """The message can be edited no more: the same is sent at once, as another one."""
    text = storable(f"{error.reason}: {error}")
    return Result(
        claimed=claimed,
        status="pending",
        progress=claimed.progress,
        destination=claimed.destination,
        now=now,
        error=text,
        refused_edit=text,
    )


def repeatable(error: DeliveryError) -> DeliveryError:
    """The same for a call that may be made again whatever became of it: nothing is in doubt."""
    if error.uncertain or error.reason is Reason.answer_lost:
        return DeliveryError(str(error), Reason.unreachable)
    return error


def let_be(claimed: Claimed, parts: int, now: int) -> Result:
    """There is nothing left to send."""
    return _over_with(claimed, claimed, parts, now)


def _over_with(claimed: Claimed, after: Claimed, parts: int, now: int) -> Result:
    more = len(after.progress.receipts) < parts
    doubted = bool(after.progress.doubts)
    ended = "uncertain" if doubted else "delivered"
    return Result(
        claimed=claimed,
        status="pending" if more else ended,
        progress=after.progress,
        destination=claimed.destination,
        now=now,
        parts=parts,
        error=A_COPY_MAY_EXIST if doubted else None,
    )


def failed(  # noqa: PLR0911 - one return for each decision, in order
    claimed: Claimed,
    error: DeliveryError,
    parts: int | None,
    *,
    now: int,
    jitter: float,
    patience: Patience,
    owner: Owner,
    trouble: int = 0,
) -> Result:
    """The try did not deliver. The error's fields decide; they are read in the order of what they rule out.

    `trouble` is for how many microseconds the destination's service has not answered properly.
    """
    text = storable(f"{error.reason}: {error}")
    same = Result(
        claimed=claimed,
        status="pending",
        progress=claimed.progress,
        destination=claimed.destination,
        now=now,
        parts=parts,
        error=text,
        failing_since=claimed.failing_since,
    )
    moved = f"{claimed.destination.partition(':')[0]}:{error.moved_to}"
    if error.moved_to is not None and moved != claimed.destination:
        # At once, unless two names point at each other.
        wait = None if claimed.attempts <= patience.moves else now + _wait_us(claimed, jitter, patience)
        return replace(same, destination=moved, next_attempt_at=wait)
    if error.uncertain or error.reason is Reason.answer_lost:
        wait = max(_wait_us(claimed, jitter, patience), min(trouble, round(patience.doubtful * 1e6)))
        return _lost(same, parts, wait, owner)
    if error.retry_after is not None or error.reason is Reason.rate_limited:
        hold = min(error.retry_after if error.retry_after is not None else patience.base, patience.longest_hold)
        return replace(same, next_attempt_at=now + round(max(0.0, hold) * 1e6), hold=True)
    if error.pause and (claimed.answer is None or claimed.subscription == DIGEST):
        return replace(same, pause=text, notice=owner.paused(claimed.event, claimed.destination, text))
    since = claimed.failing_since if claimed.failing_since is not None else now
    if error.permanent or error.pause:
        return dead(same, text, owner)
    if now - since >= patience.give_up * 1e6:
        return dead(same, f"given up after {patience.give_up / 86400:g} days: {text}", owner)
    aside = error.reason is Reason.server_error and now - since >= patience.aside * 1e6
    return replace(same, failing_since=since, next_attempt_at=now + _wait_us(claimed, jitter, patience), aside=aside)


def dead(result: Result, text: str, owner: Owner) -> Result:
    """Nothing more is tried. Where an answer was lost before, somebody may have read it all the same."""
    claimed = result.claimed
    doubted = bool(result.progress.doubts)
    return replace(
        result,
        status="uncertain" if doubted else "dead",
        error=f"{text}; {A_COPY_MAY_EXIST}" if doubted else text,
        next_attempt_at=None,
        notice=owner.undelivered(claimed.event, claimed.destination, claimed.id, text),
    )


def _lost(same: Result, parts: int | None, wait: int, owner: Owner) -> Result:
    progress = same.claimed.progress.lost()
    if parts is not None and len(progress.receipts) >= parts:
        notice = owner.undelivered(same.claimed.event, same.destination, same.claimed.id, f"{same.error}")
        text = f"{same.error}; {A_COPY_MAY_EXIST}"
        return replace(same, status="uncertain", progress=progress, error=text, notice=notice)
    return replace(same, progress=progress, next_attempt_at=same.now + wait)


def _wait_us(claimed: Claimed, jitter: float, patience: Patience) -> int:
    failures = max(1, claimed.attempts - len(claimed.progress.receipts))
    return round(backoff(failures, base=patience.base, cap=patience.cap, jitter=jitter) * 1e6)


def _plain(receipt: Mapping[str, Any]) -> Mapping[str, Any]:
    """The receipt, or its id alone where a service's words cannot be kept as JSON: it must not undo the delivery."""
    try:
        orjson.dumps(receipt)
    except (TypeError, ValueError):
        return {"id": storable(str(receipt.get("id", "")))}
    return receipt


def storable(text: str) -> str:
    """Text that both databases take: no NUL, no lone surrogate; bounded, because a service's words may not be."""
    return text.replace("\x00", "\u2400").encode(errors="replace").decode()[:4000]
