"""How the daemon's process sets Python up: two of its defaults are made for other programs than this."""

from __future__ import annotations

import gc
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module

# While the ledger's thread works, whoever lets go of the interpreter's lock for a moment waits this long to get it
# back. Python's 5 ms would stand at every small read of the loop; much less, and the two hand it to and fro within
# each commit (at 0.5 ms a tenth of the processor's time of an event that comes over HTTP).
_SWITCH_SECONDS = 0.0015
# A burst of thousands of runs is thousands of objects that live a while. By default each 700 of them are gone over in
# search of cycles, and again with the 7,000 they join: measured, a third of the time that a burst of requests takes.
_GC_THRESHOLDS = (10_000, 10, 10)


@contextmanager
def loading() -> Iterator[None]:
    """Load modules without looking for cycles meanwhile: what they make stays. Measured: a seventh of the time."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


@contextmanager
def importing_beside(name: str) -> Iterator[None]:
    """Import a module in a thread, while the body imports others; both are done in the end.

    For one that spends its import outside the interpreter's lock: aiohttp reads the system's certificates twice,
    measured as 0.1 s. Where it cannot be imported, whoever needs it says so.
    """
    thread = threading.Thread(target=_import, args=(name,), name=f"import {name}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        thread.join()


def _import(name: str) -> None:
    with suppress(ImportError):
        import_module(name)


def tune() -> None:
    """Set the process up for many small pieces of work in one busy thread and one that commits."""
    sys.setswitchinterval(_SWITCH_SECONDS)
    gc.set_threshold(*_GC_THRESHOLDS)


def settle() -> None:
    """What is loaded by now stays until the end: the search for cycles need not look at it any more."""
    gc.freeze()
