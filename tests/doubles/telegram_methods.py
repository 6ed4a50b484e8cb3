"""The double's methods: what each call does to the world, or the Refusal it meets."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from tests.doubles.telegram_chats import Chat, Chats
from tests.doubles.telegram_judge import CAPTION_UNITS, bad_request, judge_text
from tests.doubles.telegram_people import BOT, People, set_my_commands

FILE_BYTES = 50_000_000
PHOTO_BYTES = 10_000_000
BUTTON_DATA_BYTES = 64
BUTTONS = 100
EDIT_SECONDS = 48 * 3600

Params = Mapping[str, Any]
Action = Callable[["World", Chat, Params], Any]


class World:
    """The chats, the bot's open questions, and the wall clock."""

    def __init__(self, chats: Chats, now: Callable[[], float]) -> None:
        self.chats = chats
        self.now = now
        self.people = People(chats, now)
        self.files: dict[str, bytes] = {}


def decoded(value: Any) -> Any:
    """A structured parameter, which may come as JSON or as JSON in a string."""
    if not isinstance(value, str) or not value:
        return value
    try:
        return json.loads(value)
    except ValueError:
        raise bad_request("can't parse entities: invalid JSON") from None


def send_message(world: World, chat: Chat, params: Params) -> dict[str, Any]:
    text, entities = judge_text(params.get("text"), params.get("parse_mode"), decoded(params.get("entities")))
    return _post(world, chat, params, {"text": text, **({"entities": entities} if entities else {})})


def send_document(world: World, chat: Chat, params: Params) -> dict[str, Any]:
    document = params.get("document")
    if not isinstance(document, tuple):
        raise bad_request("there is no document in the request")
    name, content = document
    if not content:
        raise bad_request("file must be non-empty")
    if len(content) > FILE_BYTES:
        raise bad_request("file is too big")
    entities = decoded(params.get("caption_entities"))
    caption, _ = judge_text(
        params.get("caption"), params.get("parse_mode"), entities, limit=CAPTION_UNITS, may_be_empty=True
    )
    file_id = f"file-{len(world.files)}"
    about = {"file_id": file_id, "file_unique_id": file_id, "file_name": name, "file_size": len(content)}
    posted = _post(world, chat, params, {"caption": caption, "document": about})
    world.files[file_id] = content
    return posted


def send_photo(world: World, chat: Chat, params: Params) -> dict[str, Any]:
    """A photo in a format that we send: at most 10 MB, width and height 10,000 together, their ratio at most 20."""
    photo = params.get("photo")
    if not isinstance(photo, tuple):
        raise bad_request("there is no photo in the request")
    _, content = photo
    if len(content) > PHOTO_BYTES or not content.startswith(b"\x89PNG\r\n\x1a\n"):
        raise bad_request("IMAGE_PROCESS_FAILED")
    width, height = (int.from_bytes(content[at : at + 4], "big") for at in (16, 20))
    if width + height > 10_000 or max(width, height) > 20 * min(width, height):
        raise bad_request("PHOTO_INVALID_DIMENSIONS")
    entities = decoded(params.get("caption_entities"))
    caption, _ = judge_text(
        params.get("caption"), params.get("parse_mode"), entities, limit=CAPTION_UNITS, may_be_empty=True
    )
    file_id = f"file-{len(world.files)}"
    about = {"file_id": file_id, "file_unique_id": file_id, "width": width, "height": height}
    posted = _post(world, chat, params, {"caption": caption, "photo": [about]})
    world.files[file_id] = content
    return posted


def _post(world: World, chat: Chat, params: Params, content: Mapping[str, Any]) -> dict[str, Any]:
    keyboard = _keyboard(params)
    chat.check()
    thread = params.get("message_thread_id")
    thread = int(thread) if thread else None
    chat.check_thread(thread)
    _check_reply(chat, decoded(params.get("reply_parameters")))
    topic = {"message_thread_id": thread, "is_topic_message": True} if thread else {}
    return chat.post({"date": int(world.now()), "from": BOT, **topic, **keyboard, **content})


def _check_reply(chat: Chat, reply: Any) -> None:
    if isinstance(reply, dict) and reply.get("message_id") not in chat.messages:
        if reply.get("allow_sending_without_reply"):
            return
        raise bad_request("message to be replied not found")


