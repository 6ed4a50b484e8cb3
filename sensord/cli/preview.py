"""`sensord preview`: a message as its channel would send it, drawn for the terminal; nothing is sent."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sensord.cli.options import Json, client

if TYPE_CHECKING:
    from rich.text import Text

_ID = re.compile("[0-9a-f-]{36}")
_ENTITIES = {"bold": "bold", "italic": "italic", "code": "cyan", "pre": "cyan", "text_link": "underline blue"}
_FLAGS = {"bold": "bold", "italic": "italic", "code": "cyan", "strike": "strike"}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(preview)


def preview(
    context: typer.Context,
    event: Annotated[str, typer.Argument(metavar="EVENT", help="An event's id, or a type: run.failed is made up.")],
    to: Annotated[str, typer.Option(help="The destination whose channel renders it.")] = "console:",
    lang: Annotated[str | None, typer.Option(help="en or ru; default: the destination's.")] = None,
    zone: Annotated[str | None, typer.Option(help="A clock, e.g. Europe/Lisbon; default: the destination's.")] = None,
    json: Json = False,
) -> None:
    """Show what a message would look like, by the templates as they are now. Nothing is sent."""
    from sensord.cli.show import as_json

    given = {"to": to, "lang": lang, "zone": zone}
    query = [(name, value) for name, value in given.items() if value is not None]
    with client(context) as api:
        if _ID.fullmatch(event):
            answer = api.call("GET", f"/api/events/{event}/preview", query=query)
        else:
            answer = api.call("GET", "/api/preview", query=[("sample", event), *query])
    if json:
        as_json(answer)
        return
    _draw(answer)
    for broken in answer["broken"]:
        typer.echo(f"broken, so ours stands in for it: {broken}", err=True)


def _draw(answer: Mapping[str, Any]) -> None:
    from rich.console import Console
    from rich.panel import Panel

    console = Console(highlight=False, markup=False, emoji=False)
    parts = answer["parts"]
    for number, part in enumerate(parts, 1):
        of = f", part {number} of {len(parts)}" if len(parts) > 1 else ""
        title = f"{answer['to']} ({answer['lang']}, {answer['zone']}){of}"
        console.print(Panel(_part(part), title=title, title_align="left", width=min(console.width, 100)))


def _part(part: Mapping[str, Any]) -> Text:
    """One call's worth: a text with its looks, a file, buttons."""
    from rich.text import Text

    payload = part["payload"]
    file = payload.get("document") or payload.get("photo") or (payload if payload.get("kind") == "file" else None)
    if file is not None:
        return Text(f"[file] {_plain(part['text'] or file['name'])}", style="dim")
    drawn = _of_slack(payload["blocks"]) if "blocks" in payload else _of_telegram(part["text"], payload)
    for row in payload.get("buttons") or ():
        # An inbox's are a plain list, Telegram's are rows.
        labels = [_plain(button["text"]) for button in (row if isinstance(row, list) else [row])]
        drawn.append("\n" + "  ".join(f"[ {label} ]" for label in labels), style="reverse")
    return drawn


def _plain(text: str) -> str:
    """Text without what would steer a terminal."""
    return "".join(one if one.isprintable() or one == "\n" else "\N{REPLACEMENT CHARACTER}" for one in text)


def _of_telegram(text: str, payload: Mapping[str, Any]) -> Text:
    """Text with entities, whose places are counted in UTF-16 units."""
    from rich.text import Text

    units = text.encode("utf-16-le", "surrogatepass")
    drawn = Text(_plain(text.rstrip("\n")))
    for entity in payload.get("entities", ()):
        start = len(units[: 2 * entity["offset"]].decode("utf-16-le", "replace"))
        end = len(units[: 2 * (entity["offset"] + entity["length"])].decode("utf-16-le", "replace"))
        drawn.stylize(_ENTITIES.get(entity["type"], ""), start, end)
    return drawn


def _of_slack(blocks: Sequence[Mapping[str, Any]]) -> Text:
    """Blocks as lines: headers bold, tables with bars, actions as buttons."""
    from rich.text import Text

    drawn = Text()
    for block in blocks:
        for text, style in _runs(block):
            drawn.append(_plain(text), style=style)
        drawn.append("\n")
    drawn.rstrip()
    return drawn


def _runs(block: Any) -> Iterator[tuple[str, str]]:
    """The texts of a block in their order, each with its look."""
    if not isinstance(block, Mapping):
        return
    draw = _DRAWN.get(str(block.get("type")))
    if draw is not None:
        yield from draw(block)
    elif isinstance(block.get("text"), str):
        look = block.get("style")
        looks = (
            [_FLAGS[name] for name, on in look.items() if on and name in _FLAGS] if isinstance(look, Mapping) else []
        )
        yield block["text"], " ".join(looks)
    else:
        for inner in block.get("elements", ()):
            yield from _runs(inner)


def _header(block: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield block["text"]["text"], "bold"


def _table(block: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for row in block["rows"]:
        yield " | ".join("".join(text for text, _ in _runs(cell)) for cell in row) + "\n", "cyan"


def _buttons(block: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for button in block["elements"]:
        yield f"[ {button['text']['text']} ]", "reverse"
        yield "  ", ""


def _link(block: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield block.get("text") or block["url"], "underline blue"


def _pre(block: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for inner in block.get("elements", ()):
        for text, _ in _runs(inner):
            yield text, "cyan"


_DRAWN: Mapping[str, Callable[[Mapping[str, Any]], Iterator[tuple[str, str]]]] = {
    "header": _header,
    "table": _table,
    "actions": _buttons,
    "link": _link,
    "rich_text_preformatted": _pre,
}
