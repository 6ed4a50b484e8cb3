"""How somebody reads: in which language, and by which clock.

What is said stands in templates (`builtin/*.yaml`), in English; `ru.po` has it in Russian. A template yields a
message's structure and never markup, and what it is filled with is data, never itself a template.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from msgspec import Struct, field

from rules.phrases import phrase

LANGUAGES: Final = ("en", "ru")
"""The languages there are: English is that of the templates, the others have a catalogue."""


class Reader(NamedTuple):
    """Who reads: `lang` is one of LANGUAGES, `zone` the name of an IANA zone."""

    lang: str = "en"
    zone: str = "UTC"

    def but(self, lang: str | None, zone: str | None) -> Reader:
        """The same with what is given."""
        return Reader(lang or self.lang, zone or self.zone)

    @property
    def text(self) -> str:
        """The reader as it is stored."""
        return f"{self.lang} {self.zone}"


ENGLISH: Final = Reader()


def read_reader(text: str | None) -> Reader | None:
    """The reader that was stored as a text; None where none was, or one that is no longer known."""
    lang, _, zone = (text or "").partition(" ")
    return Reader(lang, zone) if lang in LANGUAGES and zone else None


def language_of(code: object) -> str | None:
    """The language of an IETF tag such as `ru-RU`, as chats tell of people; None where there is no catalogue."""
    lang = code.replace("_", "-").partition("-")[0].lower() if isinstance(code, str) else ""
    return lang if lang in LANGUAGES else None


def check_language(lang: str) -> str:
    """Pass a language that there is; ValueError names them."""
    if lang not in LANGUAGES:
        known = ", ".join(LANGUAGES)
        raise ValueError(phrase("there is no language {lang}; there are {known}", lang=repr(lang[:40]), known=known))
    return lang


Reading = tuple[str | None, str | None]
"""A language and a zone, as far as somebody says them."""


class Readers(Struct, frozen=True):
    """Who reads what is told to each subscription and each destination, where those say so: language and zone."""

    subscriptions: Mapping[str, Reading] = field(default_factory=dict)
    destinations: Mapping[str, Reading] = field(default_factory=dict)

    def of(self, otherwise: Reader, destination: str, subscription: str = "") -> Reader:
        """The subscription's, else that of the destination's oldest one that says any, else `otherwise`."""
        found = self.subscriptions.get(subscription) or self.destinations.get(destination)
        return otherwise if found is None else otherwise.but(*found)

    def most(self, otherwise: Reader, destination: str, subscriptions: Iterable[str]) -> Reader:
        """Who reads most of what goes to a destination because of these subscriptions."""
        counted = Counter(subscriptions).most_common()
        readers = Counter[Reader]()
        for subscription, count in counted:
            readers[self.of(otherwise, destination, subscription)] += count
        return readers.most_common(1)[0][0] if readers else self.of(otherwise, destination)

    @property
    def languages(self) -> frozenset[str]:
        """Every language that some say."""
        return frozenset(lang for lang, _ in self.subscriptions.values() if lang is not None)


def reading_of(options: Mapping[str, Any]) -> Reading:
    """The language and the zone that a subscription's options name; what cannot be is as if it were not there."""
    lang, zone = options.get("lang"), options.get("zone")
    return lang if lang in LANGUAGES else None, zone if isinstance(zone, str) and zone else None
