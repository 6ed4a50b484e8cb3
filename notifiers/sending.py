"""One try: a claimed delivery is rendered and its next part sent, and whatever happens becomes a result."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from random import Random
from typing import TypeVar, cast

from msgspec.structs import replace

from notifiers.channels import Answering, Channel, DeliveryError, Editable, Part, Reason, Receipt
from notifiers.clock import Clock, to_us
from notifiers.marking import Change, sent_as
from notifiers.outcomes import Patience, arrived, failed, let_be, refused_edit, repeatable
from notifiers.owner import Owner
from notifiers.reading import Reader
from notifiers.reading.templates import Voice
from notifiers.store import Claimed, Result

log = logging.getLogger(__name__)

T = TypeVar("T")


_NO_ANSWER = frozenset({Reason.unreachable, Reason.server_error, Reason.answer_lost})


class Sending:
    """Sends; never raises but for cancellation."""

    def __init__(
        self,
        channels: Mapping[str, Channel],
        voices: Callable[[Reader], Voice],
        *,
        clock: Clock,
        patience: Patience,
        owner: Owner,
        random: Random,
    ) -> None:
        self.channels = channels
        self._voices = voices
        self._clock = clock
        self._patience = patience
        self._owner = owner
        self._random = random
        self._trouble: dict[str, int] = {}  # Since when the service of a destination does not answer properly.

    async def attempt(self, claimed: Claimed) -> Result:
        """Make one call for this delivery; the result is to be recorded."""
        if claimed.change is not None and not claimed.progress.receipts:
            return await self._change(claimed, claimed.change)
        parts: list[Part] | None = None
        position = len(claimed.progress.receipts)
        edits = claimed.edits
        try:
            channel, target = self._channel(claimed)
            parts = self._render(channel, target, claimed)
            if position >= len(parts):
                return let_be(claimed, len(parts), self._now())
            number, note = claimed.progress.current
            # A part that is sent again has the key that it had, and the note before it one of its own.
            part = replace(parts[position], key=f"{claimed.id}-{number}{'-note' * note}")
            if edits and claimed.living is not None and claimed.living.receipt is not None:
                receipt = claimed.living.receipt
                await _called(cast("Editable", channel).edit(target, receipt, part))
            else:
                await self._ask_first(channel, claimed)
                receipt = await _called(channel.send(target, part))
        except DeliveryError as error:
            if edits and error.permanent and not error.pause:
                log.info("delivery.edit_refused", extra={"delivery": claimed.id, "error": str(error)})
                return refused_edit(claimed, error, self._now())
            return self._failed(claimed, repeatable(error) if edits else error, parts)
        self._trouble.pop(claimed.destination, None)
        first = claimed.living is not None and not position
        kept = claimed.living.arrived(receipt) if first and claimed.living else {"id": receipt.id, **receipt.data}
        return arrived(claimed, kept, len(parts), self._now())

    async def _ask_first(self, channel: Channel, claimed: Claimed) -> None:
        """Where the service is in trouble, see that it answers before a message is risked.

        An answer that is lost leaves a message in doubt, and it is sent once more and no more: in an outage of a
        gateway that answers for its service, both would be lost within minutes. To ask leaves nothing in doubt.
        """
        doubted = claimed.progress.current[0] in claimed.progress.doubts
        if not (doubted or claimed.destination in self._trouble) or not isinstance(channel, Answering):
            return
        try:
            await _called(channel.answers())
        except DeliveryError as error:
            if error.uncertain or error.reason is Reason.answer_lost:
                raise DeliveryError(str(error), Reason.unreachable) from None
            if error.permanent and not error.pause:
                return  # That it will not say this is an answer, and says nothing of the message.
            raise

    async def _change(self, claimed: Claimed, change: Change) -> Result:
        """Change a message. Where that is not possible for good, the answer goes next, as a message of its own."""
        try:
            channel, target, receipt, part = self._changed(claimed, change)
            await _called(channel.edit(target, receipt, part))
        except DeliveryError as error:
            if error.permanent and not error.pause:
                log.info("delivery.unchangeable", extra={"delivery": claimed.id, "error": str(error)})
                over = replace(claimed.progress, receipts=(None,))
                same = claimed.destination
                return Result(claimed=claimed, status="pending", progress=over, destination=same, now=self._now())
            if error.uncertain or error.reason is Reason.answer_lost:
                # To change it again does no harm: nothing is in doubt.
                error = DeliveryError(str(error), Reason.unreachable)
            return self._failed(claimed, error, None)
        return arrived(claimed, {"id": receipt.id, **receipt.data}, 1, self._now())

    def _changed(self, claimed: Claimed, change: Change) -> tuple[Editable, str, Receipt, Part]:
        channel, target = self._channel(claimed)
        if not isinstance(channel, Editable):
            raise DeliveryError("messages cannot be changed there", Reason.refused, permanent=True)
        try:
            voice = self._voices(claimed.reader)
            return channel, target, *change.part(channel, voice.message(change.event), voice)
        except DeliveryError:
            raise
        except Exception as error:
            log.exception("delivery.unrenderable", extra={"delivery": claimed.id})
            text = f"the message cannot be rendered: {type(error).__name__}"
            raise DeliveryError(text, Reason.refused, permanent=True) from None

    def _channel(self, claimed: Claimed) -> tuple[Channel, str]:
        name, _, target = claimed.destination.partition(":")
        channel = self.channels.get(name)
        if channel is None:
            raise DeliveryError(f"no channel {name!r} is configured", Reason.gone, permanent=True)
        return channel, target

    def _render(self, channel: Channel, target: str, claimed: Claimed) -> list[Part]:
        try:
            channel.windows(target)
            if claimed.change is not None and claimed.answer is not None:
                return claimed.progress.lay_out(lambda message: sent_as(channel.render(message)), claimed.answer)
            voice = self._voices(claimed.reader)
            if claimed.living is not None:
                message = claimed.marks.on(claimed.living.message(voice, claimed.event), voice)
                return claimed.living.lay_out(claimed.progress, channel.render, message, voice)
            message = claimed.answer or voice.message(claimed.event)
            return claimed.progress.lay_out(channel.render, claimed.marks.on(message, voice), voice.say("repeat"))
        except Exception as error:
            # Nothing was sent for certain. It may be a passing trouble of the machine, so it is tried again.
            log.exception("delivery.unrenderable", extra={"delivery": claimed.id})
            tries = claimed.attempts - len(claimed.progress.receipts)
            raise DeliveryError(
                f"the message cannot be rendered: {type(error).__name__}",
                Reason.refused,
                permanent=tries >= self._patience.renderings,
            ) from None

    def _failed(self, claimed: Claimed, error: DeliveryError, parts: list[Part] | None) -> Result:
        log.info(
            "delivery.failed",
            extra={
                "delivery": claimed.id,
                "destination": claimed.destination,
                "reason": error.reason.value,
                "error": str(error),
            },
        )
        now = self._now()
        if error.reason in _NO_ANSWER:
            trouble = now - self._trouble.setdefault(claimed.destination, now)
        else:
            trouble = 0
            self._trouble.pop(claimed.destination, None)
        return failed(
            claimed,
            error,
            None if parts is None else len(parts),
            now=now,
            jitter=self._random.random(),
            patience=self._patience,
            owner=self._owner,
            trouble=trouble,
        )

    def _now(self) -> int:
        return to_us(self._clock.now())


async def _called(call: Awaitable[T]) -> T:
    try:
        return await call
    except DeliveryError:
        raise
    except Exception as error:  # noqa: BLE001 - a fault in one channel must not stop the others
        # The request may be out. The exception's own words may hold a secret, e.g. a URL with a token.
        where = error.__traceback__
        while where is not None and where.tb_next is not None:
            where = where.tb_next
        line = f"{where.tb_frame.f_code.co_name}:{where.tb_lineno}" if where is not None else ""
        log.error("channel.broke", extra={"error": type(error).__name__, "at": line})  # noqa: TRY400 - a traceback may hold a secret
        raise DeliveryError(f"the channel broke: {type(error).__name__}", Reason.answer_lost, uncertain=True) from None
