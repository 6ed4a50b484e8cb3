"""Slack talks back: what its payloads say is carried out, whichever way they came.

What is guaranteed: whoever brings a payload (`slack_socket`, or a signed request) tells Slack that it arrived when what
it does is in the database, and not before. What Slack tells again, because our word was late or lost or the process
died, is known by its id and not carried out again. Slack waits 3 s for the word; a command that takes longer (a
database that is full or away) is said to have failed, and may still be carried out and answered later, once.

Answers are messages to the conversation, on the same way as everything else: durable, paced and tried again. Slack's
other ways (the answer to the request itself, a `response_url` that ends after 30 minutes and 5 uses) are none of that,
so they are used only for what changes nothing: to show the channel what was typed, to say to the person alone that
nobody can be answered there, because the app is not in that conversation, to say what is wrong in a form, and for the
word to whoever pressed a button, of which the message tells as well.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any
from weakref import WeakValueDictionary

import anyio
from anyio.abc import TaskGroup

from notifiers.channels import DeliveryError, Reason
from notifiers.channels.slack import Slack
from notifiers.channels.slack_blocks import escape
from notifiers.channels.slack_forms import instead, view_of, wrong
from notifiers.channels.slack_payloads import channel_of, read_payload, standing_of
from notifiers.channels.slack_views import open_view
from notifiers.chat import Filled, Moved, Person, Place, Pressed, Said, Shut, Standing
from notifiers.chat.conversations import Conversations
from notifiers.chat.floods import Once
from notifiers.chat.wording import BROKE, NOT_HERE
from notifiers.clock import Clock
from rules.event import Event, Severity

log = logging.getLogger(__name__)

ASK_SECONDS = 1.3
"""For each of the two questions that a command may be to Slack, which waits 3 s for its answer."""

HINT_SECONDS = 5.0
SCOPES = (
    *("app_mentions:read", "channels:read", "chat:write", "commands", "files:write", "groups:read", "im:history"),
    *("im:read", "im:write", "mpim:read", "users:read"),
)
"""What the app asks for in the README's manifest."""

_PAGES, _PAGE = 5, 1000  # Of a channel's members. Where there are more, who is among them is not known.
_WORDS = 20  # So many are on their way at once.
_QUIET = 3600.0  # The same trouble is published at most once in this time; the log has it each time.

JSON = dict[str, Any]
Heard = Said | Shut | Moved | Pressed | Filled


