"""Rendering for Telegram, with TDLib as the judge of every text and entity."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings

from notifiers.channels.telegram_text import clean, is_linkable, render
from notifiers.message import Attachment, Button, Link, Message, Pre, Table, Text
from rules.event import Severity
from tests.channels.telegram_messages import HOSTILE, checked, files, messages, texts, whole
from tests.doubles.telegram_judge import execute

SCRIPTS = {
    "ascii": "the quick <brown> fox & 17 *dogs*\n",
    "cyrillic": "съешь ещё этих мягких французских булок\n",
    "emoji": "👩‍👩‍👧 😀🇺🇦 👍🏽\n",
    "unbroken": "😀",
}


def sized(script: str, length: int) -> str:
    """A text of so many characters that ends in one that is not blank."""
    pattern = SCRIPTS[script]
    return ((pattern * (length // len(pattern) + 1))[: length - 1] + "█") if length else ""


@settings(max_examples=40, deadline=None)
@given(messages)
def test_telegram_refuses_and_changes_nothing_of_any_message(message: Message) -> None:
    parts = checked(message)
    assert json.loads(json.dumps([part.payload for part in parts])) == [part.payload for part in parts]
    assert render(message) == parts


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_paragraph_of_any_length_arrives_whole(script: str) -> None:
    for length in range(0, 20_000, 970):
        text = sized(script, length)
        parts = checked(Message(title="t", body=[Text(text)]))
        assert whole(parts) == ("ℹ️ t\n\n" + text).rstrip()  # noqa: RUF001
        assert not files(parts)
    text = sized(script, 200_000)
    assert whole(checked(Message(title="t", body=[Text(text)]))) == f"ℹ️ t\n\n{text}"  # noqa: RUF001


def test_a_megabyte_of_traceback_is_one_message_with_its_ends_and_one_file() -> None:
    lines = [f'  File "load.py", line {number}, in <module>' for number in range(25_000)]
    traceback = "\n".join(["Traceback (most recent call last):", *lines, "ValueError: 1 < 0"])
    parts = checked(Message(title="failed", severity=Severity.error, body=[Pre(traceback, title="traceback")]))
    assert len(traceback) > 1_000_000
    assert len(texts(parts)) == 1
    assert files(parts) == {"traceback.txt": traceback.encode()}
    assert "Traceback (most recent call last):\n  File" in parts[0].text
    assert f"\n[… traceback.txt has it whole: {len(traceback):,} characters …]\n" in parts[0].text
    assert parts[0].text.endswith("\nValueError: 1 < 0")


def test_a_log_of_two_messages_arrives_inline_as_pre_in_both() -> None:
    log = "\n".join(f"{number} INFO loaded" for number in range(400))
    parts = checked(Message(title="log", body=[Pre(log)]))
    assert log in whole(parts)
    assert [part.payload["entities"][-1]["type"] for part in parts] == ["pre", "pre"]


def test_a_paragraph_above_the_limit_goes_along_as_a_file() -> None:
    text = sized("ascii", 200_001)
    parts = checked(Message(title="t", body=[Text(text)]))
    assert len(texts(parts)) == 1
    assert files(parts) == {"text.txt": text.encode()}


def test_no_part_has_more_than_a_hundred_entities_and_none_is_lost() -> None:
    facts = [(f"label {number}", f"value {number}") for number in range(240)]
    parts = checked(Message(title="many", facts=facts))
    entities = [entity for part in parts for entity in part.payload["entities"]]
    assert [entity["type"] for entity in entities] == ["bold", *["bold", "code"] * 240]
    assert max(len(part.payload["entities"]) for part in parts) <= 100
    assert all(part.text.startswith(("ℹ️", "label")) for part in parts)  # noqa: RUF001


def test_a_short_label_is_not_cut_through_though_it_has_a_line_end() -> None:
    label = "y" * 100 + "\n" + "z" * 100
    parts = checked(Message(title="x" * 3_000, facts=[(label, "v" * 3_000)]))
    assert [part.text.partition(":")[0] for part in parts][1] == label


def test_no_part_is_blank_even_where_blanks_stand_before_what_must_not_be_cut() -> None:
    title = "x" * 3_900 + "\n" + " " * 250
    label = "y" * 1_850 + "\n" + "z" * 100
    parts = checked(Message(title=title, facts=[(label, "v" * 5_000)]))
    assert len(parts) > 2


def test_a_message_reads_as_it_should() -> None:
    message = Message(
        title="load_houses failed",
        severity=Severity.error,
        note="This may be a repeat.",
        facts=[("file", "houses.csv"), ("run", "https://dagster.example/runs/1")],
        body=[Text("The 3rd attempt failed."), Table(["check", "rows"], [["not_null", "7"]], title="checks")],
        links=[Link("log", "https://sensord.example/runs/1"), Link("here", "http://localhost:8300/runs/1")],
        buttons=[Button("Retry", "n1", "primary"), Button("Mute", "n2")],
    )
    (part,) = checked(message)
    assert part.text == (
        "This may be a repeat.\n\n❌ load_houses failed\nfile: houses.csv\nrun: https://dagster.example/runs/1\n\n"
        "The 3rd attempt failed.\n\nchecks\ncheck     rows\n--------  ----\nnot_null     7\n\nlog\n"
        "here: http://localhost:8300/runs/1"
    )
    raw = part.text.encode("utf-16-le")
    spans = [
        (entity["type"], raw[2 * entity["offset"] : 2 * (entity["offset"] + entity["length"])].decode("utf-16-le"))
        for entity in part.payload["entities"]
    ]
    assert spans == [
        ("italic", "This may be a repeat."),
        ("bold", "load_houses failed"),
        ("bold", "file"),
        ("code", "houses.csv"),
        ("bold", "run"),
        ("bold", "checks"),
        ("pre", "check     rows\n--------  ----\nnot_null     7"),
        ("text_link", "log"),
    ]
    assert part.payload["buttons"] == [
        [{"text": "Retry", "nonce": "n1", "style": "primary"}, {"text": "Mute", "nonce": "n2", "style": "default"}]
    ]


def test_a_message_of_nothing_still_says_how_severe_it_is() -> None:
    (part,) = checked(Message(title="\u200b \n", severity=Severity.critical, body=[Text(" "), Pre("\n", " ")]))
    assert part.text == "🚨 critical"


def test_blank_characters_without_end_are_counted_instead() -> None:
    (part,) = checked(Message(title="a" + "\n" * 10_000 + "b"))
    assert "[9,872 blank characters]" in part.text


def test_buttons_are_in_the_last_text_and_only_there() -> None:
    buttons = [Button("", "a"), Button("b" * 200, "b" * 64), Button("c", "c" * 65), Button("d", "")]
    first, last, file = checked(
        Message(title="t", body=[Text("x" * 5_000)], buttons=buttons, attachments=[Attachment("a.csv", b"1")])
    )
    assert "buttons" not in first.payload
    assert "document" in file.payload
    assert [button["text"] for row in last.payload["buttons"] for button in row] == ["…", "b" * 63 + "…"]


def test_a_cut_table_goes_along_as_csv() -> None:
    rows = [[str(number), "x" * 60] for number in range(60)]
    parts = checked(Message(title="t", body=[Table(["n", "name"], rows, title="bad rows")]))
    assert "… 10 more rows" in whole(parts)
    assert whole(parts).endswith("whole table: bad_rows.csv")
    assert files(parts)["bad_rows.csv"].count(b"\r\n") == 61


def test_files_have_harmless_and_different_names_and_those_telegram_refuses_are_named() -> None:
    names = ["../../etc/passwd", 'a"b\r\n.csv', "a_b.csv", "лог.txt", "", "empty"]
    attachments = [Attachment(name, b"x" if name != "empty" else b"") for name in names]
    parts = checked(Message(title="t", attachments=attachments))
    assert list(files(parts)) == ["passwd", "a_b.csv", "a_b-2.csv", "лог.txt", "file"]
    assert whole(parts).endswith("empty is empty")


def test_a_file_above_fifty_megabytes_is_named_instead() -> None:
    parts = render(Message(title="t", attachments=[Attachment("dump.sql", b"x" * 50_000_001)]))
    assert whole(parts).endswith("dump.sql has 50 MB, more than the 50 MB that Telegram takes")
    assert not files(parts)


@pytest.mark.parametrize(
    "url",
    ["https://a.example", "http://a.b:8080/x?y=%20#z", "HTTPS://A.EXAMPLE/", "http://10.0.0.1/", "http://localhost/",
     "http://host/x", "https://exa mple.com", "ftp://a.b/", "http://a.b:99999/", "javascript:alert(1)", "",
     "https://a.b/\n", "https://user@a.b/", "https://яндекс.рф/", "http://[::1]/"],
)  # fmt: skip
def test_a_url_goes_behind_a_word_only_where_tdlib_takes_it(url: str) -> None:
    (part,) = checked(Message(title="t", links=[Link("word", url)]))
    linked = [entity for entity in part.payload["entities"] if entity["type"] == "text_link"]
    assert bool(linked) == is_linkable(url)
    if not linked:
        assert part.text.endswith(f"word: {clean(url)}".rstrip())


def test_a_url_that_telegram_refuses_behind_a_word_is_written_out() -> None:
    assert is_linkable("https://a.example/x")
    assert not is_linkable("http://localhost:8300/x")


def test_clean_text_is_what_tdlib_would_leave_of_it() -> None:
    for text in HOSTILE:
        cleaned = clean(f"a{text}b")
        formatted = {"@type": "formattedText", "text": cleaned, "entities": []}
        assert execute({"@type": "getMarkdownText", "text": formatted})["text"] == cleaned
