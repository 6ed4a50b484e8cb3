"""Checks with their trend, and backfills as grids, on the page: in a real browser, with names that would be markup."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, text

from tests.conftest import in_ci
from tests.web.browser import CHROMIUM, Tab, open_tab
from tests.web.site import Site
from tests.web.test_page import HOSTILE, sign_in

pytestmark = pytest.mark.skipif(CHROMIUM is None and not in_ci(), reason="Chromium is not installed")
NOW = 1_795_000_000_000_000


@pytest.fixture
async def tab() -> AsyncIterator[Tab]:
    async with open_tab() as opened:
        yield opened


def insert(conn: Connection, table: str, row: dict[str, Any]) -> None:
    names = ", ".join(f'"{name}"' for name in row)
    conn.execute(text(f"INSERT INTO {table} ({names}) VALUES ({', '.join(f':{name}' for name in row)})"), row)


def check(conn: Connection, id_: str, name: str, *, passed: bool, trend: str) -> None:
    row = {"id": id_, "job": "load", "name": name, "series": "", "passed": passed, "severity": "error", "at": NOW}
    row |= {"in_a_row": 3, "since": NOW, "subject": None, "detail": f"{name} broke", "failed": 12, "rows": 1200}
    row |= {"run": None, "event": id_, "also": None, "trend": trend, "found": None, "accepted": None}
    insert(conn, "checks", row)


def backfill(conn: Connection, id_: str, states: Sequence[str | None]) -> None:
    row = {
        "id": id_,
        "job": HOSTILE[0],
        "status": "failed",
        "claimed": 4,
        "first_key": "a",
        "last_key": "z",
        "selection": "all",
    }
    row |= {"ordering": "oldest", "concurrency": 4, "run_config": "{}", "total": len(states), "created_at": NOW}
    row |= {"ended_at": NOW, "counts": '{"succeeded": 3, "failed": 1}'}
    insert(conn, "backfills", row)
    for position, state in enumerate(states):
        run = None
        if state is not None:
            run = f"{id_[:-4]}{position + 1000}"
            at = {"requested_at": NOW, "started_at": NOW, "ended_at": NOW}
            insert(conn, "runs", {**RUN, "id": run, "status": state, **at})
        of = {"backfill": id_, "position": position, "partition_key": HOSTILE[position % 7], "run": run}
        insert(conn, "backfill_partitions", {**of, "starts_at": NOW + position, "ends_at": NOW + position + 1})


RUN = {"job": "load", "attempt": 1, "priority": 0, "cancel_requested": False, "tags": "{}", "run_config": "{}"}
RUN |= {"metadata": "{}"}


async def test_checks_and_backfills_stand_on_the_page_and_no_name_of_them_is_markup(site: Site, tab: Tab) -> None:
    def fill(conn: Connection, _: Sequence[None]) -> list[None]:
        check(conn, "019aa000-0000-7000-8000-000000000001", HOSTILE[1], passed=False, trend="[0, 1, 4, 12]")
        check(conn, "019aa000-0000-7000-8000-000000000002", "rows", passed=True, trend="[0, 0]")
        backfill(conn, "019aa000-0000-7000-8000-000000000003", ["succeeded", "failed", "succeeded", "succeeded", None])
        return [None]

    await sign_in(site, tab)
    assert await tab.evaluate("document.querySelectorAll('#checks, #backfills').length") == 0
    await site.app.database.write(fill, None)
    await tab.open(f"{site.url}/")
    await tab.until(
        "document.querySelector('#checks .bars') && document.querySelectorAll('#backfills .cell').length === 5"
    )
    assert await tab.evaluate("document.querySelector('#checks .bars').textContent") == "▁▂▄█"
    assert await tab.evaluate("document.querySelectorAll('#checks .bars').length") == 1
    cells = "[...document.querySelectorAll('#backfills .cell')].map((one) => one.textContent).join('')"
    assert await tab.evaluate(cells) == "■✕■■·"
    shown = await tab.evaluate("document.querySelector('#checks').innerText")
    assert "12 of 1,200 rows failed, 3 times in a row" in shown
    assert HOSTILE[1] in shown
    assert await tab.evaluate("window.pwned") is None
    assert await tab.evaluate("document.querySelectorAll('main img, main script, main svg').length") == 0
    assert tab.messages == []
    if folder := os.environ.get("SENSORD_PICTURES"):
        await tab.screenshot(Path(folder) / "data.png")
