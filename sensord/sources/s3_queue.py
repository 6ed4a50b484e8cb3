"""The queue that the bucket's notices arrive in: read as they come, and deleted once what they say is committed."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from notifiers.clock import Clock
from sensord.sources.s3 import S3Config
from sensord.sources.s3_listing import Bucket
from sensord.sources.s3_notices import Notice, read_notices
from sensord.sources.s3_objects import Version, printable
from sensord.sources.s3_once import Once
from sensord.sources.s3_trouble import S3Trouble, refused, unreachable

log = logging.getLogger(__name__)

_MOST, _LONG_POLL = 10, 20
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 60.0
_SHOWN = 200


class Queue:
    """Receives notices and sends on what they tell of.

    A message that cannot be followed now (its object cannot be asked about) stays in the queue, which gives it out
    again; no other waits for it.
    """

    def __init__(self, config: S3Config, bucket: Bucket, once: Once, clock: Clock) -> None:
        self._config = config
        self._bucket = bucket
        self._once = once
        self._clock = clock
        self._name = f"the queue {config.queue_url}"
        self._pause = _FIRST_PAUSE

    async def run(self) -> None:
        """Receive until cancelled."""
        while True:
            try:
                async with self._bucket.account.queue() as client:
                    while True:
                        await self._receive(client)
            except S3Trouble as trouble:
                if trouble.reopen:
                    self._bucket.account.forget()
                log.warning("s3.queue_not_read", extra={"queue": self._config.queue_url, "reason": str(trouble)})
                await self._once.bad("queue", str(trouble))
            await self._clock.sleep(self._pause)
            self._pause = min(2 * self._pause, _LONGEST_PAUSE)

    async def _receive(self, client: Any) -> None:
        answer = await self._ask(client.receive_message, MaxNumberOfMessages=_MOST, WaitTimeSeconds=_LONG_POLL)
        self._pause = _FIRST_PAUSE
        await self._once.good("queue")
        versions: list[Version] = []
        done: list[str] = []
        for message in answer.get("Messages", []):
            try:
                versions += await self._told_by(message)
            except S3Trouble as trouble:
                log.warning("s3.notice_kept", extra={"bucket": self._config.bucket, "reason": str(trouble)})
                await self._once.bad("objects", str(trouble))
                continue
            done.append(message["ReceiptHandle"])
        await self._once.send(versions)
        if done:
            await self._delete(client, done)
        self._once.looked()

    async def _told_by(self, message: Mapping[str, Any]) -> Sequence[Version]:
        notices = read_notices(message.get("Body", ""))
        if notices is None:
            said = printable(message.get("Body", ""))[:_SHOWN]
            log.info("s3.no_notice", extra={"queue": self._config.queue_url, "said": said})
            return []
        found = [await self._version(notice) for notice in notices]
        return [version for version in found if version is not None]

    async def _version(self, notice: Notice) -> Version | None:
        if notice.bucket != self._config.bucket:
            log.warning("s3.other_bucket", extra={"queue": self._config.queue_url, "bucket": notice.bucket})
            return None
        if not self._bucket.names.takes(notice.key):
            return None
        if notice.etag is not None and notice.size is not None:
            return Version(notice.key, notice.etag, notice.size, notice.at, notice.version)
        version = await self._bucket.head(notice.key)
        await self._once.good("objects")
        return version

    async def _delete(self, client: Any, receipts: Sequence[str]) -> None:
        entries = [{"Id": str(number), "ReceiptHandle": receipt} for number, receipt in enumerate(receipts)]
        answer = await self._ask(client.delete_message_batch, Entries=entries)
        for failed in answer.get("Failed", []):
            # It comes again, is known by then, and is deleted after all.
            log.warning("s3.not_deleted", extra={"queue": self._config.queue_url, "reason": failed.get("Message")})

    async def _ask(self, call: Any, **arguments: Any) -> Mapping[str, Any]:
        from botocore.exceptions import BotoCoreError, ClientError  # type: ignore[import-untyped]

        try:
            answer: Mapping[str, Any] = await call(QueueUrl=self._config.queue_url, **arguments)
        except ClientError as error:
            said = error.response.get("Error", {})
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            raise refused(self._name, status, said.get("Code", ""), said.get("Message", "")) from None
        except BotoCoreError as error:
            raise unreachable(self._name, error) from None
        return answer
