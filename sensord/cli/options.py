"""What commands share: the version, options of the same meaning, and how they end."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from sensord.cli.client import Client
    from sensord.config import Config

VERSION = "0.1.0"

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Limit = Annotated[int, typer.Option("--limit", "-n", min=1, max=1000, help="How many at most.")]
Filters = Annotated[list[str] | None, typer.Argument(metavar="[FIELD=VALUE]…", help="Only those with this value.")]

FAILED, WRONG = 1, 2


def _names(context: typer.Context, section: str, incomplete: str) -> list[str]:
    """Names of the configuration, for the shell to complete; none where it is wrong, as that is said elsewhere."""
    from sensord.config import ConfigError, load

    try:
        asked = context.find_root().params
        config = load(asked.get("config"), environment=asked.get("env"))
    except ConfigError:
        return []
    return [name for name in getattr(config, section) if name.startswith(incomplete)]


def _jobs(context: typer.Context, incomplete: str) -> list[str]:
    return _names(context, "jobs", incomplete)


def _sensors(context: typer.Context, incomplete: str) -> list[str]:
    return _names(context, "sensors", incomplete)


JobName = Annotated[str, typer.Argument(metavar="JOB", autocompletion=_jobs)]
SensorName = Annotated[str, typer.Argument(metavar="SENSOR", autocompletion=_sensors)]


def fail(text: str, code: int = FAILED) -> typer.Exit:
    """Say what went wrong, and give the way to end with that code."""
    typer.echo(text, err=True)
    return typer.Exit(code)


def configuration(context: typer.Context) -> Config:
    """The configuration that the command line names. Ends with code 2 and every problem, where it is wrong."""
    from sensord.config import ConfigError, load

    path: Path | None = context.obj
    try:
        return load(path)
    except ConfigError as error:
        raise fail(str(error), WRONG) from None


@contextmanager
def client(context: typer.Context) -> Iterator[Client]:
    """A way to the API: the running daemon's, or our own where none runs. Its errors end the command."""
    from sensord.cli.client import ApiError, NoWayError, open_client

    try:
        with open_client(configuration(context)) as opened:
            yield opened
    except ApiError as error:
        raise fail(str(error), WRONG if error.status in {400, 401, 403, 404, 422} else FAILED) from None
    except NoWayError as error:
        raise fail(str(error)) from None
    except BrokenPipeError:
        sys.stderr.close()
        raise typer.Exit(0) from None


_CONDITION = re.compile(r"([^<>=!]+)(>=|<=|!=|>|<|=)(.*)", re.DOTALL)


def conditions(words: list[str] | None) -> dict[str, str]:
    """`a=b` and `a>=b` → {a: b} and {a: ">=b"}, as `where` of a subscription has them. Ends with code 2 otherwise."""
    found = {}
    for word in words or []:
        parts = _CONDITION.fullmatch(word)
        if parts is None:
            raise fail(f"{word!r} is no condition: write FIELD=VALUE or, e.g., 'severity>=warning'", WRONG)
        name, sign, value = parts.groups()
        found[name.strip()] = value.strip() if sign == "=" else f"{sign}{value.strip()}"
    return found


def page(words: list[str] | None, limit: int, after: str | None = None) -> list[tuple[str, str]]:
    """The query of a list: filters, and how many at most. `limit=5` among the filters is `--limit 5`, `after=` too."""
    given = pairs(words)
    rest = [(name, value) for name, value in given if name not in ("limit", "after")]
    said = {"limit": str(limit), **({"after": after} if after else {}), **dict(given)}
    return [*rest, *((name, said[name]) for name in ("limit", "after") if name in said)]


def pairs(words: list[str] | None, what: str = "FIELD=VALUE") -> list[tuple[str, str]]:
    """`a=b` → (a, b). Ends with code 2 where a word is not of that form."""
    found = []
    for word in words or []:
        name, equals, value = word.partition("=")
        if not equals or not name:
            raise fail(f"{word!r} is not {what}", WRONG)
        found.append((name, value))
    return found
