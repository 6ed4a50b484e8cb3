"""What people read: in their language, by their clock, by a team's own templates; and what broken ones amount to."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifiers.message import Pre, Text
from notifiers.reading import LANGUAGES, Reader, language_of
from notifiers.reading.checking import check_templates
from notifiers.reading.extract import messages, updated
from notifiers.reading.language import catalogue, language
from notifiers.reading.samples import SAMPLES
from notifiers.reading.templates import Broken, Templates, read_own
from notifiers.wording import to_message
from rules.event import Event

RUSSIAN = Reader("ru", "Europe/Moscow")
LATIN = re.compile(r"[A-Za-z]{2,}")
FILLED = re.compile(r"\{\{.*?\}\}|\{\w+\}")
FAILED = SAMPLES["run.failed"]


def forms_of(string: Any) -> list[str]:
    return [string] if isinstance(string, str) else list(string or ())


@pytest.mark.parametrize("lang", LANGUAGES[1:])
def test_every_text_is_translated_and_none_is_doubtful(lang: str) -> None:
    there = catalogue(lang)

    for text in messages():
        entry = there.get(text if isinstance(text, str) else text[0])
        assert entry is not None, f"{text} has no translation; python -m notifiers.reading.extract, and write one"
        forms = forms_of(entry.string)
        assert all(forms), f"{text} is not translated"
        assert not entry.fuzzy, f"{text} is doubtful"
        assert isinstance(text, str) or len(forms) == there.num_plurals
    assert len(there) == len(messages())


@pytest.mark.parametrize("lang", LANGUAGES[1:])
def test_a_translation_fills_in_what_the_text_does(lang: str) -> None:
    for text in messages():
        entry = catalogue(lang).get(text if isinstance(text, str) else text[0])
        assert entry is not None
        for form in forms_of(entry.string):
            wanted = FILLED.findall(text if isinstance(text, str) else text[1])
            assert sorted(FILLED.findall(str(form))) == sorted(wanted), text


def test_a_new_text_comes_into_the_catalogue_untranslated() -> None:
    fresh = updated("ru", b"")

    assert {entry.string for entry in fresh if entry.id == "file"} == {""}
    assert {entry.string for entry in fresh if entry.id and entry.id[0].startswith("{{ count | number }} message")} == {
        ("", "", "")
    }


@pytest.mark.parametrize("type_", [name for name in SAMPLES if name != "message"])
def test_no_english_word_is_left_in_a_russian_message(type_: str) -> None:
    event = SAMPLES[type_]
    message = to_message(event, reader=RUSSIAN)
    data = {str(value) for value in event.data.values()} | {event.job, event.sensor, event.subject, event.message}

    words = [
        message.title,
        *(label for label, _ in message.facts if label not in ("rows read", "rows", "bad", "share")),
    ]
    words += [block.title for block in message.body if isinstance(block, Pre)]
    for word in words:
        rest = word
        for said in sorted((one for one in data if one), key=len, reverse=True):
            rest = rest.replace(said, "")
        assert not LATIN.search(rest), word


def test_a_russian_message_has_russian_plurals_units_and_decimals() -> None:
    message = to_message(FAILED, reader=RUSSIAN)

    assert message.title == "load_houses: ошибка после 3 попыток"
    assert ("длительность", "1 мин 23 с") in message.facts  # noqa: RUF001 - Russian
    assert ("share", "0,99993") in to_message(SAMPLES["quality.failed"], reader=RUSSIAN).facts
    assert "выполняется, 40\xa0%" in to_message(SAMPLES["run.progress"], reader=RUSSIAN).title


def test_what_a_job_says_of_itself_has_the_labels_that_we_use() -> None:
    event = Event(
        id="e", type="run.x", topic="t", time=FAILED.time, job="x", data={"metadata": {"exit_code": 0, "rows_read": 1}}
    )

    assert to_message(event).facts == [("exit status", "0"), ("rows read", "1")]
    assert to_message(event, reader=RUSSIAN).facts == [("код выхода", "0"), ("rows read", "1")]


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (1, "1 сообщение"),
        (2, "2 сообщения"),
        (5, "5 сообщений"),
        (11, "11 сообщений"),
        (21, "21 сообщение"),
        (112, "112 сообщений"),
        (1_200_000, "1\xa0200\xa0000 сообщений"),
    ],
)
def test_messages_are_counted_as_russian_counts(count: int, text: str) -> None:
    assert Templates().voice(RUSSIAN).say("messages", count=count) == text


def test_times_are_those_of_the_readers_clock() -> None:
    winter, summer = datetime(2026, 1, 15, 22, 30, tzinfo=UTC), datetime(2026, 7, 15, 22, 30, tzinfo=UTC)

    assert language(Reader("en", "Europe/Lisbon")).moment(winter) == "15 Jan 22:30 WET"
    assert language(Reader("en", "Europe/Lisbon")).moment(summer) == "15 Jul 23:30 WEST"
    assert language(RUSSIAN).moment(winter) == "16 янв. 01:30 MSK"
    assert language(Reader("en", "No/Such")).moment(winter) == "15 Jan 22:30 UTC"


def test_a_chats_word_for_a_language_is_taken_where_there_is_one() -> None:
    assert [language_of(code) for code in ("ru", "ru-RU", "EN", "pt-br", "", None, 7)] == [
        "ru",
        "ru",
        "en",
        None,
        None,
        None,
        None,
    ]


def of_team(folder: Path, **files: str) -> tuple[Templates, list[Broken]]:
    for name, text in files.items():
        (folder / f"{name.replace('__', '.')}.yaml").write_text(text, encoding="utf-8")
    broken: list[Broken] = []
    return Templates(read_own(folder), tell=broken.append), broken


def test_a_teams_own_title_stands_with_our_facts(tmp_path: Path) -> None:
    templates, broken = of_team(tmp_path, run='types:\n  failed:\n    title: "Oh no: {{ job }}"\n')
    message = templates.voice().message(FAILED)

    assert message.title == "Oh no: load_houses"
    assert message.facts == to_message(FAILED).facts
    assert templates.voice().message(SAMPLES["run.succeeded"]) == to_message(SAMPLES["run.succeeded"])
    assert not broken


def test_a_teams_file_for_one_language_is_for_that_alone(tmp_path: Path) -> None:
    templates, _ = of_team(tmp_path, run='every: {title: "all {{ what }}"}', run__ru='every: {title: "все {{ what }}"}')

    assert templates.voice().message(FAILED).title == "all failed"
    assert templates.voice(RUSSIAN).message(FAILED).title == "все failed"


def test_a_teams_own_words_stand_in_for_ours(tmp_path: Path) -> None:
    templates, _ = of_team(tmp_path, words='messages: {one: "one", other: "{{ count }} of them"}')

    assert [templates.voice().say("messages", count=count) for count in (1, 3)] == ["one", "3 of them"]


@pytest.mark.parametrize(
    ("text", "line", "why"),
    [
        ("every:\n  title: '{{ jobb }}'\n", 2, "there is no jobb"),
        ("every:\n  facts:\n    - {label: a, value: '{{ data.x | nope }}'}\n", 3, "no filter"),
        ("every:\n  body:\n    - {text: '{{ data.x / data.y }}'}\n", 3, "division"),
        ("every:\n  body:\n    - {text: '{% for a in range(9) %}{% endfor %}'}\n", 3, "there is no range"),
        ("every:\n  title: '{{ ''a'' * 99999999 }}'\n", 2, "99,999,999"),
        ("every:\n  body:\n    - {text: '{{ data.x'}\n", 3, "unexpected end"),
    ],
)
def test_a_broken_template_gives_way_to_ours_and_is_told_once(tmp_path: Path, text: str, line: int, why: str) -> None:
    templates, broken = of_team(tmp_path, run=text)
    event = Event(id="e", type="run.failed", topic="t", time=FAILED.time, job="x", data={"x": 1, "y": 0})

    for _ in range(3):
        assert templates.voice().message(event) == to_message(event)
    assert [(one.file, one.line) for one in broken] == [("run.yaml", line)]
    assert why in broken[0].why


def test_a_template_that_says_too_much_gives_way_to_ours(tmp_path: Path) -> None:
    body = "\n".join("    - {text: '{{ data.long }}'}" for _ in range(8))
    templates, broken = of_team(tmp_path, run=f"every:\n  body:\n{body}\n")
    event = Event(id="e", type="run.failed", topic="t", time=FAILED.time, job="x", data={"long": "a" * 60_000})

    assert templates.voice().message(event) == to_message(event)
    assert "480," in broken[0].why


def test_a_template_that_takes_too_long_gives_way_to_ours(tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text("every:\n  facts:\n    - {label: a, value: '{{ id }}'}\n", encoding="utf-8")
    broken: list[Broken] = []
    seconds = iter(range(100))
    templates = Templates(read_own(tmp_path), tell=broken.append, spent=lambda: float(next(seconds)))

    assert templates.voice().message(FAILED) == to_message(FAILED)
    assert [(one.file, one.line) for one in broken] == [("run.yaml", 3)]
    assert "200 ms" in broken[0].why


@pytest.mark.parametrize(
    "content",
    [
        "a: [",
        "- 1",
        "every: {titel: x}",
        "every: {facts: [{label: a}]}",
        "x: &a [*a]",
        "every: {body: [{}]}",
        "[" * 5000,
    ],
)
def test_a_file_that_cannot_be_read_leaves_ours_in_place(tmp_path: Path, content: str) -> None:
    templates, broken = of_team(tmp_path, run=content)
    templates.told_now()

    assert templates.voice().message(FAILED) == to_message(FAILED)
    assert [one.file for one in broken] == ["run.yaml"]


def test_a_check_names_the_file_and_the_line_of_what_is_broken(tmp_path: Path) -> None:
    of_team(
        tmp_path,
        run="every:\n  facts:\n    - {label: a, value: '{{ data.x.y.z }}'}\n    - {label: b, value: '{{ nope }}'}\n",
        quality='types:\n  unheard:\n    title: "{{ wrong }}"\n',
        words='messages: "{{ number }}"\nnothing: x\n',
        other="x: 1",
    )
    found = [(one.file, one.line) for one in check_templates(tmp_path)]

    assert found == [("other.yaml", 1), ("quality.yaml", 3), ("run.yaml", 4), ("words.yaml", 1), ("words.yaml", 2)]


def test_our_own_templates_pass_the_check(tmp_path: Path) -> None:
    ours = Path(__file__).parent.parent.parent / "notifiers" / "reading" / "builtin"
    for path in ours.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())

    assert not check_templates(tmp_path)


def test_what_data_says_is_never_a_template(tmp_path: Path) -> None:
    templates, _ = of_team(tmp_path, run='every:\n  title: "{{ job }}"\n  body: [{text: "{{ data.x | upper }}"}]\n')
    event = Event(id="e", type="run.x", topic="t", time=FAILED.time, job="{{ 7 * 7 }}", data={"x": "{% if %}{{ id }}"})

    message = templates.voice().message(event)
    assert (message.title, message.body) == ("{{ 7 * 7 }}", [Text("{% IF %}{{ ID }}")])


@pytest.mark.parametrize(
    ("metrics", "facts"),
    [
        ({"failed": 12, "rows": 1000, "least": 3}, [("не прошло строк", "12 / 1\xa0000 (1,2\xa0%)"), ("least", "3")]),
        ({"failed": 0, "rows": 0}, [("не прошло строк", "0 / 0")]),
        ({"failed": 5}, [("failed", "5")]),
        ({"failed": True, "rows": "x"}, [("failed", "да"), ("rows", "x")]),
    ],
)
def test_a_check_says_how_many_rows_of_how_many_failed(metrics: dict[str, Any], facts: list[tuple[str, str]]) -> None:
    data = {"check": "price", "metrics": metrics, "in_a_row": 3, "trend": [0, 3, 12]}
    event = Event(id="e", type="quality.failed", topic="t", time=FAILED.time, job="load", data=data)
    message = to_message(event, reader=RUSSIAN)

    assert message.title == "load: проверка price снова не пройдена (3 раза подряд)"
    assert message.facts == [*facts, ("динамика", "▁▃█ (≤ 12)")]


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text() | st.integers(), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.sampled_from([*SAMPLES, "", "run.", "a.b"]),
    st.dictionaries(
        st.sampled_from(["attempt", "duration_s", "error", "log_tail", "progress", "metrics", "trend", "x"]), anything
    ),
    st.text(),
)
def test_every_event_has_a_russian_message(type_: str, data: dict[str, Any], text: str) -> None:
    event = Event(
        id="e", type=type_, topic="t", time=FAILED.time, job=text or None, sensor=text, data=data, message=text
    )
    message = to_message(event, reader=RUSSIAN)

    assert message.title
    assert all(isinstance(part, str) for fact in message.facts for part in fact)
