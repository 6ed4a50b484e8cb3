from __future__ import annotations

from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from rules.rights import Grant, Role, covers, highest, may_see, may_tell
from rules.topics import matches

TOPICS = [".".join(tokens) for length in range(1, 6) for tokens in product("abz", repeat=length)]


def pattern_strategy() -> st.SearchStrategy[str]:
    heads = st.lists(st.sampled_from(["a", "b", "*"]), max_size=3)
    return st.tuples(heads, st.sampled_from(["a", "b", "*", ">"])).map(lambda both: ".".join([*both[0], both[1]]))


@given(pattern_strategy(), pattern_strategy())
def test_a_pattern_covers_another_exactly_if_it_takes_all_that_the_other_takes(wide: str, narrow: str) -> None:
    # `z` is in no pattern, so it stands for whatever only a wildcard takes.
    taken = all(matches(wide, topic) for topic in TOPICS if matches(narrow, topic))
    assert covers(wide, narrow) == taken


grants = st.lists(
    st.builds(Grant, st.sampled_from(Role), st.lists(pattern_strategy(), min_size=1, max_size=2).map(tuple)), max_size=3
)


@given(grants, pattern_strategy(), st.sampled_from(Role))
def test_who_may_be_told_of_a_pattern_may_see_every_topic_of_it(held: list[Grant], pattern: str, role: Role) -> None:
    if may_tell(held, pattern, role):
        assert all(may_see(held, [topic], role) for topic in TOPICS if matches(pattern, topic))


@given(grants, st.sampled_from(TOPICS), st.sampled_from(Role))
def test_a_higher_role_may_do_what_a_lower_one_may_and_no_grant_is_nothing(
    held: list[Grant], topic: str, role: Role
) -> None:
    allowed = [may_see(held, [topic], one) for one in Role]
    assert allowed == sorted(allowed, reverse=True)
    assert not may_see([], [topic], role)
    assert not may_tell([], topic, role)
    best = highest(held)
    assert best is None or not may_see(held, [topic], Role.owner) or best is Role.owner
