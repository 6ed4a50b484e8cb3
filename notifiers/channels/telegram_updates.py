"""What the Bot API tells as updates → what was said, and what became of a chat. Pure and total."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from notifiers.chat import Heard, Moved, Person, Place, Pressed, Said, Shut
from notifiers.text import visible

WANTED = ("message", "channel_post", "my_chat_member", "callback_query")
"""The kinds of updates that are asked for. Edited messages are none of them: a command counts as it was sent."""

_NAME_CHARACTERS = 60
_TEXT_CHARACTERS = 4096
_DATA_BYTES = 64
_TAG = 35  # An IETF tag has no more characters.
_INSIDE = frozenset({"creator", "administrator", "member"})


def read_update(
    update: Mapping[str, Any], of: str, me: str | None, *, ordered: bool = True
) -> Said | Shut | Moved | Pressed | None:
    """What an update means; None where it is nothing to us. `of` names the account that heard it.

    `ordered` says that updates come in their order.
    """
    number = update.get("update_id")
    if not isinstance(number, int) or isinstance(number, bool):
        return None
    heard = Heard(of, number, ordered)
    message = update.get("message") or update.get("channel_post")
    if isinstance(message, Mapping):
        return _message(message, heard, me)
    query = update.get("callback_query")
    if isinstance(query, Mapping):
        return _press(query, heard)
    member = update.get("my_chat_member")
    return _membership(member, heard) if isinstance(member, Mapping) else None


def _message(message: Mapping[str, Any], heard: Heard, me: str | None) -> Said | Moved | None:
    chat = message.get("chat")
    if not isinstance(chat, Mapping) or not isinstance(chat.get("id"), int):
        return None
    if isinstance(new := message.get("migrate_to_chat_id"), int):
        # It comes again from the new chat, as `migrate_from_chat_id`; one of them is enough.
        return Moved(heard=heard, old=f"telegram:{chat['id']}", new=f"telegram:{new}")
    text, person = message.get("text"), _person(message)
    bot = (message.get("from") or {}).get("is_bot") is True and "sender_chat" not in message
    if not isinstance(text, str) or person is None or bot or message.get("is_automatic_forward"):
        return None
    place, text = _place(chat, message), text[:_TEXT_CHARACTERS]
    language = _language(message.get("from"))
    replies = _replies(message, me)
    return Said(heard=heard, place=place, person=person, text=text, me=me, replies=replies, language=language)


def _language(person: Any) -> str | None:
    """The language in which somebody uses Telegram."""
    code = person.get("language_code") if isinstance(person, Mapping) else None
    return code[:_TAG] if isinstance(code, str) else None


def _replies(message: Mapping[str, Any], me: str | None) -> bool:
    """Whether it is a reply to what the bot wrote."""
    before = message.get("reply_to_message")
    author = before.get("from") if isinstance(before, Mapping) else None
    return isinstance(author, Mapping) and me is not None and author.get("username") == me


def _press(query: Mapping[str, Any], heard: Heard) -> Pressed | None:
    """A button was pressed. Of a message that is too old, Telegram tells only where it is, which is enough."""
    answer, data, message = query.get("id"), query.get("data"), query.get("message")
    if not isinstance(answer, str) or not isinstance(data, str) or not isinstance(message, Mapping):
        return None
    chat, number = message.get("chat"), message.get("message_id")
    # Whoever presses does it as themselves, also where they write as the chat.
    person = _person({"from": query.get("from")})
    if not isinstance(chat, Mapping) or not isinstance(chat.get("id"), int) or not isinstance(number, int):
        return None
    if person is None or len(data.encode(errors="replace")) > _DATA_BYTES:
        return None
    place = _place(chat, message)
    return Pressed(
        heard=heard,
        place=place,
        person=person,
        data=data,
        message=str(number),
        answer=answer,
        language=_language(query.get("from")),
    )


def _place(chat: Mapping[str, Any], message: Mapping[str, Any]) -> Place:
    name = f"telegram:{chat['id']}"
    thread = message.get("message_thread_id")
    # Answers to a message have a thread as well, in a group without topics; that is no place of its own.
    inside = isinstance(thread, int) and message.get("is_topic_message") is True
    return Place(f"{name}/{thread}" if inside else name, name, chat.get("type") == "private")


def _person(message: Mapping[str, Any]) -> Person | None:
    """Who wrote. A channel, or an administrator who stays anonymous, writes as the chat itself."""
    author = message.get("sender_chat") or message.get("from")
    if not isinstance(author, Mapping) or not isinstance(author.get("id"), int):
        return None
    return Person(f"telegram:{author['id']}", _name(author))


def _name(author: Mapping[str, Any]) -> str:
    parts = [author.get("title"), author.get("first_name"), author.get("last_name")]
    name = " ".join(visible(part[:200]).strip() for part in parts if isinstance(part, str))
    line = " ".join(name.split())
    return (line if len(line) <= _NAME_CHARACTERS else f"{line[: _NAME_CHARACTERS - 1]}…") or "somebody"


def _membership(change: Mapping[str, Any], heard: Heard) -> Shut | None:
    """The bot was taken into a chat, out of it, or kept from writing there."""
    chat, now = change.get("chat"), change.get("new_chat_member")
    person = _person(change)
    if not isinstance(chat, Mapping) or not isinstance(chat.get("id"), int) or not isinstance(now, Mapping):
        return None
    status = now.get("status")
    if person is None or not isinstance(status, str):
        return None
    # In a channel only administrators write, and one may lack just that right.
    silenced = status == "restricted" and now.get("can_send_messages") is not True
    silenced = silenced or (chat.get("type") == "channel" and now.get("can_post_messages") is not True)
    inside = status in _INSIDE or (status == "restricted" and now.get("is_member") is True)
    name = f"telegram:{chat['id']}"
    private = chat.get("type") == "private"
    if inside and not silenced:
        why = "the bot may write there"
    elif private:
        why = f"{person.name} blocked the bot"
    else:
        why = f"{person.name} {'took from the bot the right to write' if inside else 'removed the bot'}"
    return Shut(heard=heard, place=Place(name, name, private), person=person, open=inside and not silenced, why=why)
