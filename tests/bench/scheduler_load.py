"""Who is to be told what, by when at the earliest, and what became of it: for us and for those beside us."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from notifiers.channels.slack import Slack
from notifiers.channels.telegram import Telegram
from rules.pacing import Window

NUMBER = re.compile(r"(message \d+)\.")


@dataclass(frozen=True, kw_only=True)
class Load:
    """`messages` are (destination, text), in the order in which they are wanted, all at the same moment."""

    messages: Sequence[tuple[str, str]]

    @classmethod
    def spread(cls, count: int, *, private: int, groups: int, rooms: int, seed: int = 1) -> Load:
        """So many, each to a destination drawn by lot."""
        rng, to = random.Random(seed), destinations(private, groups, rooms)
        return cls(messages=[(rng.choice(to), f"message {number}.") for number in range(count)])

    def only(self, channel: str) -> Load:
        """What goes by one channel."""
        return Load(messages=[one for one in self.messages if one[0].startswith(f"{channel}:")])


def destinations(private: int, groups: int, rooms: int) -> list[str]:
    """Private chats, groups, and channels of Slack."""
    chats = [f"telegram:{1001 + number}" for number in range(private)]
    chats += [f"telegram:-100{1_000_000_001 + number}" for number in range(groups)]
    return chats + [f"slack:C{number:08}" for number in range(rooms)]


def windows_of(load: Load) -> Mapping[str, Sequence[Window]]:
    """The limits that our channels declare, the only ones that a scheduler can know; the doubles' are no stricter."""
    return {to: _windows(*to.split(":", 1)) for to, _ in load.messages}


def _windows(channel: str, target: str) -> Sequence[Window]:
    # Neither of them looks at what it is a method of: no connection is opened for this.
    if channel == "telegram":
        return Telegram.windows(Telegram.__new__(Telegram), target)
    return Slack.windows(Slack.__new__(Slack), target)


def optimum(load: Load, windows: Mapping[str, Sequence[Window]]) -> float:
    """Seconds between the first and the last arrival that no order of sending can stay below.

    Of N calls that count against a window of L calls in S seconds, each is at least S after the Lth before it: the last
    comes at least floor((N - 1) / L) * S after the first. Calls to one destination count against several windows of
    their own at once: theirs is what goes out as early as all of those allow. The longest of these, over all windows
    and destinations, is a lower bound, of which nothing says that it can be reached.
    """
    counts: Counter[Window] = Counter()
    for to, _ in load.messages:
        counts.update(windows[to])
    shared = max((total - 1) // window.limit * window.seconds for window, total in counts.items())
    own = max(_alone(total, windows[to]) for to, total in Counter(to for to, _ in load.messages).items())
    return max(shared, own)


def _alone(count: int, windows: Sequence[Window]) -> float:
    """How long so many calls to one destination take where there is nothing else."""
    at: list[float] = []
    for number in range(count):
        early = [at[number - window.limit] + window.seconds for window in windows if number >= window.limit]
        at.append(max([0.0, *at[-1:], *early]))
    return at[-1]


@dataclass
class Told:
    """What a double has seen of one load: arrivals in order, and how many calls it refused for being too early."""

    arrivals: list[tuple[float, str]] = field(default_factory=list)
    refused: int = 0

    def add(self, at: float, text: str, *, status: int, committed: bool) -> None:
        """One more call."""
        self.refused += status == 429
        if committed:
            self.arrivals.append((at, text))

    @property
    def makespan(self) -> float:
        """From the first arrival to the last."""
        return self.arrivals[-1][0] - self.arrivals[0][0] if self.arrivals else 0.0

    def missing(self, load: Load) -> int:
        """How many messages never came."""
        came = {number for _, text in self.arrivals for number in NUMBER.findall(text)}
        return sum(NUMBER.findall(text)[0] not in came for _, text in load.messages)
