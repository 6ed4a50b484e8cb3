"""Who may do what: roles, each on certain topics. What no grant allows is denied."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from typing import Final, Self

from msgspec import Struct

from rules.topics import matches

EVERYTHING: Final = (">",)


class Role(IntEnum):
    """Each may do what those before it may.

    A viewer looks, and subscribes; an operator acts on runs; an owner lets others in.
    """

    viewer = 1
    operator = 2
    owner = 3

    @classmethod
    def parse(cls, text: str) -> Self:
        """The role of that name; ValueError names those that exist."""
        try:
            return cls[text]
        except KeyError:
            raise ValueError(f"role {text!r:.40} is none of {', '.join(cls.__members__)}") from None


class Grant(Struct, frozen=True):
    """A role on the topics that one of the patterns takes."""

    role: Role
    topics: tuple[str, ...] = EVERYTHING


def covers(wide: str, narrow: str) -> bool:
    """Whether every topic that the pattern `narrow` takes is one that the pattern `wide` takes."""
    have, want = wide.split("."), narrow.split(".")
    for place, own in enumerate(have):
        if place == len(want):
            return False
        if own == ">":
            return True
        if want[place] == ">" or own not in ("*", want[place]):
            return False
    return len(have) == len(want)


def may_tell(grants: Iterable[Grant], pattern: str, role: Role = Role.viewer) -> bool:
    """Whether they allow that role on everything that a pattern takes."""
    return any(grant.role >= role and any(covers(own, pattern) for own in grant.topics) for grant in grants)


def may_see(grants: Iterable[Grant], topics: Iterable[str], role: Role = Role.viewer) -> bool:
    """Whether they allow that role on something published on these topics: on one of them is enough."""
    topics = tuple(topics)
    patterns = [own for grant in grants if grant.role >= role for own in grant.topics]
    return any(matches(own, topic) for own in patterns for topic in topics)


def highest(grants: Iterable[Grant]) -> Role | None:
    """The highest role among them, on whatever topics."""
    return max((grant.role for grant in grants), default=None)
