from __future__ import annotations

import os
from pathlib import Path

import pytest

from sensord.config import ConfigError, load
from sensord.config.file import read
from tests.config.writing import JOB, config, problems, said, write


def run_config(folder: Path, text: str, environ: dict[str, str] | None = None) -> object:
    """How a value of YAML arrives, seen through a place that takes anything."""
    whole = JOB + f"sensors: {{s: {{directory: {{path: in}}, job: load, run_config: {{v: {text}}}}}}}\n"
    taken = config(folder, whole, environ).sensors["s"].run_config
    assert isinstance(taken, dict)
    return taken["v"]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("no", "no"),
        ("on", "on"),
        ("08:30", "08:30"),
        ("2026-01-02", "2026-01-02"),
        ("010", 10),
        ("0x1f", "0x1f"),
        ("1_000", "1_000"),
        ("1.5e3", 1500.0),
        (".inf", ".inf"),
        ("true", True),
        ("~", None),
        ("'true'", "true"),
        ("!!str 5", "5"),
        ("-3", -3),
    ],
)
def test_plain_values_mean_what_json_and_editors_say(tmp_path: Path, written: str, meant: object) -> None:
    value = run_config(tmp_path, written)
    assert value == meant
    assert type(value) is type(meant)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("${A}", "one"),
        ("x${A}y${B}", "xoney2"),
        ("'${A}'", "one"),
        ('"${A}: #"', "one: #"),
        ("$${A}", "${A}"),
        ("$$${A}", "$${A}"),
        ("$A", "$A"),
        ("${B}", "2"),
        ("${YAML}", "[a, {b: c}] # ${A}"),
    ],
)
def test_variables_are_put_into_text_and_never_read_as_yaml_or_again(tmp_path: Path, written: str, meant: str) -> None:
    environ = {"A": "one", "B": "2", "YAML": "[a, {b: c}] # ${A}"}
    assert run_config(tmp_path, written, environ) == meant


def test_a_variable_becomes_a_number_where_the_field_wants_one(tmp_path: Path) -> None:
    read = config(tmp_path, "http: {port: ${PORT}}\nconcurrency: ${N}\n", {"PORT": "0", "N": "7"})
    assert (read.http.port, read.concurrency) == (0, 7)


def test_a_files_content_loses_one_final_newline_and_its_path_starts_at_the_file(tmp_path: Path) -> None:
    write(tmp_path, "abc\n\n", "secrets/one")
    write(tmp_path, "deep\r\n", "conf/two")
    write(tmp_path, "http: {token: '${file:two}'}", "conf/more.yaml")
    read = config(
        tmp_path, "include: [conf/more.yaml]\nwebhooks: {w: {url: 'http://x', secret: '${file:secrets/one}'}}\n"
    )
    assert read.http.token is not None
    assert read.http.token.get_secret_value() == "deep"
    secret = read.webhooks["w"].secret
    assert secret is not None
    assert secret.get_secret_value() == "abc\n"


@pytest.mark.parametrize(
    ("written", "complaint"),
    [
        ("${MISSING}", "the environment variable MISSING is not set; set it; write $${ for a literal ${"),
        ("'${a b}'", "${…} takes NAME of an environment variable or file:PATH; write $${ for a literal ${"),
        ("'${}'", "${…} takes NAME of an environment variable or file:PATH; write $${ for a literal ${"),
        ("'${A'", "a ${ that no } closes; write $${ for a literal ${, and quote text with spaces"),
        ("${file:.}", "{folder} is not a regular file"),
        ("${file:no}", "there is no file {folder}/no; paths are relative to the file that names them"),
        ("${file:latin}", "the file {folder}/latin is not UTF-8"),
        ("${file:nul}", "the file {folder}/nul holds a NUL character"),
        ("${file:pipe}", "{folder}/pipe is not a regular file"),
    ],
)
def test_what_cannot_be_put_in_is_said_with_its_place(tmp_path: Path, written: str, complaint: str) -> None:
    (tmp_path / "latin").write_bytes(b"\xe9")
    (tmp_path / "nul").write_bytes(b"a\0b")
    os.mkfifo(tmp_path / "pipe")
    found = problems(tmp_path, f"log: {{format: json}}\nowner:\n  {written}\n")
    expected = complaint.replace("{folder}", str(tmp_path))
    assert [str(one) for one in found] == [f"{tmp_path}/sensord.yaml:3:3: owner: {expected}"]


