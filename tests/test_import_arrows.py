"""Who may import whom: rules ← notifiers ← sensord, siblings apart, each SDK in its own file, no cycles."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("rules", "notifiers", "sensord")
ARROWS: Mapping[str, tuple[str, ...]] = {"rules": ("rules",), "notifiers": ("rules", "notifiers")}
APART = ("notifiers.channels", "sensord.sources", "sensord.launchers", "sensord.hooks")
SDKS: Mapping[str, str] = {
    "telegram": "notifiers/channels/telegram*.py",
    "httpx": "notifiers/channels/telegram*.py",
    "slack_sdk": "notifiers/channels/slack*.py",
    "apprise": "notifiers/channels/apprise*.py",
    "watchdog": "sensord/sources/directory*.py",
    "aiobotocore": "sensord/sources/s3*.py",
    "dagster": "sensord/hooks/dagster*.py",
    "airflow": "sensord/hooks/airflow*.py",
    "prefect": "sensord/hooks/prefect*.py",
}
IMPURE = frozenset(
    {"time", "random", "os", "socket", "secrets", "uuid", "asyncio", "anyio", "threading", "subprocess", "shutil"}
)
CLOCKS = frozenset({"now", "utcnow", "today"})


@dataclass(frozen=True)
class Module:
    """One source file: its dotted name, and what it imports, anywhere and when it is itself imported."""

    name: str
    path: str
    tree: ast.Module
    package: bool

    def imports(self, known: Mapping[str, Module], nodes: Iterator[ast.AST]) -> set[str]:
        found: set[str] = set()
        for node in nodes:
            if isinstance(node, ast.Import):
                found.update(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                source = self._absolute(node)
                for alias in node.names:
                    # `from package import name`: the name is a module, or something inside the package.
                    inner = f"{source}.{alias.name}"
                    found.add(inner if inner in known else source)
        return found

    def anywhere(self, known: Mapping[str, Module]) -> set[str]:
        return self.imports(known, iter(ast.walk(self.tree)))

    def at_import(self, known: Mapping[str, Module]) -> set[str]:
        return self.imports(known, _executed(self.tree.body))

    def _absolute(self, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        parts = self.name.split(".") if self.package else self.name.split(".")[:-1]
        parts = parts[: len(parts) - node.level + 1]
        return ".".join([*parts, node.module] if node.module else parts)


def _executed(body: Sequence[ast.stmt]) -> Iterator[ast.AST]:
    """The statements that run when the module is imported: not those of functions, nor those for type checkers."""
    for statement in body:
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if isinstance(statement, ast.If) and "TYPE_CHECKING" in ast.unparse(statement.test):
            yield from _executed(statement.orelse)
            continue
        yield statement
        for name in ("body", "orelse", "finalbody"):
            yield from _executed(getattr(statement, name, []))
        for handler in getattr(statement, "handlers", []):
            yield from _executed(handler.body)


def modules(root: Path) -> dict[str, Module]:
    found: dict[str, Module] = {}
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            relative = path.relative_to(root)
            parts = list(relative.with_suffix("").parts)
            is_package = parts[-1] == "__init__"
            name = ".".join(parts[:-1] if is_package else parts)
            tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
            found[name] = Module(name, relative.as_posix(), tree, is_package)
    return found


def broken_arrows(root: Path) -> list[str]:
    """Every import that breaks a rule of the tree, as a sentence."""
    known = modules(root)
    broken: list[str] = []
    for module in known.values():
        imported = sorted(module.anywhere(known))
        broken += _against_the_arrows(module, imported)
        broken += _siblings(module, imported)
        broken += _foreign_sdks(module, imported)
        if module.name.split(".")[0] == "rules":
            broken += _impurities(module, imported)
    return [*broken, *_cycles(known)]


def _against_the_arrows(module: Module, imported: list[str]) -> Iterator[str]:
    allowed = ARROWS.get(module.name.split(".")[0], PACKAGES)
    for name in imported:
        if name.split(".")[0] in PACKAGES and name.split(".")[0] not in allowed:
            yield f"{module.name} imports {name}, against the arrows"


def _siblings(module: Module, imported: list[str]) -> Iterator[str]:
    for package in APART:
        if not module.name.startswith(f"{package}."):
            continue
        for name in imported:
            if name.startswith(f"{package}.") and _part(name, package) != _part(module.name, package):
                yield f"{module.name} imports its sibling {name}"


def _part(name: str, package: str) -> str:
    """A part may be several files that begin with its name: `telegram.py` and `telegram_text.py` are one."""
    return name.removeprefix(f"{package}.").split(".")[0].split("_")[0]


def _foreign_sdks(module: Module, imported: list[str]) -> Iterator[str]:
    for name in imported:
        place = SDKS.get(name.split(".")[0])
        if place is not None and not fnmatchcase(module.path, place):
            yield f"{module.name} imports {name}, which belongs to {place}"


def _impurities(module: Module, imported: list[str]) -> Iterator[str]:
    for name in imported:
        if name.split(".")[0] in IMPURE:
            yield f"{module.name} imports {name}, but decides purely"
    for node in ast.walk(module.tree):
        if isinstance(node, ast.AsyncFunctionDef | ast.Await | ast.AsyncFor | ast.AsyncWith):
            yield f"{module.name} is asynchronous in line {node.lineno}"
        if isinstance(node, ast.comprehension) and node.is_async:
            yield f"{module.name} is asynchronous in a comprehension"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "open":
            yield f"{module.name} opens a file in line {node.lineno}"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in CLOCKS:
            yield f"{module.name} reads a clock in line {node.lineno}"


def _cycles(known: Mapping[str, Module]) -> Iterator[str]:
    """Importing `a.b.c` runs `a` and `a.b` first, unless they are already under way as one's own packages."""
    edges: dict[str, set[str]] = {}
    for module in known.values():
        targets: set[str] = set()
        for name in module.at_import(known):
            parts = name.split(".")
            outer = {".".join(parts[:count]) for count in range(1, len(parts))}
            own = {part for part in outer if f"{module.name}.".startswith(f"{part}.")}
            targets |= {name} | (outer - own)
        edges[module.name] = (targets & known.keys()) - {module.name}
    done: set[str] = set()
    for start in edges:
        yield from _search(start, edges, [], done)


