"""What living messages say beside the words of their events."""

from __future__ import annotations

from msgspec.structs import replace

from notifiers.message import Message, Text
from notifiers.reading.templates import Voice
from rules.event import Event, Severity


def continued(message: Message, voice: Voice) -> Message:
    """The message, where it stands in for one that can be edited no more."""
    return replace(message, note=message.note or voice.say("continues"))


def recovered(failure: Message, success: Event, voice: Voice) -> Message:
    """The message of a failure, after a later run of the same job came through."""
    what = success.data.get("subject") or success.data.get("partition_key") or success.data.get("run_key") or ""
    about = {"job": success.job or "", "at": voice.language.day(success.time)}
    note = voice.say("recovered with", **about, what=what) if what else voice.say("recovered", **about)
    return replace(failure, note=note, severity=Severity.info, buttons=())


def without_details(message: Message, voice: Voice) -> tuple[Message, Message | None]:
    """What stands in a message that is edited, and what goes under it.

    The causes stay: all of the body up to the first log or table after the error. What is bad gets a message of its
    own under it in any case, for nobody is told of an edit; it repeats no error.
    """
    kept, under = message.body[:1], message.body[1:]
    bad = message.severity >= Severity.error
    if not (under or message.attachments or bad):
        return message, None
    head = replace(message, body=kept, attachments=())
    words: list[Text] = [] if under else [Text(voice.say("went wrong"))]
    title = message.title
    details = Message(
        title=title,
        severity=message.severity,
        body=[*words, *under],
        links=() if under else message.links,
        attachments=message.attachments,
    )
    return head, details
