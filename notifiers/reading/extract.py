"""What there is to translate, and the catalogues brought up to date: `python -m notifiers.reading.extract`."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po, write_po

from notifiers.reading import LANGUAGES
from notifiers.reading.files import FAMILIES, WORDS, Entry
from notifiers.reading.templates import builtin

OURS: Final = ("yes", "no", "({{ type }} that cannot be shown)")
"""Texts that `notifiers.reading.language` says by itself."""

_FILLED: Final = re.compile(r"\{\{.*?\}\}")
_PHRASES: Final = {"phrase": 1, "plural": 2}
_ROOT: Final = Path(__file__).parents[2]
_PACKAGES: Final = ("rules", "notifiers", "sensord")
_SAID: Final = ("text", "label", "value", "title", "pre")


@cache
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
    for path in sorted(path for package in _PACKAGES for path in (_ROOT / package).rglob("*.py")):
        code = path.read_text(encoding="utf-8")
        for said in phrases(code) if "rules.phrases" in code else ():
            found.setdefault(said, path.name)
    return found


def phrases(code: str) -> Iterator[str | tuple[str, str]]:
    """Every sentence that a program makes a phrase of (`rules.phrases`), or its singular and plural."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _PHRASES:
            said = tuple(_written(one) for one in node.args[: _PHRASES[node.func.id]])
            yield said[0] if len(said) == 1 else (said[0], said[1])


def _written(node: ast.expr) -> str:
    if not isinstance(node, ast.Constant) or not isinstance(node.value, str):
        raise TypeError(f"line {node.lineno}: a phrase's sentence is written out, so that it can be translated")
    return node.value


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
    fresh.header_comment, fresh.version = kept.header_comment, "0.1.0"
    fresh.last_translator, fresh.language_team = "sensord", lang
    fresh.creation_date = kept.creation_date
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
