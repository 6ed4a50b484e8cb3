"""What is wished for, on its way into the ledger."""

from __future__ import annotations

from msgspec import Struct

from rules.event import Event
from rules.keys import ONCE, KeyRule


# Not frozen: that takes twice as long, and a burst makes thousands.
class NewRun(Struct, kw_only=True):
    """A run that is wished for, with the event that says so. `run_key` None: it runs always."""

    id: str
    job: str
    sensor: str | None
    run_key: str | None
    subject: str | None
    run_config: str
    tags: str
    partition_key: str | None
    priority: int
    requested_at: int
    event: Event
    claims: bool = True  # False for a run that repeats one whose key it bears without taking it.
    keys: KeyRule = ONCE
    version: str | None = None  # Of what was sensed, where the policy asks for it,
    newest: bool = True  # and whether it was the newest one there was.
    superseded: bool = False  # The two are set as the key is claimed: another request of the same batch took it,
    supersedes: str | None = None  # or this one took it from that run, which is to be cancelled.


class Tick(Struct, kw_only=True):
    """One sensed thing and what the rule made of it: runs, or the reason for none (`skipped`, `error`).

    A tick whose outcome is `cursor` moves the cursor and leaves no record of its own.
    """

    sensor: str
    subject: str
    at: int
    mark: int | None = None
    cursor: str | None = None
    runs: tuple[NewRun, ...] = ()
    outcome: str = "requested"
    reason: str | None = None
