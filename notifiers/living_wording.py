"""What living messages say beside the words of their events."""

from __future__ import annotations

from dataclasses import replace

from notifiers.message import Message, Text
from rules.event import Event, Severity

CONTINUES = "This goes on from an earlier message about the same run, which can be changed no more."


def continued(message: Message) -> Message:
    """The message, where it stands in for one that can be edited no more."""
    return replace(message, note=message.note or CONTINUES)


def recovered(failure: Message, success: Event) -> Message:
    """The message of a failure, after a later run of the same job came through."""
    what = success.data.get("subject") or success.data.get("partition_key") or success.data.get("run_key") or ""
    at = success.time.strftime("%Y-%m-%d %H:%M UTC")
    words = f"Recovered: {success.job} succeeded at {at}" + (f" ({what})" if what else "")
    return replace(failure, note=f"{words}.", severity=Severity.info, buttons=())


def without_details(message: Message) -> tuple[Message, Message | None]:
    """What stands in a message that is edited, and what goes under it.

    The causes stay: all of the body up to the first log or table after the error. What is bad gets a message of its
    own under it in any case, for nobody is told of an edit; it repeats no error.
    """
    kept, under = message.body[:1], message.body[1:]
    bad = message.severity >= Severity.error
    if not (under or message.attachments or bad):
        return message, None
    head = replace(message, body=kept, attachments=())
    words: list[Text] = [] if under else [Text("What went wrong stands in the message above.")]
    title = message.title
    details = Message(
        title=title,
        severity=message.severity,
        body=[*words, *under],
        links=() if under else message.links,
        attachments=message.attachments,
    )
    return head, details
