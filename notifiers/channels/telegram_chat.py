"""Telegram talks back: updates are fetched by long polling, or posted to us, and handed on one after the other.

Through the library's Bot and not its Application and Updater: those ask for the next updates, and so confirm what came
before, when that has merely been put in a queue in memory, so that what is there when the process dies is lost; they
keep no cursor of ours, and send by themselves. Here an update is confirmed when its effect is in the database, in one
transaction with the cursor; answers are deliveries.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import anyio
from anyio.abc import TaskGroup

from notifiers.channels import DeliveryError, Reason
from notifiers.channels.telegram import Target, Telegram, TelegramWebhookConfig
from notifiers.channels.telegram_updates import WANTED, read_update
from notifiers.chat import Person, Place, Pressed, Standing
from notifiers.chat.conversations import Conversations
from notifiers.chat.floods import Once
from notifiers.clock import Clock
from notifiers.reading import ENGLISH, LANGUAGES, Reader
from notifiers.reading.language import language
from rules.commands import COMMANDS
from rules.event import Event, Severity
from rules.pacing import backoff
from rules.phrases import spoken

log = logging.getLogger(__name__)

POLL_SECONDS = 50
"""How long the server may keep a question for updates open: it allows no more."""

READ_SECONDS = POLL_SECONDS + 15.0
CALL_SECONDS = 10.0
STANDING_SECONDS = 5.0
_TOASTS = 20  # So many presses are answered at once.
_TRIES = 3  # Of one update that cannot be taken in; then it is passed over, so that those behind it are heard.
_PAUSE, _LONGEST = 1.0, 60.0
_QUIET = 3600.0  # The same trouble is published at most once in this time; the log has it each time.
_CONFLICT = "terminated by other getUpdates request"
_STATUSES = {
    "creator": Standing.administrator,
    "administrator": Standing.administrator,
    "member": Standing.member,
    "left": Standing.stranger,
    "kicked": Standing.stranger,
}


class TelegramChat:
    """Hears what is said to the bot. `trouble` says why it hears nothing at the moment, or is None."""

    def __init__(
        self,
        channel: Telegram,
        conversations: Conversations,
        *,
        clock: Clock,
        webhook: TelegramWebhookConfig | None = None,
    ) -> None:
        self._channel = channel
        self._conversations = conversations
        self._clock = clock
        self._webhook = webhook
        self._one = anyio.Lock()
        self._toasts: TaskGroup | None = None
        self._name: str | None = None
        self._id = 0
        self._completed = self._webhook_removed = self._contested = self._told = False
        self._failures = 0
        self._often = Once(_QUIET)
        self._toasting = anyio.CapacityLimiter(_TOASTS)
        self.trouble: str | None = None

    async def name(self) -> str:
        """The bot's name, without @. DeliveryError where Telegram does not say."""
        if self._name is None:
            me = await self._call("GetMe")
            self._id, self._name = int(me["id"]), str(me["username"])
        return self._name

    async def hints(self) -> Sequence[str]:
        """What of the bot's settings keeps it from hearing all that it can, each with what to do."""
        try:
            me = await self._call("GetMe")
        except DeliveryError as error:
            return [f"Telegram did not say how the bot is set up: {error}"]
        found = []
        if me.get("can_join_groups") is False:
            found.append("the bot cannot be taken into groups: send /setjoingroups to @BotFather, and choose Enable")
        if me.get("can_read_all_group_messages") is False:
            found.append(
                f"in groups the bot hears /subs@{me.get('username')}, replies to it, and what is typed after its own "
                "messages, as its privacy mode is on. To have it hear every /subs, make it an administrator there; or "
                "send /setprivacy to @BotFather, choose Disable, and take it out of the group and in again"
            )
        return found

    async def link(self, payload: str, *, group: bool = False) -> str:
        """A link that opens the bot with a payload, or takes it into a group with it."""
        return f"https://t.me/{await self.name()}?{'startgroup' if group else 'start'}={payload}"

    async def run(self) -> None:
        """Hear until cancelled. Trouble is said once, and waited out."""
        async with anyio.create_task_group() as toasts:
            self._toasts = toasts
            try:
                await self._run(toasts)
            finally:
                self._toasts = None

    async def _run(self, toasts: TaskGroup) -> None:
        while True:
            try:
                await (self._hear(toasts) if self._webhook is None else self._hook(self._webhook))
            except DeliveryError as error:
                self._failures += 1
                await self._troubled(error)
                pause = backoff(self._failures, base=_PAUSE, cap=_LONGEST, jitter=1.0)
                await self._clock.sleep(pause if error.retry_after is None else error.retry_after)
            except Exception:
                log.exception("telegram.broke")
                await self._clock.sleep(_LONGEST)

    async def _hear(self, toasts: TaskGroup) -> None:
        """Ask and hand on, from where the last effect is, until something goes wrong."""
        name = await self.name()
        of = f"telegram {self._id}"
        await self._complete_commands()
        last = await self._conversations.heard_to(of)
        offset = 0 if last is None else last + 1
        # The first question is answered at once: whether anything is heard shows now.
        seconds = 0
        while True:
            asked = {"offset": offset, "timeout": seconds, "limit": 100, "allowed_updates": list(WANTED)}
            updates = _updates(await self._call("GetUpdates", asked, seconds=READ_SECONDS))
            await self._well(waited=seconds > 0)
            seconds = POLL_SECONDS
            for update in updates:
                await self._take(update, of, name, toasts)
                # Numbers may begin anew, lower, after a week without news.
                offset = update["update_id"] + 1

    async def _hook(self, webhook: TelegramWebhookConfig) -> None:
        """Have updates posted, one after the other; then there is nothing to do but to be called."""
        await self.name()
        await self._complete_commands()
        asked = {
            "url": webhook.url,
            "secret_token": webhook.secret_token.get_secret_value(),
            "allowed_updates": list(WANTED),
            "max_connections": 1,
        }
        await self._call("SetWebhook", asked)
        await self._well(waited=True)
        await anyio.sleep_forever()

    async def posted(self, update: Mapping[str, Any]) -> bool:
        """Take in an update that was posted; what it asks for is durable then. False: not yet, post it again.

        DeliveryError where Telegram does not say who the bot is.
        """
        name = await self.name()
        toasts = self._toasts
        if toasts is None:
            return False
        async with self._one:
            await self._take(update, f"telegram {self._id}", name, toasts)
        return True

    async def _take(self, update: Any, of: str, name: str, toasts: TaskGroup) -> None:
        heard = read_update(update, of, name, ordered=self._webhook is None)
        if heard is None:
            return
        for attempt in range(1, _TRIES + 1):
            try:
                word = await self._conversations.hear(heard, self)
            except Exception:
                # A fault of ours must not make the bot deaf. A database that is full or away is waited for elsewhere.
                log.exception("telegram.unheard", extra={"update": heard.heard.number, "attempt": attempt})
                await self._clock.sleep(_PAUSE)
            else:
                if isinstance(heard, Pressed):
                    toasts.start_soon(self._toast, heard, word)
                return

    async def _toast(self, pressed: Pressed, word: str | None) -> None:
        """Show a short word to whoever pressed, or nothing; either way their button stops waiting.

        Not in the way of what is heard next, and only once: too late, it is worth nothing.
        """
        async with self._toasting:
            try:
                await self._call("AnswerCallbackQuery", {"callback_query_id": pressed.answer, "text": word})
            except DeliveryError as error:
                log.info("telegram.press_not_answered", extra={"error": str(error)})

    async def standing(self, place: Place, person: Person) -> Standing:
        """What a person is in a chat, as Telegram says now. The chat itself writes for its administrators alone."""
        if person.id == place.chat:
            return Standing.administrator
        chat = Target.parse(place.chat.partition(":")[2]).chat
        user = int(person.id.partition(":")[2])
        found: Any = None
        with anyio.move_on_after(STANDING_SECONDS):
            try:
                found = await self._call("GetChatMember", {"chat_id": chat, "user_id": user})
            except DeliveryError as error:
                log.info("telegram.standing_unknown", extra={"place": place.chat, "error": str(error)})
        if not isinstance(found, dict):
            return Standing.unknown
        if found.get("status") == "restricted":
            return Standing.member if found.get("is_member") else Standing.stranger
        return _STATUSES.get(str(found.get("status")), Standing.unknown)

    async def _complete_commands(self) -> None:
        """Let Telegram complete the commands, in each person's language. It is a comfort: its failure is no trouble."""
        if self._completed:
            return
        try:
            for lang in LANGUAGES:
                tongue = language(Reader(lang))
                said = {name: str(spoken(usage.summary, tongue))[:256] for name, usage in COMMANDS.items()}
                commands = [{"command": name, "description": text} for name, text in said.items()]
                whose = {} if lang == ENGLISH.lang else {"language_code": lang}  # English is for all others.
                await self._call("SetMyCommands", {"commands": commands, **whose})
            self._completed = True
        except DeliveryError as error:
            log.info("telegram.commands_not_set", extra={"error": str(error)})

    async def _well(self, *, waited: bool) -> None:
        """A question was answered. Who competes for updates lets a short question pass, and ends a long one."""
        if self.trouble is None or (self._contested and not waited):
            return
        self.trouble, self._contested, self._failures = None, False, 0
        log.info("telegram.hears_again")
        if self._told:
            self._told = False
            await self._tell("heard", "Commands from Telegram are heard again", Severity.info)

    async def _troubled(self, error: DeliveryError) -> None:
        text = str(error)
        if "webhook is active" in text and not self._webhook_removed:
            text = await self._remove_webhook() or text
        elif _CONFLICT in text:
            self._contested = True
            text += "; stop it, give one of them a bot of its own, or set telegram.commands: false here"
        if self.trouble is None:
            log.warning("telegram.hears_nothing", extra={"reason": text})
            if error.reason in (Reason.unauthorised, Reason.refused) and self._often.first("unheard", self._now()):
                # Somebody has to do something. What passes by itself is met by messages as well.
                self._told = True
                await self._tell("unheard", f"Commands from Telegram are not heard: {text}", Severity.error)
        self.trouble = text

    async def _remove_webhook(self) -> str | None:
        """What was set up elsewhere keeps updates from coming here. What went wrong with that, or None."""
        self._webhook_removed = True
        log.warning("telegram.webhook_removed", extra={"reason": "commands are fetched, which a webhook prevents"})
        try:
            await self._call("DeleteWebhook")
        except DeliveryError as error:
            return str(error)
        return None

    def _now(self) -> float:
        return self._clock.monotonic()

    async def _tell(self, what: str, text: str, severity: Severity) -> None:
        event = Event(
            id=self._clock.new_id(),
            type=f"chat.{what}",
            topic=f"chat.{what}",
            time=self._clock.now(),
            source="sensord:chat",
            severity=severity,
            message=text,
            subject="telegram",
        )
        await self._conversations.tell(event)

    async def _call(self, method: str, params: dict[str, Any] | None = None, *, seconds: float = CALL_SECONDS) -> Any:
        """One call; its result. DeliveryError, which holds no secret, for everything else."""
        bot = await self._channel.bot()
        from notifiers.channels.telegram_api import Undelivered

        try:
            return await bot.do_api_request(method, params or {}, read_timeout=seconds)
        except Undelivered as undelivered:
            error = undelivered.error
        # Raised out here, it has no context: nothing of the libraries' frames and texts can be shown with it.
        raise error


def _updates(result: Any) -> list[dict[str, Any]]:
    whole = isinstance(result, list) and all(
        isinstance(one, dict) and isinstance(one.get("update_id"), int) for one in result
    )
    if not whole:
        raise DeliveryError("Telegram's answer holds no updates", Reason.server_error)
    found: list[dict[str, Any]] = result
    return found
