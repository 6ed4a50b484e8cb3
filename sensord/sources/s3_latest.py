"""Which version of an object is the newest, where that decides who keeps the run_key.

Notices come in any order, and a listing may be told of after a notice that overtook it. Neither times nor a notice's
`sequencer` put all of them into one order: a listing has no sequencer and whole seconds alone, clocks of a server's
machines differ, and servers other than Amazon's say that theirs do not agree. So the bucket itself is asked what it
holds, and asked again where a version of that object was committed since.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import inf

from msgspec.structs import replace

from notifiers.clock import Clock
from sensord.sources.s3 import S3Config
from sensord.sources.s3_listing import Bucket
from sensord.sources.s3_objects import Version, tag_of

_MOST = 10_000


class Latest:
    """Says of versions whether they are the newest. It knows when which object had a version committed last.

    Of the objects that had none for longest it forgets when, and takes it that they had one just then.
    """

    def __init__(self, config: S3Config, bucket: Bucket, clock: Clock) -> None:
        self._config = config
        self._bucket = bucket
        self._clock = clock
        self._committed: dict[str, float] = {}
        self._forgotten = -inf

    async def asked(self, version: Version) -> Version:
        """The version, `latest` if the bucket holds no later one. S3Trouble: the bucket cannot be asked."""
        asked = self._clock.monotonic()
        found = await self._bucket.find(version.key, version.version if self._config.versions else None)
        same = found is not None and found.latest and tag_of(self._config, found) == tag_of(self._config, version)
        return replace(version, latest=same, asked=asked)

    async def sure(self, versions: Iterable[Version]) -> Sequence[Version]:
        """The versions; those that were asked for before another one of their object was committed are asked again.

        From here to `committed` nobody else may commit any.
        """
        return [await self.asked(one) if one.latest and one.asked <= self._at(one.key) else one for one in versions]

    def committed(self, versions: Iterable[Version]) -> None:
        """These are committed by now."""
        now = self._clock.monotonic()
        for version in versions:
            self._committed.pop(version.key, None)  # What comes again goes behind all others.
            self._committed[version.key] = now
        while len(self._committed) > _MOST:
            self._forgotten = self._committed.pop(next(iter(self._committed)))

    def _at(self, key: str) -> float:
        return self._committed.get(key, self._forgotten)
