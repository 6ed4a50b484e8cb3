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
        """Since when the oldest thing waits that is known, or due to be looked for, and was not emitted; None: nothing.

        The sensor's lag is the time from then to now; from a moment to come (when the next look is due) it begins
        there. What is not ready to be emitted, such as a file that its writer holds open, does not wait. Said before
        what waited is emitted, and again once it is; free of any database call.
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


@runtime_checkable
class Waking(Protocol):
    """A source that can be asked to look at once, instead of when it would by itself."""

    async def look_now(self) -> None:
        """Have `run` look now; return when it did.

        By then what there was at the call is committed, as ever with the cursor that covers it, or `emit.failed` was
        told why it cannot be. While nothing runs it waits. Cancelling it ends the waiting alone.
        """
        ...


class Source(Protocol):
    """One thing that is looked at, for ever."""

    async def run(self, emit: Emit, cursor: str | None) -> None:
        """Look until cancelled. Trouble outside is said with `emit.failed` and outlived, never raised."""
        ...

    async def look(self, known: set[int]) -> Sequence[Sensed]:
        """What one evaluation would emit now, without any effect: the dry run. OSError says why it cannot look."""
        ...

    def why(self, subject: str) -> str | None:
        """Why this subject would not be emitted (ignored by a pattern, still being written), else None."""
        ...
