"""What there is to translate, and the catalogues brought up to date: `python -m notifiers.reading.extract`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po, write_po

from notifiers.chat.button_wording import LABELS
from notifiers.reading import LANGUAGES
from notifiers.reading.files import FAMILIES, WORDS, Entry
from notifiers.reading.templates import builtin

OURS: Final = ("yes", "no", "({{ type }} that cannot be shown)")
"""Texts that `notifiers.reading.language` says by itself."""

_FILLED: Final = re.compile(r"\{\{.*?\}\}")
_SAID: Final = ("text", "label", "title", "pre")


def messages() -> dict[str | tuple[str, str], str]:
    """Every text that is said, or its singular and plural, and the place where it stands."""
    found: dict[str | tuple[str, str], str] = {}
    for name in FAMILIES:
        for _, section in builtin(name).sections():
            for entry in section.entries():
                _take(found, entry)
    for entry in builtin(WORDS).words.values():
        _take(found, entry)
    for text in OURS:
        found.setdefault(text, "language.py")
    for label, _ in LABELS.values():
        found.setdefault(label, "button_wording.py")
    return found


def _take(found: dict[str | tuple[str, str], str], entry: Entry) -> None:
    for text in _texts(entry):
        found.setdefault(text, entry.file.removeprefix("built-in "))


def _texts(entry: Entry) -> Iterator[str | tuple[str, str]]:
    if "one" in entry.texts:
        yield entry.texts["one"], entry.texts["other"]
    for name in _SAID:
        text = entry.get(name)
        if text is not None and any(letter.isalpha() for letter in _FILLED.sub("", text)):
            yield text


def updated(lang: str, content: bytes) -> Catalog:
    """A catalogue with every text there is: what is new is empty, what is gone is left out."""
    import io

    kept = read_po(io.BytesIO(content), locale=lang)
    fresh = Catalog(locale=lang, project="sensord", charset="utf-8", fuzzy=False)
    for text, place in messages().items():
        before = kept.get(text if isinstance(text, str) else text[0])
        said = before.string if before is not None else ("" if isinstance(text, str) else ("",) * fresh.num_plurals)
        fresh.add(text, said, locations=[(place, 0)], flags=before.flags if before is not None else ())
    return fresh


def main() -> None:
    """Bring the catalogues beside this file up to date."""
    for lang in LANGUAGES[1:]:
        path = Path(__file__).with_name(f"{lang}.po")
        catalog = updated(lang, path.read_bytes() if path.exists() else b"")
        with path.open("wb") as file:
            write_po(file, catalog, width=0, omit_header=False, include_lineno=False)


if __name__ == "__main__":
    main()
