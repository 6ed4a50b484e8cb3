"""What a person typed in a chat → a command and its words. Total: any text is a command, or is none."""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Collection, Mapping, Sequence
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any, Final

from msgspec import Struct

from rules.conditions import compile_where
from rules.phrases import joined, lines, phrase, sentence, why
from rules.topics import check_pattern

MAX_WORDS: Final = 64
MAX_PAYLOAD: Final = 64
"""Characters of a deep link's payload: Telegram takes no more, and of these alone: A-Z a-z 0-9 _ -."""

_COMMAND = re.compile(r"/([A-Za-z0-9_]{1,32})(?:@([A-Za-z0-9_]{1,64}))?(?:\s+(.*))?", re.DOTALL | re.ASCII)
_CONDITION = re.compile(r"([^<>=!]+)(>=|<=|!=|>|<|=)(.*)", re.DOTALL)
_PAYLOAD = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
# Phones and keyboards write these for what was meant.
_TYPED = str.maketrans({"≥": ">=", "≤": "<=", "≠": "!=", "\u00a0": " ", "\u202f": " "})


class CommandError(ValueError):
    """A command that cannot be done as it was typed; the text says what to type instead.

    Of several texts, each is a line. Phrases among them are said in the reader's language.
    """

    def __init__(self, *texts: str) -> None:
        super().__init__(lines(*texts) if len(texts) > 1 else texts[0])

    @property
    def text(self) -> str:
        """What it says."""
        return why(self)


class Command(Struct, frozen=True):
    """A command's name in small letters, and what was typed behind it."""

    name: str
    words: tuple[str, ...] = ()


class Usage(Struct, frozen=True):
    """How a command is typed, and what it does. `words` is the most that it takes, beside `NAME=VALUE` of `named`."""

    arguments: str
    summary: str
    words: int
    named: tuple[str, ...] = ()


COMMANDS: Final[Mapping[str, Usage]] = MappingProxyType(
    {
        "subscribe": Usage(
            phrase("PATTERN [severity>=warning] [tag=team:geo] [lang=ru]"),
            phrase("tell this chat of a topic"),
            MAX_WORDS,
        ),
        "unsubscribe": Usage(phrase("PATTERN or all"), phrase("stop telling this chat of it"), 1),
        "subs": Usage("", phrase("what this chat is told of"), 0),
        "topics": Usage(phrase("[PATTERN]"), phrase("which topics there are, and what was last said on each"), 1),
        "mute": Usage(
            phrase("TIME [PATTERN [WHY]]"), phrase("hold messages back for a while; alone: what is muted"), MAX_WORDS
        ),
        "unmute": Usage(phrase("[PATTERN or JOB]"), phrase("let them out again"), 1),
        "quiet": Usage(
            phrase("22:00-08:00 Europe/Lisbon, or off"), phrase("hold messages back in these hours of each day"), 5
        ),
        "lang": Usage(
            phrase("[en or ru] [ZONE]"), phrase("the language and the clock of messages here, e.g. ru Europe/Moscow"), 2
        ),
        "test": Usage("", phrase("send a test message to this chat"), 0),
        "status": Usage("", phrase("whether all is well"), 0),
        "runs": Usage(phrase("[JOB] [limit=5]"), phrase("the newest runs"), 1, named=("limit",)),
        "why": Usage(phrase("[EVENT or RUN]"), phrase("the whole story of it, or of the last message here"), 1),
        "chart": Usage(phrase("JOB"), phrase("a picture of how long its last runs took"), 1),
        "log": Usage(phrase("[RUN]"), phrase("the end of a run's output"), 1),
        "run": Usage(phrase("[JOB] [NAME=VALUE …]"), phrase("run a job: asks for its parameters"), MAX_WORDS),
        "cancel": Usage("", phrase("end the questions of /run"), 0),
        "help": Usage("", phrase("what can be asked here"), 0),
        "start": Usage("", phrase("begin, or use an invitation"), 1),
    }
)
"""Every command there is, in the order in which help shows them."""


def parse(text: str, me: str | None) -> Command | None:
    """The command that a message is; None where it is none, or is addressed to another than `me`, a bot's name."""
    match = _COMMAND.fullmatch(text.translate(_TYPED).strip())
    if match is None or (match[2] is not None and match[2].lower() != (me or "").lower()):
        return None
    words = (match[3] or "").split(maxsplit=MAX_WORDS)[:MAX_WORDS]
    return Command(match[1].lower(), tuple(words))