class SlackChat:
    """Hears what is said to the app. `trouble` says why it hears nothing at the moment, or is None."""

    def __init__(self, channel: Slack, conversations: Conversations, *, clock: Clock) -> None:
        self._channel = channel
        self._conversations = conversations
        self._clock = clock
        self._turns: WeakValueDictionary[str, anyio.Lock] = WeakValueDictionary()
        self._often = Once(_QUIET)
        self._words: TaskGroup | None = None
        self._wording = anyio.CapacityLimiter(_WORDS)
        self._told = False
        self.trouble: str | None = None

    async def run(self) -> None:
        """Say what is for somebody's eyes alone, until cancelled; what is heard before or after has no such word."""
        async with anyio.create_task_group() as words:
            self._words = words
            try:
                await anyio.sleep_forever()
            finally:
                self._words = None

    async def take(self, kind: str, payload: Mapping[str, Any], envelope: str | None = None) -> JSON | None:
        """Carry a payload out; what Slack is to show at once, perhaps nothing. None: it failed, and may be told again.

        Payloads of one conversation are carried out in the order in which they come.
        """
        heard = read_payload(kind, payload, envelope)
        if heard is None:
            return {}
        async with self._turn(_one_after_the_other(heard)):
            try:
                return await self._hear(heard, payload)
            except Exception:
                # A fault of ours. A database that is full or away is waited for elsewhere.
                log.exception("slack.unheard", extra={"kind": kind, "id": heard.heard.id})
                broke = isinstance(heard, Said) and kind == "slash_commands"
                return _to_them_alone(await self._conversations.word(BROKE)) if broke else None

    async def _hear(self, heard: Heard, payload: Mapping[str, Any]) -> JSON:
        if isinstance(heard, Pressed):
            # One that is told again finds its button used; so much need not be asked before.
            self._whisper(heard, await self._conversations.hear(heard, self))
        elif not await self._conversations.knows(heard.heard):
            typed = channel_of(payload)
            if isinstance(heard, Filled):
                return await self._fill(heard)
            if isinstance(heard, Said) and typed is not None:
                return await self._obey(heard, typed, payload)
            await self._conversations.hear(heard, self)
        return {}

    async def _obey(self, said: Said, typed: str, payload: Mapping[str, Any]) -> JSON:
        """A slash command, and the conversation in which it was typed."""
        if await self._is_outside(typed):
            return _to_them_alone(await self._conversations.word(NOT_HERE))
        if await self._shows_form(said, payload):
            return {}
        await self._conversations.hear(said, self)
        if said.place.private or said.text.startswith("/start"):
            return {}  # An invitation is for one person's eyes.
        return {"response_type": "in_channel"}

    async def _shows_form(self, said: Said, payload: Mapping[str, Any]) -> bool:
        """Whether a command is carried out by showing a form. Where Slack does not show it, questions are asked."""
        trigger = payload.get("trigger_id")
        form = await self._conversations.form(said, self) if isinstance(trigger, str) else None
        view = None if form is None else view_of(form)
        if view is None or not isinstance(trigger, str):
            return False
        try:
            with anyio.fail_after(ASK_SECONDS):
                shown = await open_view(self._channel, trigger, view)
        except (DeliveryError, TimeoutError) as error:
            log.info("slack.form_not_shown", extra={"place": said.place.destination, "error": str(error)})
            return False
        if shown:
            await self._conversations.shown(said)
        return shown

    async def _fill(self, filled: Filled) -> JSON:
        answered = await self._conversations.fill(filled, self)
        if answered.wrong:
            return wrong(answered.wrong)
        return {} if answered.word is None else instead(answered.word, answered.tongue)

    def _whisper(self, pressed: Pressed, word: str | None) -> None:
        """Say a word to whoever pressed, once, and not in the way of what is heard next."""
        if self._words is not None and word is not None and pressed.answer is not None:
            self._words.start_soon(self._say, pressed.answer, word)

    async def _say(self, url: str, word: str) -> None:
        async with self._wording:
            try:
                await self._channel.whisper(url, word)
            except DeliveryError as error:
                log.info("slack.press_not_answered", extra={"error": str(error)})

    @asynccontextmanager
    async def _turn(self, chat: str) -> AsyncIterator[None]:
        lock = self._turns.setdefault(chat, anyio.Lock())
        async with lock:
            yield

    async def _is_outside(self, channel: str) -> bool:
        """Whether the app certainly cannot write where a command was typed: those can be typed anywhere."""
        with anyio.move_on_after(ASK_SECONDS):
            try:
                found = await self._told_of("conversations.info", "channel", channel)
            except DeliveryError as error:
                return error.reason is Reason.gone
            return found is not None and found.get("is_member") is False and found.get("is_im") is not True
        return False

    async def hints(self) -> Sequence[str]:
        """What of the app's settings keeps it from doing all that it can, each with what to do."""
        try:
            with anyio.fail_after(HINT_SECONDS):
                scopes = await self._channel.scopes()
        except (DeliveryError, TimeoutError) as error:
            return [f"Slack did not say what the app may do: {str(error) or 'no answer in time'}"]
        missing = [] if scopes is None else [scope for scope in SCOPES if scope not in scopes]
        if not missing:
            return []
        hint = "add them at api.slack.com/apps under OAuth & Permissions, and install the app again"
        return [f"the Slack app misses the scopes {', '.join(missing)}: {hint}"]

    async def standing(self, place: Place, person: Person) -> Standing:
        """What a person is in a channel, as far as Slack says; see `standing_of`."""
        if place.private:
            return Standing.administrator if person.id == place.chat else Standing.stranger
        channel, user = place.chat.partition(":")[2], person.id.partition(":")[2]
        found: dict[str, Any] = {}

        async def look(what: str, asked: Callable[[], Awaitable[Any]]) -> None:
            try:
                found[what] = await asked()
            except DeliveryError as error:
                log.info("slack.standing_unknown", extra={"place": place.chat, "error": str(error)})

        with anyio.move_on_after(ASK_SECONDS):
            async with anyio.create_task_group() as group:
                group.start_soon(look, "user", lambda: self._told_of("users.info", "user", user))
                group.start_soon(look, "channel", lambda: self._told_of("conversations.info", "channel", channel))
                group.start_soon(look, "inside", lambda: self._is_among(channel, user))
        return standing_of(found.get("user"), found.get("channel"), found.get("inside"))

    async def _told_of(self, method: str, what: str, id_: str) -> Mapping[str, Any] | None:
        """What Slack says of somebody or of a channel; None where that is nothing."""
        answer = (await self._channel.ask(method, {what: id_})).get(what)
        return answer if isinstance(answer, Mapping) else None

    async def _is_among(self, channel: str, user: str) -> bool | None:
        """Whether somebody is in a channel; None where it has more members than are looked through."""
        cursor = ""
        for _page in range(_PAGES):
            asked = {"channel": channel, "limit": str(_PAGE), "cursor": cursor}
            page = await self._channel.ask("conversations.members", asked)
            members, more = page.get("members"), page.get("response_metadata")
            if isinstance(members, list) and user in members:
                return True
            cursor = str(more.get("next_cursor") or "") if isinstance(more, Mapping) else ""
            if not cursor:
                return False
        return None

    async def well(self) -> None:
        """There is a connection."""
        if self.trouble is None:
            return
        self.trouble = None
        log.info("slack.hears_again")
        if self._told:
            self._told = False
            await self._tell("heard", "Commands from Slack are heard again", Severity.info)

    async def troubled(self, error: DeliveryError) -> None:
        """There is none, and why."""
        text = str(error)
        if self.trouble is None:
            log.warning("slack.hears_nothing", extra={"reason": text})
        # Somebody has to do something. What passes by itself is met by messages as well.
        lasting = error.reason in (Reason.unauthorised, Reason.refused)
        if lasting and not self._told and self._often.first("unheard", self._clock.monotonic()):
            self._told = True
            await self._tell("unheard", f"Commands from Slack are not heard: {text}", Severity.error)
        self.trouble = text

    async def _tell(self, what: str, text: str, severity: Severity) -> None:
        event = Event(
            id=self._clock.new_id(),
            type=f"chat.{what}",
            topic=f"chat.{what}",
            time=self._clock.now(),
            source="sensord:chat",
            severity=severity,
            message=text,
            subject="slack",
        )
        await self._conversations.tell(event)


def _one_after_the_other(heard: Heard) -> str:
    """What is heard from the same is carried out in its order."""
    if isinstance(heard, Filled):
        return heard.person.id
    return heard.old if isinstance(heard, Moved) else heard.place.chat


def _to_them_alone(text: str) -> JSON:
    return {"response_type": "ephemeral", "text": escape(text)}