def test_everything_that_is_missing_is_said_at_once_and_nothing_that_follows_from_it(tmp_path: Path) -> None:
    assert said(tmp_path, "http: {port: ${A}, token: ${B}}\ntelegram: {token: ${C}}\n") == [
        f"sensord.yaml:{place}: the environment variable {name} is not set; set it; write $${{ for a literal ${{"
        for place, name in [("1:14: http.port", "A"), ("1:27: http.token", "B"), ("2:19: telegram.token", "C")]
    ]


@pytest.mark.parametrize(
    ("text", "place", "complaint"),
    [
        ("a: {b: 1\n", "2:1", "not YAML"),
        ("jobs:\n\tx: 1\n", "2:1", "indent with spaces, not tabs"),
        ("http: {port: 1}\nlog: {}\nhttp: {}\n", "3:1", "the key 'http' repeats the one in line 1"),
        ("jobs:\n  é: 1\n  a: {x: 1, x: 2}\n", "3:13", "the key 'x' repeats the one in line 3"),
        ("jobs: !!python/object/apply:os.system ['true']\n", "1:7", "tags (!…) are not allowed"),
        ("x: &a [*a]\n", "1:8", "an anchor that contains itself"),
        ("x: *nobody\n", "1:4", "an alias (*…) that no anchor (&…) defines"),
        ("sensors: {s: {run_key: {{ file.name }}}}\n", "1:25", 'a template needs quotes: "{{ … }}"'),
        ("a: 1\n---\nb: 2\n", "2:1", "a second document"),
        ("- a\n", "1:1", "the file must be a mapping of sections"),
        ("text\n", "1:1", "the file must be a mapping of sections"),
        ('a: "\\0"\n', "1:4", "the character U+0000 is not allowed in text"),
        ("a: b\x07\n", "1:5", "the character U+0007 is not allowed in YAML"),
        ("owner: 1e999\n", "1:8", "a number of more than 64 bits"),
        ("<<: 5\n", "1:5", "'<<' merges mappings only"),
    ],
)
def test_what_is_not_acceptable_yaml_is_said_with_line_and_column(
    tmp_path: Path, text: str, place: str, complaint: str
) -> None:
    (found,) = problems(tmp_path, text)
    assert str(found).startswith(f"{tmp_path}/sensord.yaml:{place}: ")
    assert complaint in str(found)


def test_text_that_is_not_utf8_is_said_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / "sensord.yaml"
    path.write_bytes(b"log: {}\nowner: \xff\n")
    with pytest.raises(ConfigError, match=r"sensord\.yaml:2:8: not UTF-8; save the file as UTF-8"):
        load(path, {})


def test_columns_count_characters_and_a_byte_order_mark_is_none(tmp_path: Path) -> None:
    path = tmp_path / "sensord.yaml"
    path.write_bytes("\ufeffjobs: {é: {ü: 1}}\n".encode())
    with pytest.raises(ConfigError) as caught:
        load(path, {})
    assert ":1:8: jobs.é: a name is" in str(caught.value)
    assert ":1:12: jobs.é.ü: unknown key" in str(caught.value)


def test_anchors_and_merges_spare_repetition(tmp_path: Path) -> None:
    read = config(
        tmp_path,
        """
        jobs:
          a: &a {command: [x], timeout: 5s, tags: {team: geo}}
          b: {<<: *a, timeout: 9s}
        """,
    )
    assert (read.jobs["b"].timeout, read.jobs["b"].tags) == (9.0, {"team": "geo"})
    assert read.jobs["a"].timeout == 5.0


def test_included_sections_are_merged_name_by_name_and_lists_one_after_the_other(tmp_path: Path) -> None:
    write(tmp_path, "jobs: {b: {command: [b]}}\nsubscriptions: [{topic: b, to: 'inbox:'}]\n", "conf.d/b.yaml")
    write(tmp_path, "jobs: {c: {command: [c]}}\nhttp: {port: 0}\ninclude: sub/*.yaml\n", "conf.d/c.yaml")
    write(tmp_path, "jobs: {d: {command: [d], cwd: here}}\n", "conf.d/sub/d.yaml")
    read = config(
        tmp_path,
        """
        include: [conf.d/*.yaml, conf.d/b.yaml, nothing/*.yaml]
        jobs: {a: {command: [a], cwd: here}}
        subscriptions: [{topic: a, to: 'inbox:'}]
        http: {host: localhost}
        """,
    )
    assert list(read.jobs) == ["a", "b", "c", "d"]
    assert [one.topic for one in read.subscriptions] == ["a", "b"]
    assert (read.http.host, read.http.port) == ("localhost", 0)
    assert [read.jobs[name].launcher.model_dump()["cwd"] for name in "ad"] == [
        tmp_path / "here",
        tmp_path / "conf.d/sub/here",
    ]


