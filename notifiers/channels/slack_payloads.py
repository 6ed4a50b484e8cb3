"""What Slack tells (commands, events, presses, forms) → what was said, and what became of a channel. Pure and total.

The same payloads come through Socket Mode and as signed HTTP requests. Sources: docs.slack.dev,
interactivity/implementing-slash-commands ("Understanding the data payload"), reference/events and
reference/interaction-payloads/block_actions-payload.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from notifiers.channels.slack_forms import CALLBACK, values_of
from notifiers.chat import Filled, Heard, Moved, Person, Place, Pressed, Said, Shut, Standing
from notifiers.text import visible
from rules.commands import COMMANDS

EVENTS = (
    "app_mention", "app_uninstalled", "channel_archive", "channel_deleted", "channel_id_changed", "channel_left",
    "channel_unarchive", "group_archive", "group_deleted", "group_left", "group_unarchive", "member_joined_channel",
    "message.im", "tokens_revoked",
)  # fmt: skip
"""The events that are understood: what an app's manifest subscribes the bot to."""

SCOPES = (
    "app_mentions:read", "channels:read", "chat:write", "commands", "files:write", "groups:read", "im:history",
    "im:read", "im:write", "mpim:read", "users:read",
)  # fmt: skip
"""What the bot's token may do, for all of it: sending, files, hearing, and asking who is what in a channel."""

OF = "slack"
"""Slack's ids are unique over all workspaces and apps."""

_SLACK = Person("slack", "Slack")
_NAME_CHARACTERS = 60
_TEXT_CHARACTERS = 4096
_ID_CHARACTERS = 255
_CHANNEL = re.compile(r"[CDG][A-Z0-9]{1,30}", re.ASCII)
_USER = re.compile(r"[UW][A-Z0-9]{1,30}", re.ASCII)
_VIEW = re.compile(r"V[A-Z0-9]{1,30}", re.ASCII)
_STAMP = re.compile(r"[0-9]{1,15}\.[0-9]{1,9}", re.ASCII)
_MENTION = re.compile(r"\s*<@([UW][A-Z0-9]{1,30})(?:\|[^<>]*)?>[\s,:]*(.*)", re.ASCII | re.DOTALL)
# `<http://bp.houses|bp.houses>`: what somebody typed looked like an address to Slack.
_LINK = re.compile(
    r"<(?:(?:https?://|mailto:|tel:)[^<>|]*\|([^<>|]*)|((?:https?://|mailto:)[^<>|]*)|#[^<>|]*\|([^<>|]*))>"
)
_SLASH = re.compile(r"/[a-z0-9_-]{1,31}", re.ASCII)
_WORD = re.compile(r"[A-Za-z0-9_]+", re.ASCII)
_CLOSED = {
    "channel_left": "the app was removed from the channel",
    "group_left": "the app was removed from the channel",
    "channel_archive": "the channel was archived",
    "group_archive": "the channel was archived",
    "channel_deleted": "the channel was deleted",
    "group_deleted": "the channel was deleted",
}
_OPENED = {
    "channel_unarchive": "the channel is no longer archived",
    "group_unarchive": "the channel is no longer archived",
    "member_joined_channel": "the app is in the channel",
}


def read_payload(
    kind: str, payload: Mapping[str, Any], envelope: str | None = None
) -> Said | Shut | Moved | Pressed | Filled | None:
    """What a payload means; None where it is nothing to us.

    `kind` is the envelope's type: `slash_commands`, `events_api` or `interactive`. What was heard is known again by
    the id of the event or of what set it off, which Slack repeats with the payload; else by the envelope's. A form is
    known by its own id: it is sent until it is taken, and then no more.
    """
    if kind == "interactive" and payload.get("type") == "view_submission":
        return _filled(payload)
    id_ = payload.get("event_id" if kind == "events_api" else "trigger_id") or envelope
    if not isinstance(id_, str) or not 0 < len(id_) <= _ID_CHARACTERS or not id_.isascii() or not id_.isprintable():
        return None
    heard = Heard(OF, id=id_)
    if kind == "slash_commands":
        return _command(payload, heard)
    if kind == "interactive":
        return _press(payload, heard)
    event = payload.get("event")
    return _event(event, payload, heard) if kind == "events_api" and isinstance(event, Mapping) else None