def _search(name: str, edges: Mapping[str, set[str]], path: list[str], done: set[str]) -> Iterator[str]:
    if name in path:
        yield f"import cycle: {' → '.join([*path[path.index(name) :], name])}"
        return
    if name in done:
        return
    for target in sorted(edges[name]):
        yield from _search(target, edges, [*path, name], done)
    done.add(name)


def test_the_source_tree_keeps_its_arrows() -> None:
    assert broken_arrows(ROOT) == []
    assert len(modules(ROOT)) > 10


CLEAN = {
    "rules/__init__.py": "",
    "rules/event.py": "from datetime import UTC",
    "rules/request.py": "from rules import event\nfrom .event import x",
    "notifiers/__init__.py": "",
    "notifiers/message.py": "from rules.event import x",
    "notifiers/channels/__init__.py": "import rules.event",
    "notifiers/channels/slack.py": "from notifiers.channels import Channel\nfrom slack_sdk.web import x",
    "notifiers/channels/telegram.py": "def f():\n    import telegram.ext",
    "notifiers/channels/telegram_text.py": "import notifiers.channels.telegram",
    "sensord/__init__.py": "def __getattr__(name):\n    from sensord import hooks",
    "sensord/app.py": "from sensord import sources\nimport notifiers.channels.slack",
    "sensord/hooks/__init__.py": "import sensord",
    "sensord/sources/__init__.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import sensord.app",
    "sensord/sources/directory.py": "import watchdog.events\nfrom sensord.sources import Source",
    "sensord/sources/directory_scan.py": "import watchdog",
}


def plant(root: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def test_a_tree_that_keeps_them_has_nothing_to_report(tmp_path: Path) -> None:
    plant(tmp_path, CLEAN)
    assert broken_arrows(tmp_path) == []


@pytest.mark.parametrize(
    ("path", "text", "sentence"),
    [
        ("rules/bad.py", "import notifiers.message", "rules.bad imports notifiers.message, against"),
        ("rules/bad.py", "def f():\n    from sensord import app", "rules.bad imports sensord.app, against"),
        ("notifiers/bad.py", "from sensord.app import x", "notifiers.bad imports sensord.app, against"),
        ("notifiers/channels/bad.py", "from . import slack", "imports its sibling notifiers.channels.slack"),
        ("notifiers/channels/bad.py", "from .slack import x", "imports its sibling notifiers.channels.slack"),
        (
            "notifiers/channels/slack_blocks.py",
            "from .telegram_text import x",
            "imports its sibling notifiers.channels.t",
        ),
        ("notifiers/channels/bad.py", "def f():\n  import notifiers.channels.slack", "imports its sibling"),
        ("sensord/sources/bad.py", "from sensord.sources.directory import x", "imports its sibling"),
        ("sensord/launchers/bad.py", "from sensord.launchers.python import x", "imports its sibling"),
        ("sensord/hooks/bad.py", "from sensord.hooks.dbt import x", "imports its sibling"),
        ("sensord/bad.py", "import telegram", "imports telegram, which belongs to notifiers/channels/telegram"),
        ("sensord/bad.py", "def f():\n    from slack_sdk.web import x", "imports slack_sdk.web, which belongs"),
        ("notifiers/channels/bad.py", "import watchdog.events", "imports watchdog.events, which belongs"),
        ("sensord/bad.py", "import httpx", "imports httpx, which belongs"),
        ("sensord/sources/bad.py", "import aiobotocore.session", "imports aiobotocore.session, which belongs"),
        ("rules/bad.py", "import time", "rules.bad imports time, but decides purely"),
        ("rules/bad.py", "from os.path import join", "rules.bad imports os.path, but decides purely"),
        ("rules/bad.py", "def f():\n    import random", "rules.bad imports random"),
        ("rules/bad.py", "import socket", "rules.bad imports socket"),
        ("rules/bad.py", "async def f(): pass", "rules.bad is asynchronous in line 1"),
        ("rules/bad.py", "x = open('y')", "rules.bad opens a file in line 1"),
        ("rules/bad.py", "from datetime import datetime\nx = datetime.now()", "rules.bad reads a clock in line 2"),
        ("rules/event.py", "import rules.request", "import cycle: rules.event → rules.request → rules.event"),
        ("rules/__init__.py", "from rules.event import x\nimport rules.request", None),
        ("sensord/sources/__init__.py", "try:\n    import sensord.app\nexcept ImportError: pass", "import cycle: "),
        ("sensord/sources/__init__.py", "class A:\n    import sensord.app", "import cycle: "),
        ("rules/event.py", "import rules.deep.x", None),
    ],
)
def test_a_broken_arrow_is_found(tmp_path: Path, path: str, text: str, sentence: str | None) -> None:
    plant(tmp_path, {**CLEAN, path: text})
    found = broken_arrows(tmp_path)
    if sentence is None:
        assert found == []
    else:
        assert len(found) == 1
        assert sentence in found[0]