def test_what_is_defined_twice_is_said_with_both_places(tmp_path: Path) -> None:
    write(tmp_path, "jobs:\n  a: {command: [b]}\nlog: {level: debug}\nbus: embedded\n", "more.yaml")
    found = said(tmp_path, "jobs: {a: {command: [a]}}\nlog: {level: info}\nbus: embedded\ninclude: more.yaml\n")
    assert found == [
        "more.yaml:2:3: jobs.a: defined twice, first at sensord.yaml:1:8; keep one of them",
        "more.yaml:3:7: log.level: defined twice, first at sensord.yaml:2:7; keep one of them",
        "more.yaml:4:1: bus: defined twice, first at sensord.yaml:3:1; keep one of them",
    ]


def test_a_problem_in_an_included_file_names_that_file(tmp_path: Path) -> None:
    write(tmp_path, "subscriptions:\n  - {topic: a, to: 'inbox:'}\n  - {topic: a..b, to: 'inbox:'}\n", "more.yaml")
    (found,) = problems(tmp_path, "include: more.yaml\nsubscriptions: [{topic: x, to: 'inbox:'}]\n")
    assert str(found).startswith(f"{tmp_path}/more.yaml:3:13: subscriptions[2].topic: topic 'a..b' has an empty token")


def test_a_file_that_includes_itself_is_said_where_it_does(tmp_path: Path) -> None:
    write(tmp_path, "include: ['../*.yaml']\n", "conf/b.yaml")
    assert said(tmp_path, "log: {}\ninclude:\n  - conf/b.yaml\n") == [
        "conf/b.yaml:1:11: conf/../sensord.yaml includes itself; narrow the pattern so that it leaves this file out"
    ]


@pytest.mark.parametrize(
    ("item", "complaint"),
    [
        ("no.yaml", "2:4: there is no file no.yaml; paths are relative to the file that names them"),
        ("conf", "2:4: conf is not a regular file"),
        ("5", "2:4: include[0]: not a path; e.g. include: [conf.d/*.yaml]"),
    ],
)
def test_an_include_that_leads_nowhere_is_said(tmp_path: Path, item: str, complaint: str) -> None:
    (tmp_path / "conf").mkdir()
    assert said(tmp_path, f"include:\n - {item}\n") == [f"sensord.yaml:{complaint}"]


def test_without_a_file_it_says_where_it_looked_and_what_to_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as caught:
        load(None, {})
    assert str(caught.value) == (
        f"sensord.yaml: there is no such file (looked for by the current folder, in {tmp_path}); "
        "`sensord init` writes one to start from"
    )


def test_the_file_is_the_one_given_else_the_variables_else_the_current_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path, "concurrency: 1\n")
    write(tmp_path, "concurrency: 2\n", "two.yaml")
    three = write(tmp_path, "concurrency: 3\n", "three.yaml")
    assert load(None, {}).concurrency == 1
    assert load(None, {"SENSORD_CONFIG": "two.yaml"}).concurrency == 2
    assert load(three, {"SENSORD_CONFIG": "two.yaml"}).concurrency == 3


def test_an_empty_file_is_a_configuration_of_defaults(tmp_path: Path) -> None:
    for text in ("", "# nothing\n", "---\n", "jobs:\nsensors:\n"):
        read = config(tmp_path, text)
        assert (read.jobs, read.http.port, read.bus) == ({}, 8300, "embedded")


def test_values_keep_the_place_of_their_key_and_of_themselves(tmp_path: Path) -> None:
    document = read(write(tmp_path, "a:\n  b: [1,\n   {c: 2}]\n"), {})
    places = {loc: (place.line, place.column) for loc, place in document.places.items() if loc}
    assert places == {
        ("a",): (2, 3),
        ("a", "b"): (2, 6),
        ("a", "b", 0): (2, 7),
        ("a", "b", 1): (3, 4),
        ("a", "b", 1, "c"): (3, 8),
    }
    assert {loc: (place.line, place.column) for loc, place in document.keys.items()} == {
        ("a",): (1, 1),
        ("a", "b"): (2, 3),
        ("a", "b", 1, "c"): (3, 5),
    }