def plain(text: str) -> str:
    """What somebody typed, without what Slack made of it: `&gt;` is `>`, and an address its own text."""
    text = _LINK.sub(lambda match: next(part for part in match.groups() if part is not None), text)
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def channel_of(payload: Mapping[str, Any]) -> str | None:
    """The id of the conversation in which a slash command was typed."""
    return _id(payload.get("channel_id"), _CHANNEL)


def standing_of(user: Mapping[str, Any] | None, channel: Mapping[str, Any] | None, inside: bool | None) -> Standing:
    """What somebody is in a channel: `users.info`, `conversations.info` and whether they are in it; None is not known.

    Slack's API knows no administrators of a channel. Whoever administers the workspace or made the channel is taken
    for one, while they are in it; guests, bots and who comes from another workspace never.
    """
    if inside is False or (user is not None and (user.get("deleted") is True or user.get("is_bot") is True)):
        return Standing.stranger
    if inside is None or user is None:
        return Standing.unknown
    if any(user.get(name) is True for name in ("is_restricted", "is_ultra_restricted", "is_stranger")):
        return Standing.member
    if any(user.get(name) is True for name in ("is_admin", "is_owner", "is_primary_owner")):
        return Standing.administrator
    if channel is None:
        return Standing.unknown
    return Standing.administrator if user.get("id") and channel.get("creator") == user["id"] else Standing.member


def _command(payload: Mapping[str, Any], heard: Heard) -> Said | None:
    person = _person(payload.get("user_id"), payload.get("user_name"))
    channel, text = channel_of(payload), payload.get("text") or ""
    slash = payload.get("command")
    if person is None or channel is None or not isinstance(text, str):
        return None
    typed = f"{slash} " if isinstance(slash, str) and _SLASH.fullmatch(slash) else "/sensord "
    text = _as_command(plain(text).strip() or "help")
    return Said(heard=heard, place=_place(channel, person), person=person, text=text[:_TEXT_CHARACTERS], typed=typed)


def _event(event: Mapping[str, Any], payload: Mapping[str, Any], heard: Heard) -> Said | Shut | Moved | None:
    kind = str(event.get("type"))
    if kind in ("app_mention", "message"):
        return _said(event, kind, _bot(payload), heard)
    if kind == "channel_id_changed":
        old, new = (_id(event.get(name), _CHANNEL) for name in ("old_channel_id", "new_channel_id"))
        return Moved(heard=heard, old=f"slack:{old}", new=f"slack:{new}") if old and new and old != new else None
    if kind == "member_joined_channel" and event.get("user") != (_bot(payload) or ""):
        return None  # Somebody else came.
    if kind == "app_uninstalled" or (kind == "tokens_revoked" and _revoked(event)):
        everywhere = Place("slack:", "slack:", private=False)
        return Shut(heard=heard, place=everywhere, person=_SLACK, open=False, why="the app was uninstalled")
    why = _CLOSED.get(kind) or _OPENED.get(kind)
    channel = _id(event.get("channel"), _CHANNEL)
    if why is None or channel is None:
        return None
    by = next((event[name] for name in ("actor_id", "inviter", "user") if isinstance(event.get(name), str)), None)
    person = _person(by, None) or _SLACK
    place = Place(f"slack:{channel}", f"slack:{channel}", private=False)
    return Shut(heard=heard, place=place, person=person, open=kind in _OPENED, why=why)


def _revoked(event: Mapping[str, Any]) -> bool:
    """Whether the bot's own token is among those that count no more."""
    tokens = event.get("tokens")
    return isinstance(tokens, Mapping) and bool(tokens.get("bot"))