def check(command: Command) -> None:
    """Pass a command that there is, with no more words than it takes; else CommandError says what to type."""
    usage = COMMANDS.get(command.name)
    if usage is None:
        close = get_close_matches(command.name, COMMANDS, n=1)
        if close:
            raise CommandError(
                phrase(
                    "There is no command /{name}. Did you mean /{near}? /help lists them all.",
                    name=command.name,
                    near=close[0],
                )
            )
        raise CommandError(phrase("There is no command /{name}. /help lists them all.", name=command.name))
    if len(split(command.words, usage.named)[0]) > usage.words:
        more = phrase("That is more than /{name} takes.", name=command.name)
        raise CommandError(joined(" ", [more, typed(command.name)]))


def typed(name: str) -> str:
    """How to type a command, as a sentence."""
    usage = COMMANDS[name]
    if not usage.arguments:
        return phrase("Type: /{name}", name=name)
    return phrase("Type: /{name} {arguments}", name=name, arguments=usage.arguments)


def wanted(words: Sequence[str]) -> tuple[str, dict[str, Any]]:
    """The pattern and the conditions of `/subscribe`; CommandError says what is wrong with which word.

    A condition is `FIELD=VALUE` or `FIELD>=VALUE` (also `> < <= !=`), its field one of a subscription's `where`;
    `tag=NAME:VALUE` is short for `tags.NAME=VALUE`.
    """
    if not words:
        which = joined(" ", [phrase("Say which topic."), typed("subscribe")])
        raise CommandError(which, phrase("/topics shows which there are."))
    try:
        check_pattern(words[0])
        where = dict(_condition(word) for word in words[1:])
        compile_where(where)
    except CommandError:
        raise
    except ValueError as error:
        raise CommandError(sentence(why(error))) from None
    return words[0], where


def reading_of(words: Sequence[str]) -> tuple[list[str], str | None, str | None]:
    """The words of `/subscribe` without `lang=…` and `zone=…`, and the values of those."""
    rest, found = split(words, ("lang", "zone"))
    return rest, found.get("lang"), found.get("zone")


def split(words: Sequence[str], names: Collection[str]) -> tuple[list[str], dict[str, str]]:
    """Words without the `NAME=VALUE` of these names, and the values of those. `--NAME=VALUE` is the same."""
    rest: list[str] = []
    found: dict[str, str] = {}
    for word in words:
        name, equals, value = word.removeprefix("--").partition("=")
        if equals and name in names:
            found[name] = value
        else:
            rest.append(word)
    return rest, found


def limit_of(words: Sequence[str], most: int) -> tuple[list[str], int]:
    """The words without `limit=5`, and that number, `most` where it is not given; CommandError says what to type."""
    rest, found = split(words, ("limit",))
    text = found.get("limit", str(most))
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= most):
        raise CommandError(phrase("limit is a number from 1 to {most}, e.g. limit=5", most=most))
    return rest, int(text)


def _condition(word: str) -> tuple[str, str]:
    match = _CONDITION.fullmatch(word)
    if match is None:
        raise CommandError(
            phrase("{word} is no condition. Type e.g. severity>=warning, without spaces.", word=f"{word!r:.80}")
        )
    name, sign, value = match[1], match[2], match[3]
    if name in ("tag", "tags"):
        tag, colon, value = value.partition(":")
        if not colon or not tag:
            raise CommandError(phrase("Type a tag as tag=NAME:VALUE, e.g. tag=team:geo."))
        name = f"tags.{tag}"
    return name, value if sign == "=" else f"{sign}{value}"


class Invited(Struct, frozen=True):
    """A deep link's payload: an invitation's token."""

    token: str


class Shown(Struct, frozen=True):
    """A deep link's payload: a topic, or a pattern, to look at."""

    topic: str


def invitation(token: str) -> str:
    """The payload of a link that carries an invitation's token of at most 62 payload characters."""
    return f"i_{token}"


def topic_payload(pattern: str) -> str | None:
    """The payload of a link that carries a topic; None where it is too long for one."""
    payload = f"t_{urlsafe_b64encode(pattern.encode()).decode().rstrip('=')}"
    return payload if len(payload) <= MAX_PAYLOAD else None


def opened(payload: str) -> Invited | Shown | None:
    """What a deep link carries; None where it is no payload of ours."""
    if _PAYLOAD.fullmatch(payload) is None:
        return None
    kind, rest = payload[:2], payload[2:]
    if kind == "i_" and rest:
        return Invited(rest)
    if kind == "t_":
        try:
            pattern = urlsafe_b64decode(rest + "=" * (-len(rest) % 4)).decode()
            check_pattern(pattern)
        except ValueError:
            return None
        return Shown(pattern)
    return None
