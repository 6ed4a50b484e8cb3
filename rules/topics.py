"""Topics are dotted tokens; patterns take `*` for one token and `>` for the rest, as in NATS."""

from __future__ import annotations

import sys
from bisect import bisect_left, insort
from collections.abc import Callable
from functools import lru_cache
from hashlib import blake2b
from typing import Any, Final, Generic, TypeVar, cast

from rules.phrases import phrase

MAX_TOPIC = 255
MAX_TOKEN = 120
_GRAMMAR: Final = phrase("a topic is tokens joined by single dots, e.g. runs.load_houses.failed")
_WILDCARDS: Final = phrase("in a pattern `*` stands for one whole token, and `>` as the last token for one or more")


def check_topic(topic: str) -> None:
    """Pass a topic that can be published on; else ValueError says what is wrong and what is right.

    At most 255 characters: tokens of one or more printable characters other than space, `.`, `*` and `>`,
    joined by dots.
    """
    if "*" not in topic and ">" not in topic and _sound(topic):
        return
    for token in _tokens(topic):
        if "*" in token or ">" in token:
            raise ValueError(
                phrase(
                    "topic {topic} holds a wildcard, which only a subscription may; {grammar}",
                    topic=repr(topic),
                    grammar=_GRAMMAR,
                )
            )


def check_pattern(pattern: str) -> None:
    """Pass a pattern that can be subscribed to; else ValueError says what is wrong and what is right.

    A pattern is a topic in which a whole token may be `*` (any one token), and the last may be `>` (one token or
    more).
    """
    tokens = _tokens(pattern)
    if ">" in tokens[:-1]:
        raise ValueError(
            phrase("pattern {pattern} has `>` before its end; {wildcards}", pattern=repr(pattern), wildcards=_WILDCARDS)
        )
    for token in tokens:
        if len(token) > 1 and ("*" in token or ">" in token):
            raise ValueError(
                phrase(
                    "pattern {pattern} has a wildcard inside the token {token}; {wildcards}",
                    pattern=repr(pattern),
                    token=repr(token),
                    wildcards=_WILDCARDS,
                )
            )


def _sound(text: str) -> bool:
    """One cheap test for the many good texts; what is wrong is looked for only in the bad."""
    return (
        0 < len(text) <= MAX_TOPIC
        and text.isprintable()
        and " " not in text
        and ".." not in text
        and text[0] != "."
        and text[-1] != "."
    )


def _tokens(text: str) -> list[str]:
    if _sound(text):
        return text.split(".")
    if not text:
        raise ValueError(phrase("topic '' is empty; {grammar}", grammar=_GRAMMAR))
    if len(text) > MAX_TOPIC:
        raise ValueError(
            phrase(
                "topic {topic}… has {count} characters; at most {most} are possible",
                topic=repr(text[:40]),
                count=len(text),
                most=MAX_TOPIC,
            )
        )
    tokens = text.split(".")
    for token in tokens:
        if not token:
            raise ValueError(phrase("topic {topic} has an empty token; {grammar}", topic=repr(text), grammar=_GRAMMAR))
        bad = next((character for character in token if character == " " or not character.isprintable()), None)
        if bad is not None:
            raise ValueError(
                phrase(
                    "topic {topic} holds {bad}; a token is letters, digits, `_`, `-` and other printable characters",
                    topic=repr(text),
                    bad=repr(bad),
                )
            )
    return tokens


def matches(pattern: str, topic: str) -> bool:
    """Whether the (legal) pattern takes the (legal) topic."""
    wanted, tokens = pattern.split("."), topic.split(".")
    if wanted[-1] == ">":
        wanted.pop()
        if len(tokens) <= len(wanted):
            return False
    elif len(tokens) != len(wanted):
        return False
    return all(want in ("*", token) for want, token in zip(wanted, tokens, strict=False))


@lru_cache(1024)  # The same few names come again and again.
def as_token(text: str, longest: int = MAX_TOKEN) -> str:
    """One legal token made of any text: what a token may not hold is percent-encoded, byte by byte of its UTF-8.

    Two texts give two tokens. `urllib.parse.unquote(token, errors="surrogatepass")` is the text again, but for
    the empty one (`%`) and for one whose token would pass `longest` characters (at least 20): that is cut and ends in
    `%~` and a hash.
    """
    if text.isalnum() and len(text) <= longest:
        return text
    token = "".join(
        character if character.isprintable() and character not in " .*>%" else _percent(character) for character in text
    )
    if len(token) <= longest:
        return token or "%"
    digest = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
    return f"{token[: longest - 2 - len(digest)]}%~{digest}"


def _percent(character: str) -> str:
    return "".join(f"%{byte:02X}" for byte in character.encode("utf-8", "surrogatepass"))


T = TypeVar("T")


class _Many(list[T]):
    """Several values of one pattern, in order: its own type, because a value may itself be a list."""

    __slots__ = ()


