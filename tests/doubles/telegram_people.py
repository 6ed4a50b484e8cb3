"""The double's people: who is what in which chat, what they do there, and the updates that the bot hears of it."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import aiohttp
import anyio

from tests.doubles.telegram_chats import Chat, Chats
from tests.doubles.telegram_judge import Refusal, bad_request

BOT = {"id": 42, "is_bot": True, "first_name": "sensord", "username": "sensord_test_bot"}
ANONYMOUS = {"id": 1087968824, "is_bot": True, "first_name": "Group", "username": "GroupAnonymousBot"}
# What a bot is not told of unless it asks.
UNASKED = frozenset({"chat_member", "message_reaction", "message_reaction_count"})


class People:
    """Updates wait here until getUpdates confirms them. `members` is (chat, user) → status; others are members."""

    def __init__(self, chats: Chats, now: Callable[[], float]) -> None:
        self.members: dict[tuple[int, int], str] = {}
        self.names: dict[int, dict[str, Any]] = {}
        self.open_callbacks: set[str] = set()
        self.next_update = 1
        self.webhook: Mapping[str, Any] | None = None
        self.posted: list[tuple[int, int]] = []
        self.posts_twice = False
        self.refuses_webhooks = 0
        self.polling = False
        self.asked: list[Mapping[str, Any]] = []
        self.updates: list[dict[str, Any]] = []
        self._chats = chats
        self._now = now
        self._news = anyio.Event()
        self._poll = 0
        self._allowed: frozenset[str] | None = None

    def person(self, user: int) -> dict[str, Any]:
        return {"id": user, "is_bot": False, "first_name": f"person {user}", **self.names.get(user, {})}

    def say(
        self,
        chat: int | str,
        text: str,
        *,
        user: int | None = 7,
        thread: int | None = None,
        kind: str = "message",
        **more: Any,
    ) -> int:
        """Somebody writes; the message's id. `user` None is a channel's post, or an anonymous administrator's."""
        where = self._chats.get(chat)
        message: dict[str, Any] = {"date": int(self._now()), "text": text, **more}
        if user is not None:
            message["from"] = self.person(user)
        else:
            message["sender_chat"] = where.as_json()
            if where.kind == "channel":
                kind = "channel_post"
            else:
                message["from"] = ANONYMOUS
        if match := re.match(r"/\w+(@\w+)?", text):
            message["entities"] = [{"type": "bot_command", "offset": 0, "length": match.end()}]
        topic = {"message_thread_id": thread, "is_topic_message": True} if thread else {}
        posted = where.post(message | topic)
        self.happen({kind: posted})
        return int(posted["message_id"])

    def press(self, chat: int | str, message_id: int, data: str, *, user: int = 7) -> str:
        """Somebody presses a button; the id of the callback query."""
        query = f"query-{self.next_update}"
        self.open_callbacks.add(query)
        message = self._chats.get(chat).messages[message_id]
        about = {"id": query, "from": self.person(user), "chat_instance": "1", "message": message, "data": data}
        self.happen({"callback_query": about})
        return query

    def put(self, chat: int | str, status: str, *, user: int = 7, **more: Any) -> None:
        """Somebody gives the bot a status in a chat: takes it in, throws it out, blocks it."""
        where = self._chats.get(chat)
        shut = {"left": "not_member", "kicked": "blocked" if where.kind == "private" else "kicked"}
        where.state = shut.get(status, "open")  # type: ignore[assignment]
        change = {
            "chat": where.as_json(),
            "from": self.person(user),
            "date": int(self._now()),
            "old_chat_member": {"user": BOT, "status": "left"},
            "new_chat_member": {"user": BOT, "status": status, **more},
        }
        self.happen({"my_chat_member": change})

    def migrate(self, old: int, new: int) -> None:
        """A group becomes a supergroup: both of them say so."""
        was = self._chats.get(old)
        now = self._chats.add(new, kind="supergroup")
        about = {"date": int(self._now()), "from": self.person(7)}
        self.happen({"message": was.post({**about, "migrate_to_chat_id": new})})
        self.happen({"message": now.post({**about, "migrate_from_chat_id": old})})
        was.state, was.moved_to = "migrated", new

    def happen(self, update: dict[str, Any]) -> None:
        """Something is to be told, if the bot asked for its kind."""
        kind = next(iter(update))
        if kind in UNASKED if self._allowed is None else kind not in self._allowed:
            return
        self.updates.append({"update_id": self.next_update, **update})
        self.next_update += 1
        self._news.set()
        self._news = anyio.Event()

    async def get_updates(self, params: Mapping[str, Any]) -> Any:
        """Long polling. A second poller ends the first one's wait with 409 (without Telegram's delay of 3 s)."""
        if self.webhook is not None:
            return Refusal(
                409,
                "Conflict: can't use getUpdates method while webhook is active; use deleteWebhook to delete the "
                "webhook first",
            )
        self.asked.append(params)
        if isinstance(params.get("allowed_updates"), list):
            self._allowed = frozenset(params["allowed_updates"]) or None
        self._poll += 1
        mine = self._poll
        self._news.set()
        self._news = anyio.Event()
        offset = int(params.get("offset") or 0)
        if not self.updates or offset <= self.updates[-1]["update_id"] + 1:
            self.updates = [update for update in self.updates if update["update_id"] >= offset]
        with anyio.move_on_after(min(float(params.get("timeout") or 0), 50.0)):
            while not self.updates and mine == self._poll:
                self.polling = True
                await self._news.wait()
        if mine != self._poll:
            return Refusal(
                409,
                "Conflict: terminated by other getUpdates request; make sure that only one bot instance is running",
            )
        return self.updates[: min(int(params.get("limit") or 100), 100)]

    def set_webhook(self, params: Mapping[str, Any]) -> bool:
        """An address for updates; refused as a local Bot API server does, which takes plain HTTP."""
        url = str(params.get("url") or "")
        if not url.startswith(("https://", "http://127.0.0.1:")):
            raise bad_request("bad webhook: An HTTPS URL must be provided for webhook")
        if not re.fullmatch("[A-Za-z0-9_-]{0,256}", str(params.get("secret_token") or "")):
            raise bad_request("secret token contains unallowed characters")
        if not 1 <= int(params.get("max_connections") or 40) <= 100:
            raise bad_request("max_connections must be from 1 to 100")
        if self.refuses_webhooks:
            self.refuses_webhooks -= 1
            raise bad_request("bad webhook: failed to resolve host: Name or service not known")
        if isinstance(params.get("allowed_updates"), list):
            self._allowed = frozenset(params["allowed_updates"]) or None
        self.webhook = params
        self._tell()
        return True

    def _tell(self) -> None:
        self._news.set()
        self._news = anyio.Event()

    async def post_updates(self, pause: Callable[[float], Awaitable[None]]) -> None:
        """Post what waits to the webhook, each until it is taken, for as long as there is one."""
        async with aiohttp.ClientSession() as http:
            while True:
                hook, news = self.webhook, self._news
                if hook is None or not self.updates:
                    await news.wait()
                    continue
                update = self.updates[0]
                taken = False
                for _ in range(2 if self.posts_twice else 1):
                    taken = await self._post(http, hook, update)
                if taken and update in self.updates:
                    self.updates.remove(update)
                elif not taken:
                    await pause(0.05)

    async def _post(self, http: aiohttp.ClientSession, hook: Mapping[str, Any], update: Mapping[str, Any]) -> bool:
        headers = {"X-Telegram-Bot-Api-Secret-Token": str(hook.get("secret_token") or "")}
        try:
            async with http.post(str(hook["url"]), json=update, headers=headers) as answer:
                self.posted.append((answer.status, update["update_id"]))
                return answer.status == 200
        except aiohttp.ClientError:
            return False

    def get_chat_member(self, chat: Chat, params: Mapping[str, Any]) -> dict[str, Any]:
        """Whoever is not known otherwise is a member."""
        chat.check()
        user = int(params.get("user_id") or 0)
        if user <= 0:
            raise bad_request("invalid user_id specified")
        status = self.members.get((chat.id, user), "member")
        if status == "inaccessible":
            raise bad_request("member list is inaccessible")
        return {"user": self.person(user), "status": status}


def set_my_commands(params: Mapping[str, Any]) -> bool:
    """The list of commands that are completed; refused as Telegram does."""
    commands = params.get("commands")
    if not isinstance(commands, list) or len(commands) > 100:
        raise bad_request("can't parse BotCommands JSON object")
    for one in commands:
        if not re.fullmatch("[a-z0-9_]{1,32}", str(one.get("command"))):
            raise bad_request("BOT_COMMAND_INVALID")
        if not 1 <= len(str(one.get("description"))) <= 256:
            raise bad_request("BOT_COMMAND_DESCRIPTION_INVALID")
    if not re.fullmatch("([a-z]{2})?", str(params.get("language_code") or "")):
        raise bad_request("LANG_CODE_INVALID")
    return True