def _keyboard(params: Params) -> dict[str, Any]:
    markup = decoded(params.get("reply_markup"))
    if not markup:
        return {}
    rows = markup.get("inline_keyboard") if isinstance(markup, dict) else None
    if not isinstance(rows, list):
        raise bad_request("object expected as reply markup")
    buttons = [button for row in rows for button in row]
    if len(buttons) > BUTTONS:
        raise bad_request("reply markup is too long")
    for button in buttons:
        if not str(button.get("text", "")).strip():
            raise bad_request("can't parse inline keyboard button: Text must be non-empty")
        if "callback_data" in button and not 1 <= len(button["callback_data"].encode()) <= BUTTON_DATA_BYTES:
            raise bad_request("BUTTON_DATA_INVALID")
        if not button.keys() & {"callback_data", "url"}:
            raise bad_request("can't parse inline keyboard button: Text buttons are unallowed in the inline keyboard")
    return {"reply_markup": {"inline_keyboard": rows}}


def edit_message_text(world: World, chat: Chat, params: Params) -> dict[str, Any]:
    text, entities = judge_text(params.get("text"), params.get("parse_mode"), decoded(params.get("entities")))
    message = _editable(world, chat, params)
    if "text" not in message:
        raise bad_request("there is no text in the message to edit")
    return _change(world, message, {"text": text, "entities": entities, **_keyboard(params)})


def edit_message_reply_markup(world: World, chat: Chat, params: Params) -> dict[str, Any]:
    return _change(world, _editable(world, chat, params), _keyboard(params))


def _editable(world: World, chat: Chat, params: Params) -> dict[str, Any]:
    """One of the bot's own messages of the last 48 hours: Telegram is stricter in some places than in others."""
    message = _own_message(chat, params, "edit")
    if world.now() - message["date"] >= EDIT_SECONDS:
        raise bad_request("message can't be edited")
    return message


def _change(world: World, message: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    keys = {"text", "entities", "reply_markup"} if "text" in new else {"reply_markup"}
    if all((message.get(key) or None) == (new.get(key) or None) for key in keys):
        raise bad_request(
            "message is not modified: specified new message content and reply markup are exactly the same as a "
            "current content and reply markup of the message"
        )
    for key in keys:
        message.pop(key, None)
    message.update({key: value for key, value in new.items() if value}, edit_date=int(world.now()))
    return message


def _own_message(chat: Chat, params: Params, verb: str) -> dict[str, Any]:
    chat.check()
    message = chat.messages.get(int(params.get("message_id") or 0))
    if message is None:
        raise bad_request(f"message to {verb} not found")
    if message.get("from") != BOT:
        raise bad_request(f"message can't be {'edited' if verb == 'edit' else 'deleted'}")
    return message


def delete_message(_world: World, chat: Chat, params: Params) -> bool:
    message = _own_message(chat, params, "delete")
    del chat.messages[message["message_id"]]
    return True


def get_chat(_world: World, chat: Chat, _params: Params) -> dict[str, Any]:
    chat.check()
    return {**chat.as_json(), "accent_color_id": 0, "max_reaction_count": 11, "accepted_gift_types": {}}


IN_A_CHAT: dict[str, Action] = {
    "sendmessage": send_message,
    "senddocument": send_document,
    "sendphoto": send_photo,
    "editmessagetext": edit_message_text,
    "editmessagereplymarkup": edit_message_reply_markup,
    "deletemessage": delete_message,
    "getchat": get_chat,
    "getchatmember": lambda world, chat, params: world.people.get_chat_member(chat, params),
}
COUNTED = frozenset({"sendmessage", "senddocument", "sendphoto", "editmessagetext", "editmessagereplymarkup"})


def answer_callback_query(world: World, params: Params) -> bool:
    if params.get("callback_query_id") not in world.people.open_callbacks:
        raise bad_request("query is too old and response timeout expired or query ID is invalid")
    if len(str(params.get("text") or "")) > 200:
        raise bad_request("MESSAGE_TOO_LONG")
    world.people.open_callbacks.discard(params["callback_query_id"])
    return True


def delete_webhook(world: World, _params: Params) -> bool:
    world.people.webhook = None
    return True


ELSEWHERE: dict[str, Callable[[World, Params], Any]] = {
    "getme": lambda _world, _params: {**BOT, "can_join_groups": True, "can_read_all_group_messages": False},
    "answercallbackquery": answer_callback_query,
    "setmycommands": lambda _world, params: set_my_commands(params),
    "deletewebhook": delete_webhook,
    "setwebhook": lambda world, params: world.people.set_webhook(params),
}
