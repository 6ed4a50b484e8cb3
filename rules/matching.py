"""Values by topic pattern, for very many patterns: each that may take a topic is looked up whole, by its hash.

Of a topic's tokens a pattern keeps some, has `*` in place of others, and may end in `>`: that is its shape. A million
patterns are of few shapes, so a topic has few patterns to look up, and none of their tokens is gone through. A trie
takes the patterns whose shape is one too many.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

from rules.topics import Trie, check_pattern, check_topic

SHAPES = 32
"""How many shapes are looked up. A look-up costs what a trie's three or four steps do."""

RECENT, FEW = 1024, 64
"""The same topics come again and again: of so many the values are remembered, where they are few, until one changes."""

T = TypeVar("T")


class _Shape(NamedTuple):
    """How many tokens there are before a `>`, if `rest`, or in all; and which of them are `*`."""

    tokens: int
    stars: tuple[int, ...]
    rest: bool

    @classmethod
    def of(cls, pattern: str) -> _Shape:
        tokens = pattern.split(".")
        rest = tokens[-1] == ">"
        stars = tuple(place for place, word in enumerate(tokens) if word == "*") if "*" in pattern else ()
        return cls(len(tokens) - rest, stars, rest)

    def takes(self, length: int) -> bool:
        """Whether a topic of so many tokens may have a pattern of this shape."""
        return length > self.tokens if self.rest else length == self.tokens


class _Use:
    """How many pairs there are of a shape, and where: that does not change as long as there is one."""

    __slots__ = ("looked_up", "pairs")

    def __init__(self, *, looked_up: bool) -> None:
        self.looked_up = looked_up
        self.pairs = 0


class _Many(list[T]):
    """Several values of one pattern, in order: its own type, because a value may itself be a list."""

    __slots__ = ()


class Patterns(Generic[T]):
    """Values by topic pattern. Which values match a topic depends on what was added, never on the order of adding.

    Matching costs one look-up for each shape of patterns, of which 32 at most are looked up, and the trie's steps for
    all others; whatever number of patterns there is.
    """

    __slots__ = ("_count", "_held", "_key", "_lengths", "_others", "_recent", "_uses")

    def __init__(self, key: Callable[[T], Any]) -> None:
        """`key` is what the order of values is by; two values that are not equal have two keys."""
        self._key = key
        self._held: dict[str, T | _Many[T]] = {}
        self._others: Trie[T] = Trie(key)
        self._uses: dict[_Shape, _Use] = {}
        self._lengths: dict[int, tuple[_Shape, ...]] = {}
        self._recent: OrderedDict[str, list[T]] = OrderedDict()
        self._count = 0

    def __len__(self) -> int:
        """How many pairs of pattern and value are held."""
        return self._count

    def add(self, pattern: str, value: T) -> None:
        """Hold the value under the pattern; the same pair a second time changes nothing. ValueError: no pattern."""
        check_pattern(pattern)
        shape = _Shape.of(pattern)
        use = self._uses.get(shape)
        if use is None:
            use = _Use(looked_up=sum(one.looked_up for one in self._uses.values()) < SHAPES)
            self._uses[shape] = use
            self._lengths.clear()
        if use.looked_up:
            added = self._hold(pattern, value)
        else:
            before = len(self._others)
            self._others.add(pattern, value)
            added = len(self._others) > before
        use.pairs += added
        self._count += added
        self._recent.clear()

    def remove(self, pattern: str, value: T) -> None:
        """Let go of a pair that was added; KeyError if it was not."""
        shape = _Shape.of(pattern)
        use = self._uses.get(shape)
        if use is None:
            raise KeyError((pattern, value))
        if use.looked_up:
            self._drop(pattern, value)
        else:
            self._others.remove(pattern, value)
        self._count -= 1
        self._recent.clear()
        use.pairs -= 1
        if not use.pairs:
            del self._uses[shape]
            self._lengths.clear()

    def match(self, topic: str) -> Sequence[T]:
        """The values whose pattern takes the topic, in order, once for each such pattern. ValueError: no topic."""
        recent = self._recent
        found = recent.get(topic)
        if found is None:
            found = self._match(topic)
            if len(found) <= FEW:
                recent[topic] = found
                if len(recent) > RECENT:
                    recent.popitem(last=False)  # One by one: to let go of all of them at once would take a while.
        return found

    def _match(self, topic: str) -> list[T]:
        check_topic(topic)
        tokens = topic.split(".")
        shapes = self._lengths.get(len(tokens))
        if shapes is None:
            shapes = self._of_length(len(tokens))
        found = self._others.match(topic) if self._others else []
        held = self._held
        for length, stars, rest in shapes:
            if stars:
                words = tokens[:length]
                for place in stars:
                    words[place] = "*"
                if rest:
                    words.append(">")
                one = held.get(".".join(words))
            elif rest:
                one = held.get(".".join([*tokens[:length], ">"]))
            else:
                one = held.get(topic)
            if one is None:
                continue
            if type(one) is _Many:
                found.extend(one)
            else:
                found.append(one)  # type: ignore[arg-type]
        if len(found) > 1:
            found.sort(key=self._key)
        return found

    def _of_length(self, length: int) -> tuple[_Shape, ...]:
        """The shapes to look up for a topic of so many tokens: 128 at most, so all of them may be kept."""
        shapes = tuple(shape for shape, use in self._uses.items() if use.looked_up and shape.takes(length))
        self._lengths[length] = shapes
        return shapes

    def _hold(self, pattern: str, value: T) -> bool:
        """Whether the value was not yet there."""
        held = self._held.get(pattern)
        if held is None:
            self._held[pattern] = value
        elif isinstance(held, _Many):
            place = bisect_left(held, self._key(value), key=self._key)
            if place < len(held) and held[place] == value:
                return False
            held.insert(place, value)
        elif held == value:
            return False
        else:
            several = _Many([held])
            insort(several, value, key=self._key)
            self._held[pattern] = several
        return True

    def _drop(self, pattern: str, value: T) -> None:
        held = self._held.get(pattern)
        if isinstance(held, _Many):
            place = bisect_left(held, self._key(value), key=self._key)
            if place < len(held) and held[place] == value:
                del held[place]
                if len(held) == 1:
                    (self._held[pattern],) = held
                return
        elif held is not None and held == value:
            del self._held[pattern]
            return
        raise KeyError((pattern, value))