def _said(event: Mapping[str, Any], kind: str, bot: str | None, heard: Heard) -> Said | None:
    """A direct message, or one that begins with the bot's name. Edits and what bots write are none."""
    channel, person, text = _id(event.get("channel"), _CHANNEL), _person(event.get("user"), None), event.get("text")
    if channel is None or person is None or not isinstance(text, str) or event.get("bot_id") or event.get("subtype"):
        return None
    if kind == "message" and (event.get("channel_type") != "im" or not channel.startswith("D")):
        return None
    mention = _MENTION.fullmatch(text)
    if mention is not None and bot in (None, mention[1]):
        text = _as_command(plain(mention[2]).strip() or "help")
    elif kind == "app_mention":
        return None  # It speaks of the bot, not to it.
    else:
        text = plain(text).strip()
        first = _WORD.match(text)
        text = _as_command(text) if first is not None and first[0].lower() in COMMANDS else text
    place = _place(channel, person, event.get("thread_ts"))
    return Said(heard=heard, place=place, person=person, text=text[:_TEXT_CHARACTERS], typed="/sensord ")


def _press(payload: Mapping[str, Any], heard: Heard) -> Pressed | None:
    """A button of one of our messages. Menus and shortcuts are nothing to us."""
    actions, message, container = payload.get("actions"), payload.get("message"), payload.get("container")
    if payload.get("type") != "block_actions" or not isinstance(actions, list) or not actions:
        return None
    action, user, room = actions[0], payload.get("user"), payload.get("channel")
    if not (isinstance(action, Mapping) and isinstance(container, Mapping)):
        return None
    if not (isinstance(user, Mapping) and isinstance(room, Mapping)):
        return None
    channel, person = _id(room.get("id"), _CHANNEL), _person(user.get("id"), user.get("username") or user.get("name"))
    stamp = _id(container.get("message_ts"), _STAMP)
    data = action.get("value") or action.get("action_id")
    if channel is None or person is None or stamp is None or action.get("type") != "button":
        return None
    if not isinstance(data, str) or len(data) > _ID_CHARACTERS:
        return None
    thread = message.get("thread_ts") if isinstance(message, Mapping) else None
    place = _place(channel, person, None if thread == stamp else thread)
    back = payload.get("response_url")
    answer = back if isinstance(back, str) else None
    return Pressed(heard=heard, place=place, person=person, data=data, message=stamp, answer=answer)


def _filled(payload: Mapping[str, Any]) -> Filled | None:
    """A form of ours."""
    view, user = payload.get("view"), payload.get("user")
    if not isinstance(view, Mapping) or not isinstance(user, Mapping) or view.get("callback_id") != CALLBACK:
        return None
    id_, data = _id(view.get("id"), _VIEW), view.get("private_metadata")
    person = _person(user.get("id"), user.get("username") or user.get("name"))
    if id_ is None or person is None or not isinstance(data, str) or len(data) > _ID_CHARACTERS:
        return None
    return Filled(heard=Heard(OF, id=f"view {id_}"), person=person, data=data, values=values_of(view))


def _place(channel: str, person: Person, thread: Any = None) -> Place:
    """A direct conversation is called as the person is; a channel's thread is a place of its own."""
    if channel.startswith("D"):
        return Place(person.id, person.id, private=True)
    name, stamp = f"slack:{channel}", _id(thread, _STAMP)
    return Place(name if stamp is None else f"{name}/{stamp}", name, private=False)


def _person(user: Any, name: Any) -> Person | None:
    id_ = _id(user, _USER)
    if id_ is None:
        return None
    line = " ".join(visible(name[:200]).split()) if isinstance(name, str) else ""
    return Person(
        f"slack:{id_}", (line if len(line) <= _NAME_CHARACTERS else f"{line[: _NAME_CHARACTERS - 1]}…") or id_
    )


def _bot(payload: Mapping[str, Any]) -> str | None:
    """The bot's own user id, as the event says for whom it was told."""
    found = payload.get("authorizations")
    for one in found if isinstance(found, list) else ():
        if isinstance(one, Mapping) and one.get("is_bot") is True:
            return _id(one.get("user_id"), _USER)
    return None


def _as_command(text: str) -> str:
    return text if text.startswith("/") else f"/{text}"


def _id(value: Any, pattern: re.Pattern[str]) -> str | None:
    return value if isinstance(value, str) and pattern.fullmatch(value) else None
