"""Who may take a run_key that is held, where versions of one thing are heard of in any order."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rules.keys import POLICIES, Held, KeyRule

RULE = KeyRule("latest_wins")


@given(heard=st.lists(st.one_of(st.just("upload"), st.integers(0, 5)), max_size=30))
def test_whatever_is_heard_of_when_the_newest_version_keeps_the_key_once_it_was_heard_of(
    heard: list[str | int],
) -> None:
    uploaded, holder = 0, None
    for step in [*heard, 0]:
        if isinstance(step, str):
            uploaded += 1
            continue
        version = max(0, uploaded - step)  # So many uploads ago.
        held = holder
        newest = version == uploaded
        if held is None or RULE.takes(Held("running", f"v{held}", 0), f"v{version}", 0, newest=newest):
            holder = version
        if newest:
            assert holder == uploaded
        elif held is not None:
            assert holder == held, "an older version took the key"
    assert holder == uploaded


def test_a_version_that_was_replaced_takes_a_key_from_nobody_until_its_claim_has_expired() -> None:
    held = Held("succeeded", "v2", 0)
    assert not RULE.takes(held, "v1", 0, newest=False)
    assert RULE.takes(held, "v3", 0, newest=True)
    assert KeyRule("latest_wins", ttl=5).takes(held, "v1", 5, newest=False)
    for policy in POLICIES:
        if policy != "latest_wins":
            rule = KeyRule(policy)
            assert rule.takes(held, "v1", 0, newest=False) == rule.takes(held, "v1", 0)
