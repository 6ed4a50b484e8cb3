"""Which state of a run is shown in the end, and when an edit may go."""

from __future__ import annotations

from itertools import pairwise

from rules.event import Severity
from rules.living import EDIT_GAP_US, due, place_of, state_named
from rules.pacing import Pacer, Window


def test_whatever_ends_a_run_comes_last_whenever_it_was_published() -> None:
    order = [
        place_of("queued", 1), place_of("started", 2), place_of("progress", 9),
        place_of("failed", 3), place_of("succeeded", 4),
    ]  # fmt: skip
    assert all(earlier < later for earlier, later in pairwise(order))
    assert place_of("recovered", 3) > place_of("progress", 9)


def test_events_that_tell_of_no_state_have_none() -> None:
    assert [state_named(one) for one in ("run.failed", "run.", "quality.failed", "run.surprise", "message")] == [
        "failed", None, None, None, None,
    ]  # fmt: skip


def test_what_is_bad_waits_only_between_edits_and_progress_ever_longer() -> None:
    assert due("failed", Severity.error, 0, 100) == 100
    assert due("failed", Severity.error, 1, 100) == 100 + EDIT_GAP_US
    assert due("succeeded", Severity.info, 0, 100) == 100 + EDIT_GAP_US
    gaps = [due("progress", Severity.debug, edits, 0) for edits in range(60)]
    assert gaps[:3] == [EDIT_GAP_US] * 3
    assert all(earlier <= later for earlier, later in pairwise(gaps))
    # Within a dozen calls, edits of progress alone span minutes.
    assert sum(gaps[:10]) > 600 * 1_000_000


def test_a_call_that_was_not_made_leaves_its_room_to_another() -> None:
    pacer, window = Pacer(), Window("chat", 1, 60.0)
    pacer.take([window], 0.0)
    assert pacer.earliest([window], 0.0) > 60.0
    pacer.undo([window])
    assert pacer.earliest([window], 0.0) == 0.0
