"""Texts for people that can be said in another language: an English text that knows what it was made of.

`phrase("There is no job {job}.", job=name)` is the text "There is no job load.", and remembers the sentence and what
fills it, so that whoever knows the reader says the same in theirs. What fills a phrase in is data, or another phrase.
The sentences stand in the catalogues; `python -m notifiers.reading.extract` finds them by the calls.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol


class Tongue(Protocol):
    """What a language knows of sentences."""

    def text(self, source: str) -> str:
        """The sentence in this language."""
        ...

    def forms(self, one: str, other: str) -> Sequence[str]:
        """The sentence's plural forms, in the order in which `form` counts them."""
        ...

    def form(self, count: int) -> int:
        """Which plural form a number takes."""
        ...

    def number(self, value: Any) -> str:
        """A number as it is written."""
        ...


class Phrase(str):
    """An English text, and how it was made. What is done with it as with any text makes a plain text of it."""

    __slots__ = ("other", "source", "values")
    source: str
    other: str | None
    values: Mapping[str, Any]

    def said(self, tongue: Tongue) -> str:
        """The text in another language."""
        values = {name: spoken(value, tongue) for name, value in self.values.items()}
        if self.other is None:
            return (tongue.text(self.source) if _words(self.source) else self.source).format_map(values)
        count = self.values["count"]
        return tongue.forms(self.source, self.other)[tongue.form(count)].format_map(
            {**values, "count": tongue.number(count)}
        )

    def changed(self, change: Callable[[str], str]) -> Phrase:
        """The same with every text that fills it changed."""
        return _made(self.source, self.other, {name: changed(value, change) for name, value in self.values.items()})


class _Sentence(Phrase):
    """A phrase that begins with a capital letter and ends with a full stop."""

    __slots__ = ()

    def said(self, tongue: Tongue) -> str:
        return _as_sentence(spoken(self.values["text"], tongue))

    def changed(self, change: Callable[[str], str]) -> Phrase:
        return sentence(changed(self.values["text"], change))


def phrase(source: str, /, **values: Any) -> Phrase:
    """A sentence with `{name}` in it, filled in. The catalogues know it by `source`, which is written out."""
    return _made(source, None, values)


def filled(source: str, values: Mapping[str, Any]) -> Phrase:
    """A sentence that is known already, as another phrase's `source`, filled in."""
    return _made(source, None, values)


def plural(one: str, other: str, /, count: int, **values: Any) -> Phrase:
    """A sentence about `{count}` things."""
    return _made(one, other, {"count": count, **values})


def lines(*texts: str) -> Phrase:
    """Texts, each on a line of its own."""
    return joined("\n", texts)


def joined(between: str, texts: Sequence[str]) -> Phrase:
    """Texts with something between them that is no word."""
    source = between.join(f"{{t{place}}}" for place in range(len(texts)))
    return _made(source, None, {f"t{place}": text for place, text in enumerate(texts)})


def sentence(text: str) -> Phrase:
    """What an error says as a sentence: with a capital letter, and a full stop."""
    return _new(_Sentence, _as_sentence(text), "{text}", None, {"text": text})


def why(error: Exception) -> str:
    """What an error says, as it was given to it."""
    return error.args[0] if len(error.args) == 1 and isinstance(error.args[0], str) else str(error)


def spoken(value: Any, tongue: Tongue) -> Any:
    """What fills a phrase in, in another language: phrases are said, all else stays."""
    return value.said(tongue) if isinstance(value, Phrase) else value


def changed(value: Any, change: Callable[[str], str]) -> Any:
    """The same with every text of it changed; what is no text stays."""
    if isinstance(value, Phrase):
        return value.changed(change)
    return change(value) if isinstance(value, str) else value


def _made(source: str, other: str | None, values: Mapping[str, Any]) -> Phrase:
    if other is None:
        text = source.format_map(values)
    else:
        count = values["count"]
        text = (source if count == 1 else other).format_map({**values, "count": f"{count:,}"})
    return _new(Phrase, text, source, other, values)


def _new(kind: type[Phrase], text: str, source: str, other: str | None, values: Mapping[str, Any]) -> Phrase:
    made = kind(text)
    made.source, made.other, made.values = source, other, values
    return made


def _as_sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def _words(source: str) -> bool:
    """Whether a sentence has words of its own; the names of what fills it in are none."""
    bare = source
    while (start := bare.find("{")) >= 0 and (end := bare.find("}", start)) >= 0:
        bare = bare[:start] + bare[end + 1 :]
    return any(letter.isalpha() for letter in bare)
