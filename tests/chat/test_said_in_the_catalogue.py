"""Nothing that a chat answers is written past the catalogue: a sentence in the code is a phrase."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted(path for path in (ROOT / "notifiers" / "chat").glob("*.py") if path.stem not in {"settings", "floods"})
FILES += [
    ROOT / name for name in ("rules/commands.py", "sensord/explain.py", "sensord/chat.py", "sensord/repeating.py")
]
SENTENCE = re.compile(r"[A-Za-z]{2,} [A-Za-z]{2,}|^[A-Z][a-z]+\.?$")
MEANT = {"_of_bot", "phrase", "plural", "column", "compile", "TypeVar", "Usage"}
AUDIT = {"text"}
"""What acts are recorded as, for the audit: in English, whoever reads it."""


def audited(tree: ast.AST) -> Iterator[ast.AST]:
    """What goes into an audit row, is logged, raised to a program, or says how a table is."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and {getattr(one, "id", "") for one in node.targets} & AUDIT:
            yield node.value
        if isinstance(node, ast.keyword) and node.arg == "name":
            yield node.value
        if isinstance(node, ast.keyword) and node.arg == "text" and isinstance(node.value, ast.JoinedStr | ast.IfExp):
            yield node.value
        if isinstance(node, ast.FunctionDef) and node.name in {"told", "requested_told", "_of_bot"}:
            yield node
        if isinstance(node, ast.Call):
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            if name in MEANT or ast.unparse(node.func).startswith("log."):
                yield node


def unsaid(code: str) -> list[str]:
    """The sentences of a program that are in no phrase."""
    tree = ast.parse(code)
    fine = {id(inner) for outer in audited(tree) for inner in ast.walk(outer)}
    fine |= {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}  # Docstrings.
    return [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in fine
        if SENTENCE.search(node.value) and not node.value.startswith(("/lang ", "Telegram", "Slack"))
    ]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_no_sentence_of_an_answer_is_written_past_the_catalogue(path: Path) -> None:
    assert unsaid(path.read_text(encoding="utf-8")) == []


def test_a_sentence_that_is_no_phrase_is_found() -> None:
    assert unsaid('answer(said("There is none."), f"No run of {job}.", phrase("It is said."))') == [
        "There is none.",
        "No run of ",
    ]
