"""The queue that the bucket's notices arrive in: read as they come, and deleted once what they say is committed."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import anyio

from notifiers.clock import Clock
from sensord.sources.s3 import S3Config
from sensord.sources.s3_listing import Bucket
from sensord.sources.s3_notices import Notice, read_news
from sensord.sources.s3_objects import Version, shown
from sensord.sources.s3_once import Once
from sensord.sources.s3_trouble import S3Trouble, first_of, refused, unreachable

log = logging.getLogger(__name__)

QUEUE = "queue"
_OBJECTS = "objects"
_MOST, _LONG_POLL = 10, 20
_MORE_READERS = 4
_LONGEST_HIDDEN = 12 * 3600.0  # The longest that a queue hides a message which it gave out.
_MOST_SAID = 1000
_RIGHTS = "sqs:ReceiveMessage and sqs:DeleteMessage"
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 60.0
_SHOWN = 200

Told = tuple[Notice, Version]


class Queue:
    """Receives notices and sends on what they tell of.

    A message that cannot be followed now (its object cannot be asked about) stays in the queue, which gives it out
    again; no other waits for it. So does one that is not for this sensor: somebody else may need it.
    """

    def __init__(self, config: S3Config, bucket: Bucket, once: Once, clock: Clock) -> None:
        self._config = config
        self._bucket = bucket
        self._once = once
        self._clock = clock
        self._name = f"the queue {config.queue_url}"
        self._pause = _FIRST_PAUSE
        self._kept: dict[str, float] = {}  # Messages that could not be followed, and when each was given out last.
        self._said: set[str] = set()
        self._many = anyio.Event()

    async def run(self) -> None:
        """Receive until cancelled."""
        while True:
            try:
                async with self._bucket.account.queue() as client, anyio.create_task_group() as tasks:
                    tasks.start_soon(self._read, client)
                    for _ in range(_MORE_READERS):
                        tasks.start_soon(self._read_along, client)
            except* S3Trouble as troubles:
                trouble = first_of(troubles)
                if trouble.reopen:
                    self._bucket.account.forget()
                log.warning("s3.queue_not_read", extra=self._extra(str(trouble)))
                await self._once.bad(QUEUE, str(trouble))
            await self._clock.sleep(self._pause)
            self._pause = min(2 * self._pause, _LONGEST_PAUSE)

    async def _read(self, client: Any) -> None:
        while True:
            await self._receive(client, _LONG_POLL)

    async def _read_along(self, client: Any) -> None:
        """Receive while there is more than one can carry: most of the time of receiving is waiting for answers."""
        while True:
            await self._many.wait()
            await self._receive(client, 0)

    async def _receive(self, client: Any, patience: int) -> None:
        """Receive once, and follow what was received."""
        began = self._clock.monotonic()
        answer = await self._ask(client.receive_message, MaxNumberOfMessages=_MOST, WaitTimeSeconds=patience)
        self._pause = _FIRST_PAUSE
        await self._once.good(QUEUE)
        messages = answer.get("Messages", [])
        if len(messages) == _MOST:
            self._many.set()
        elif self._many.is_set():
            self._many = anyio.Event()
        told: list[Told] = []
        done: list[str] = []
        for message in messages:
            of_it, ours = await self._follow(message)
            told += of_it
            if ours:
                done.append(message["ReceiptHandle"])
        # Uploads to one key in their order, as far as their notices come together.
        told.sort(key=lambda one: (one[0].at, one[0].order))
        await self._once.send(version for _, version in told)
        if done:
            await self._delete(client, done)
        await self._look_after_kept()
        self._once.looked()
        if not messages and patience and self._clock.monotonic() - began < patience / 2:
            await self._clock.sleep(_FIRST_PAUSE)  # A server that does not wait for messages is not to be besieged.

    async def _follow(self, message: Mapping[str, Any]) -> tuple[Sequence[Told], bool]:
        """What a message tells of, and whether it may be deleted once that is committed."""
        name, body = str(message.get("MessageId", "")), str(message.get("Body", ""))
        news = read_news(body)
        if news is None:
            if self._says(name):
                words = "not a notice of a bucket: left in the queue"
                log.warning("s3.no_notice", extra=self._extra(words) | {"id": name, "said": shown(body)[:_SHOWN]})
            return [], False
        others = news.buckets - {self._config.bucket}
        for other in others:
            if self._says(other):
                words = "a notice of another bucket: left in the queue; give each bucket a queue of its own"
                log.warning("s3.other_bucket", extra=self._extra(words) | {"other": shown(other)})
        try:
            found = [(notice, await self._version(notice)) for notice in news.made if self._takes(notice)]
        except S3Trouble as trouble:
            log.warning("s3.notice_kept", extra=self._extra(str(trouble)))
            self._kept[name] = self._clock.monotonic()
            await self._once.bad(_OBJECTS, str(trouble))
            return [], False
        self._kept.pop(name, None)
        return [(notice, version) for notice, version in found if version is not None], not others

    def _takes(self, notice: Notice) -> bool:
        return notice.bucket == self._config.bucket and self._bucket.names.takes(notice.key)

    async def _version(self, notice: Notice) -> Version | None:
        """The version that a notice tells of, asked for where the notice does not say enough to know it again."""
        whole = notice.etag is not None and notice.size is not None
        if whole and (notice.version is not None or not self._config.versions):
            told = Version(notice.key, notice.etag or "", notice.size or 0, notice.at, notice.version)
            return told if self._once.latest is None else await self._once.latest.asked(told)
        return await self._bucket.find(notice.key, notice.version if self._config.versions else None)

    async def _look_after_kept(self) -> None:
        """What is kept comes again until it can be followed, unless the queue puts it away or it is too old."""
        now = self._clock.monotonic()
        self._kept = {name: at for name, at in self._kept.items() if now - at < _LONGEST_HIDDEN}
        if not self._kept:
            await self._once.good(_OBJECTS)

    def _says(self, what: str) -> bool:
        """Whether this is worth a line in the log: it was not said before, or very long ago."""
        if what in self._said:
            return False
        if len(self._said) >= _MOST_SAID:
            self._said.clear()
        self._said.add(what)
        return True

    def _extra(self, reason: str) -> dict[str, Any]:
        return {"queue": self._config.queue_url, "bucket": self._config.bucket, "reason": reason}

    async def _delete(self, client: Any, receipts: Sequence[str]) -> None:
        entries = [{"Id": str(number), "ReceiptHandle": receipt} for number, receipt in enumerate(receipts)]
        answer = await self._ask(client.delete_message_batch, Entries=entries)
        for failed in answer.get("Failed", []):
            # It comes again, is known by then, and is deleted after all.
            log.warning("s3.not_deleted", extra=self._extra(str(failed.get("Message"))))

    async def _ask(self, call: Any, **arguments: Any) -> Mapping[str, Any]:
        from botocore.exceptions import BotoCoreError, ClientError  # type: ignore[import-untyped]
        from botocore.parsers import ResponseParserError  # type: ignore[import-untyped]

        try:
            answer: Mapping[str, Any] = await call(QueueUrl=self._config.queue_url, **arguments)
        except ClientError as error:
            said = error.response.get("Error", {})
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            code, message = str(said.get("Code", "")), str(said.get("Message", ""))
            raise refused(self._name, status, code, message, right=_RIGHTS) from None
        except (BotoCoreError, ResponseParserError, OSError) as error:
            raise unreachable(self._name, error) from None
        if "html" in answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("content-type", ""):
            raise S3Trouble(f"{self._name} answers with a web page; check queue_url")
        return answer
