"""A source looks outside: a directory, a bucket, another system's runs. One file each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Protocol, runtime_checkable

from rules.request import Sensed


class Emit(Protocol):
    """What a source is given. Everything it says goes through here, and what was said is durable on return."""

    async def __call__(self, sensed: Sequence[Sensed], cursor: str | None = None) -> None:
        """Decide and commit these things, with the cursor that covers them, in one transaction.

        A source may call this again only after it returned: that is its back-pressure, and it makes batches of
        whatever gathered meanwhile. The same thing said twice is decided once.
        """
        ...

    async def failed(self, reason: str) -> None:
        """The source cannot look. Publishes `sensor.failed` once until `recovered`; repeats cost nothing."""
        ...

    async def recovered(self) -> None:
        """The source can look again. Publishes `sensor.recovered` if it had failed, else costs nothing."""
        ...

    def looked(self) -> None:
        """One evaluation ended, with or without something new; free of any database call."""
        ...

    def behind(self, since: datetime | None) -> None:
        """How old the oldest thing is that is known to be there and was not emitted; None: everything was.

        The sensor's lag is the time from then to now. Said before emitting what waited, and None once it is emitted;
        free of any database call.
        """
        ...

    async def marks(self) -> set[int]:
        """The marks of everything this sensor ever emitted and did not forget."""
        ...

    async def forget(self, marks: Iterable[int]) -> None:
        """Let go of marks of things that no longer exist."""
        ...


@runtime_checkable
class Remembering(Protocol):
    """A source that keeps in mind which run_keys are held, so as not to ask for them again and again."""

    def offer_again(self) -> None:
        """A run_key was let go of: ask once more for everything that there is."""
        ...


class Source(Protocol):
    """One thing that is looked at, for ever."""

    async def run(self, emit: Emit, cursor: str | None) -> None:
        """Look until cancelled. Trouble outside is said with `emit.failed` and outlived, never raised."""
        ...

    async def look(self, known: set[int]) -> Sequence[Sensed]:
        """What one evaluation would emit now, without any effect: the dry run."""
        ...

    def why(self, subject: str) -> str | None:
        """Why this subject would not be emitted (ignored by a pattern, still being written), else None."""
        ...
