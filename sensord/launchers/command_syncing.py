"""Making the journal durable beside other work: the disk's turn is the longest wait in starting a command.

This file belongs to the supervisor process: it imports the standard library and the file beside it.
"""

from __future__ import annotations

import os
import queue
import select
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sensord.launchers.command_journal import Journal
else:
    from command_journal import Journal


class Syncing:
    """At most one sync at a time, in a thread. `fd` is readable when it has ended, and `take` says so once."""

    def __init__(self, journal: Journal, poll: select.epoll) -> None:
        self._journal = journal
        self._wanted: queue.SimpleQueue[None] = queue.SimpleQueue()  # In C: a semaphore of Python's is ten calls.
        self._error: OSError | None = None
        self.busy = False
        self.fd = os.eventfd(0, os.EFD_CLOEXEC)
        poll.register(self.fd, select.EPOLLIN)
        threading.Thread(target=self._serve, name="sync", daemon=True).start()

    def begin(self) -> None:
        """Sync what is written by now; `fd` tells when that is done."""
        self.busy = True
        self._journal.hand_over()
        self._wanted.put(None)

    def take(self) -> None:
        """The sync has ended. OSError: it failed, which is final, as what the file holds is then unknown."""
        os.eventfd_read(self.fd)
        self.busy = False
        if self._error is not None:
            raise self._error

    def _serve(self) -> None:
        while True:
            self._wanted.get()
            try:
                self._journal.make_durable()
            except OSError as error:
                self._error = error
            os.eventfd_write(self.fd, 1)
