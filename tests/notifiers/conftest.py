from __future__ import annotations

import pytest

from sensord.ledger.database import LedgerDatabase
from tests.notifiers.service import HeldTime, Patient, Watched


@pytest.fixture
def database(database: LedgerDatabase) -> Watched:
    return Watched(database)


@pytest.fixture
def time() -> HeldTime:
    return HeldTime()


@pytest.fixture
def wait(database: Watched, time: HeldTime) -> Patient:
    return Patient(database, time)
