"""An S3 bucket: objects that arrive in it, once for each version, from listings and from notices in a queue.

What is promised: an object that stays is emitted once, whatever was missed meanwhile (a lost notice, a stopped daemon,
a bucket that was gone). Notices are only hints, and a listing finds what they did not tell of.

What is a version: by default, a key with its ETag, as listings and notices both name it. An upload that changes the
object is a new one; a second upload of the same bytes is not (where the server makes the ETag of something else than
the bytes, as Amazon does under a KMS key and for parts of other sizes, it is). With `versions: true` each upload to a
bucket that keeps versions is one, whatever its bytes: all versions are listed, not the newest of each key alone, and
the version id tells them apart. Notices and listings say the same of it in both cases, so that nothing fires twice.

What cannot be promised: an object that came and went between two listings (without `versions`, also one that was
overwritten), and of which no notice told, is never seen; with `ordered`, neither is one that comes late, under a key
that sorts before one already seen. Deletions are no business of this source, and a key that ends in a slash is a
folder, not an object.

Notices may come in another order than the uploads. With `keys: latest_wins` that does no harm: the bucket is asked of
each version that a notice tells of, one request each, and a version that it no longer holds as the newest takes the
run_key from no other. Of an object that is deleted none is the newest. This asks of the server that what it answers is
never older than what it notified of, as Amazon's is: where it lags behind, the newest version is taken for an old one.

A queue belongs to one sensor. What is not news of its bucket is left in it, for whoever it is meant for, or for the
queue's own redrive policy; news of the bucket is deleted when what it tells of is committed, or is not to be taken.
Where no listing meets everything (`listing: false`, `ordered`) the newest 100,000 versions are remembered: a notice
that comes again comes soon, and an older one is still held off by its run_key.

Templates see the object as `object`: `bucket key name size etag version latest last_modified uri`. `name` is what
follows the key's last slash. `version` is the version id where it is known: from notices, and with `versions`.
`latest` is false for versions that were no longer the newest of their key when they were listed, or asked about:
`when: object.latest` leaves them out. `last_modified` is of a notice the time when it happened.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from notifiers.clock import SYSTEM, Clock
from notifiers.settings import Duration, Secret, Settings
from sensord.sources import Source

_BUCKET = re.compile(r"[^\s/?#\x00-\x1f]{1,255}|arn:[^\s?#]{1,500}")


class S3Config(Settings):
    """The keys of `s3:`."""

    bucket: str = Field(description="the bucket's name")
    prefix: str | list[str] = Field(default="", description="only keys that begin with this, or with one of several")
    pattern: str | list[str] = Field(
        default="*", description="glob over what follows the key's last slash; with a slash, over the whole key"
    )
    suffix: str | list[str] = Field(default="", description="only keys that end with this, or with one of several")
    start_after: str | None = Field(default=None, description="only keys that sort after this one")
    ordered: bool = Field(
        default=False,
        description="new keys always sort after old ones (dated prefixes): each listing goes on where the last ended",
    )
    versions: bool = Field(
        default=False,
        description="each version of a bucket that keeps versions is one, by its id; default: by its ETag",
    )
    listing: bool = Field(default=True, description="false: rely on the queue's notices alone")
    interval: Duration = Field(default=60.0, description="how often the bucket is listed")
    parallel: int = Field(default=8, ge=1, le=64, description="how many requests of one listing are under way at once")
    queue_url: str | None = Field(default=None, description="the SQS queue that the bucket's notices arrive in")
    endpoint_url: str | None = Field(default=None, description="the server, where it is not Amazon's")
    region: str | None = None
    profile: str | None = Field(default=None, description="the profile of ~/.aws that has the credentials")
    access_key: Secret | None = Field(default=None, description="default: as the AWS command line finds it")
    secret_key: Secret | None = None
    session_token: Secret | None = None

    @field_validator("bucket")
    @classmethod
    def _names_a_bucket(cls, value: str) -> str:
        if not _BUCKET.fullmatch(value):
            raise ValueError("write the bucket's name alone, without s3:// and without a prefix")
        if value.endswith("--x-s3"):
            raise ValueError("a directory bucket (S3 Express) is not listed in the order of its keys; use another kind")
        return value

    @field_validator("endpoint_url", "queue_url")
    @classmethod
    def _address(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"https?://[^\s/?#@]+(/[^\s?#]*)?", value):
            raise ValueError("write an address that begins with http:// or https://, without a password in it")
        return value

    @field_validator("interval")
    @classmethod
    def _is_some_time(cls, value: float) -> float:
        if value <= 0:
            raise ValueError("must be longer than nothing; write for example 5m")
        return value

    @field_validator("pattern")
    @classmethod
    def _can_match(cls, value: str | list[str]) -> str | list[str]:
        for glob in _several(value):
            if not glob or glob.startswith("/") or glob.endswith("/"):
                raise ValueError(f"pattern {glob!r} matches no object; write a name, or a whole key")
        return value

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if (self.access_key is None) != (self.secret_key is None):
            raise ValueError("access_key and secret_key belong together; set both, or none")
        if self.session_token is not None and self.access_key is None:
            raise ValueError("session_token belongs to an access_key and a secret_key; set them too")
        if self.profile is not None and self.access_key is not None:
            raise ValueError("profile and access_key are two ways to name credentials; set one of them")
        if not self.listing and self.queue_url is None:
            raise ValueError("with `listing: false` nothing is looked at; set queue_url, or leave listing out")
        if self.ordered and self.versions:
            raise ValueError("with `ordered`, a new version of an old key is never listed; leave `versions` out, or it")
        return self

    @property
    def prefixes(self) -> list[str]:
        """The prefixes to list, in order; one that another covers is left out."""
        kept: list[str] = []
        for prefix in sorted(_several(self.prefix)) or [""]:
            if not kept or not prefix.startswith(kept[-1]):
                kept.append(prefix)
        return kept

    @property
    def patterns(self) -> list[str]:
        """`pattern`, always as a list."""
        return _several(self.pattern)

    @property
    def suffixes(self) -> tuple[str, ...]:
        """`suffix`, always as several; an empty one takes every key."""
        return tuple(_several(self.suffix)) or ("",)

    @property
    def queue_endpoint(self) -> str | None:
        """The server that the queue's URL names."""
        if self.queue_url is None:
            return None
        parts = urlsplit(self.queue_url)
        return f"{parts.scheme}://{parts.netloc}"

    @property
    def remembers(self) -> bool:
        """Whether versions are remembered by their marks. Where keys are ordered, the cursor alone says what is new."""
        return not self.ordered or self.queue_url is not None

    @property
    def meets_all(self) -> bool:
        """Whether a listing meets everything that is remembered, so that what it does not meet can be forgotten."""
        return self.listing and not self.ordered


def _several(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else list(value)


@asynccontextmanager
async def open_s3(name: str, config: S3Config, *, clock: Clock = SYSTEM, latest: bool = False) -> AsyncIterator[Source]:
    """An S3 sensor's source. Nothing is asked of any server before it runs.

    `latest`: of each version that a notice tells of, the bucket is asked whether it is the newest of its key.
    """
    from sensord.sources.s3_listing import open_bucket
    from sensord.sources.s3_source import S3Source

    async with open_bucket(config, clock) as bucket:
        yield S3Source(name, config, bucket, clock, latest=latest)