class _Nothing:
    __slots__ = ()


_NOTHING = _Nothing()


class _Node(Generic[T]):
    """One token's place. A million of them exist: no dict around a single child, no list around a single value."""

    __slots__ = ("children", "values")

    def __init__(self) -> None:
        self.children: dict[str, _Node[T]] | tuple[str, _Node[T]] | None = None
        self.values: T | _Many[T] | _Nothing = _NOTHING

    def child(self, token: str) -> _Node[T] | None:
        children = self.children
        if isinstance(children, tuple):
            return children[1] if children[0] == token else None
        return children.get(token) if children else None

    def grow(self, token: str) -> _Node[T]:
        """A new child; there must be none of that token."""
        grown: _Node[T] = _Node()
        token = sys.intern(token)  # The same few words stand in most patterns.
        if self.children is None:
            self.children = (token, grown)
        elif isinstance(self.children, tuple):
            self.children = {self.children[0]: self.children[1], token: grown}
        else:
            self.children[token] = grown
        return grown

    def prune(self, token: str) -> None:
        """Let go of the child of that token; there must be one."""
        if isinstance(self.children, dict):
            del self.children[token]
            if len(self.children) == 1:
                (self.children,) = self.children.items()
        else:
            self.children = None


class Trie(Generic[T]):
    """Values by topic pattern. Which values match a topic depends on what was added, never on the order of adding.

    Matching costs one look-up per token and per wildcard branch that exists, whatever number of patterns there is.
    """

    __slots__ = ("_count", "_key", "_root")

    def __init__(self, key: Callable[[T], Any] | None = None) -> None:
        """`key` is what the order of values is by, where they have none of their own."""
        self._root: _Node[T] = _Node()
        self._count = 0
        self._key: Callable[[T], Any] = key or _itself

    def __len__(self) -> int:
        """How many pairs of pattern and value are held."""
        return self._count

    def add(self, pattern: str, value: T) -> None:
        """Hold the value under the pattern; the same pair a second time changes nothing. ValueError: no pattern."""
        check_pattern(pattern)
        node = self._root
        for token in pattern.split("."):
            node = node.child(token) or node.grow(token)
        held = node.values
        if isinstance(held, _Nothing):
            node.values = value
        elif isinstance(held, _Many):
            place = bisect_left(held, self._key(value), key=self._key)
            if place < len(held) and held[place] == value:
                return
            held.insert(place, value)
        elif held == value:
            return
        else:
            several = _Many([held])
            insort(several, value, key=self._key)
            node.values = several
        self._count += 1

    def remove(self, pattern: str, value: T) -> None:
        """Let go of a pair that was added; KeyError if it was not."""
        path: list[tuple[_Node[T], str]] = []
        node = self._root
        for token in pattern.split("."):
            child = node.child(token)
            if child is None:
                raise KeyError((pattern, value))
            path.append((node, token))
            node = child
        self._drop(node, pattern, value)
        self._count -= 1
        for parent, token in reversed(path):
            if node.children or not isinstance(node.values, _Nothing):
                return
            parent.prune(token)
            node = parent

    def match(self, topic: str) -> list[T]:
        """The values whose pattern takes the topic, in order, once for each such pattern. ValueError: no topic."""
        check_topic(topic)
        found: list[T] = []
        level = [self._root]
        for token in topic.split("."):
            below: list[_Node[T]] = []
            for node in level:
                _descend(node, token, below, found)
            level = below
            if not level:
                break
        for node in level:
            _collect(node, found)
        if len(found) > 1:
            found.sort(key=self._key)
        return found

    def _drop(self, node: _Node[T], pattern: str, value: T) -> None:
        held = node.values
        if isinstance(held, _Many):
            place = bisect_left(held, self._key(value), key=self._key)
            if place < len(held) and held[place] == value:
                del held[place]
                if len(held) == 1:
                    node.values = held[0]
                return
        elif not isinstance(held, _Nothing) and held == value:
            node.values = _NOTHING
            return
        raise KeyError((pattern, value))


def _descend(node: _Node[T], token: str, below: list[_Node[T]], found: list[T]) -> None:
    """Go on from the node with that token: to the children that take it, and to what takes all the rest."""
    children = node.children
    if type(children) is dict:
        if (child := children.get(token)) is not None:
            below.append(child)
        if (child := children.get("*")) is not None:
            below.append(child)
        if (child := children.get(">")) is not None:
            _collect(child, found)
    elif children is not None:
        only, alone = cast("tuple[str, _Node[T]]", children)
        if only in (token, "*"):
            below.append(alone)
        elif only == ">":
            _collect(alone, found)


def _collect(node: _Node[T], found: list[T]) -> None:
    held = node.values
    if type(held) is _Many:
        found.extend(held)
    elif held is not _NOTHING:
        found.append(cast("T", held))


def _itself(value: T) -> T:
    return value
