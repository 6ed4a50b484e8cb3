"""Names: which are taken, how any of them is shown, and how one version is told from another."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from rules.globs import Globs
from rules.printable import printable, unprintable
from sensord.sources.directory import DirectoryConfig
from sensord.sources.directory_names import DoneFile, file_context, mark_of

names = st.binary(min_size=1, max_size=40).filter(lambda name: b"\0" not in name and b"/" not in name)
parts = st.sampled_from(["a", "b", "ab", "ba", ".a", "aab"])
globs = st.lists(st.sampled_from(["**", "*", "a*", "?", "*b", "[ab]", "a", "*a*b*"]), min_size=2, max_size=5)


@given(names)
@example(b"\\x41")
@example(b"\xed\xb2\x80")
@example("\x85\u2028\u202e\U000e0001".encode())
def test_what_is_shown_is_printable_and_names_one_file_only(name: bytes) -> None:
    text = printable(name)
    assert text.isprintable()
    assert text.encode()  # No lone surrogate is left: any database and any JSON takes it.
    assert unprintable(text) == name


@given(names, names)
def test_two_names_are_never_shown_alike(one: bytes, other: bytes) -> None:
    assert (printable(one) == printable(other)) == (one == other)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (b"plain.csv", "plain.csv"),
        ("café".encode(), "café"),
        (b"caf\xe9", r"caf\xe9"),
        (b"a\nb\tc\rd", r"a\nb\tc\rd"),
        (b"a\\nb", r"a\\nb"),
        (b"\x1b[31m\x7f", r"\x1b[31m\x7f"),
        ("\u202e\u0085".encode(), r"\u202e\u0085"),
    ],
)
def test_how_names_are_shown(name: bytes, text: str) -> None:
    assert printable(name) == text


@pytest.mark.parametrize("text", ["a\\", r"\q", r"\x4", r"\X41", r"\u12"])
def test_text_that_shows_no_name_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="starts no known escape"):
        unprintable(text)


def _slow_match(glob: list[str], path: list[str]) -> bool:
    """The meaning of a glob, by trying everything."""
    if not glob:
        return not path
    if glob[0] == "**":
        return any(_slow_match(glob[1:], path[count:]) for count in range(len(path) + 1))
    return bool(path) and Globs([glob[0]]).match("", path[0]) and _slow_match(glob[1:], path[1:])


@given(globs, st.lists(parts, min_size=1, max_size=6))
def test_a_glob_with_slashes_means_what_trying_everything_says(glob: list[str], path: list[str]) -> None:
    prefix = "".join(f"{part}/" for part in path[:-1])
    assert Globs(["/".join(glob)]).match(prefix, path[-1]) == _slow_match(glob, path)


@pytest.mark.parametrize(
    ("glob", "path", "taken"),
    [
        ("*.csv", "a.csv", True),
        ("*.csv", "deep/down/a.csv", True),
        ("*.csv", "a.csv.gz", False),
        ("?.csv", "é.csv", True),
        ("?.csv", "\udce9.csv", True),
        ("[!a]*", "b", True),
        ("[!a]*", "a", False),
        ("2026/*/x.csv", "2026/11/x.csv", True),
        ("2026/*/x.csv", "2026/11/12/x.csv", False),
        ("2026/**/x.csv", "2026/x.csv", True),
        ("2026/**/x.csv", "2026/11/12/x.csv", True),
        ("**/x.csv", "x.csv", True),
        ("out/**", "out/a/b", True),
        ("out/**", "in/a", False),
        ("*", "new\nline", True),
    ],
)
def test_what_globs_match(glob: str, path: str, taken: bool) -> None:
    prefix, name = path[: path.rfind("/") + 1], path[path.rfind("/") + 1 :]
    assert Globs([glob]).match(prefix, name) is taken
    assert Globs(["nothing", glob]).which(prefix, name) == (glob if taken else None)


def test_no_glob_and_no_name_take_long_to_match() -> None:
    """The classic traps of matchers that go back and try again."""
    began = time.process_time()
    assert not Globs(["*a" * 100 + "b"]).match("", "a" * 255)
    assert not Globs(["*" * 200 + "b"]).match("", "a" * 255)
    assert not Globs(["**/" * 60 + "*a*a*a*b"]).match("a/" * 2_000, "a" * 50)
    assert not Globs(["**/a/" * 60 + "b"]).match("a/" * 2_000, "a")
    assert time.process_time() - began < 1.0


@given(st.lists(st.text("*?[]!-ab.\\(){}|^$+", max_size=12), max_size=3), names)
def test_no_glob_is_an_error_when_it_is_matched(some: list[str], name: bytes) -> None:
    assert Globs(some).match("", os.fsdecode(name)) in {True, False}


@pytest.mark.parametrize(
    ("template", "name", "done"),
    [
        ("{name}.done", "a.csv", "a.csv.done"),
        ("{stem}.ok", "a.b.csv", "a.b.ok"),
        (".{name}.md5", "a", ".a.md5"),
        ("_SUCCESS", "anything", "_SUCCESS"),
    ],
)
def test_the_done_file_of_a_name(template: str, name: str, done: str) -> None:
    assert DoneFile(template).of(name) == done
    assert DoneFile(template).is_one(done)
    assert not DoneFile(template).is_one(name)


@pytest.mark.parametrize("template", ["", "{name}", "{stem}", "{other}.done", "{name}{stem}.x", "sub/{name}", ".", "{"])
def test_a_done_file_that_says_nothing_is_refused(template: str) -> None:
    with pytest.raises(ValidationError, match="names no file beside the data file"):
        DirectoryConfig(path=Path(), done_file=template)


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"pattern": "sub/*.csv"}, "set `recursive: true`"),
        ({"pattern": "/a", "recursive": True}, "matches no file"),
        ({"pattern": ["ok", ""]}, "matches no file"),
        ({"poll": 0.0}, "longer than nothing"),
        ({"rescan": 0.0}, "longer than nothing"),
    ],
)
def test_a_configuration_that_can_never_work_is_refused(keys: dict[str, object], told: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(told)):
        DirectoryConfig.model_validate({"path": "in", **keys})


@given(names, st.integers(0, 2**63), st.integers(-(2**70), 2**70), st.integers(0, 2**64 - 1))
def test_a_mark_fits_every_database_and_depends_on_every_part(name: bytes, size: int, mtime: int, inode: int) -> None:
    mark = mark_of(name, size, mtime, inode)
    assert 0 <= mark < 2**63
    assert mark == mark_of(name, size, mtime, inode)
    assert len({mark, mark_of(name + b"x", size, mtime, inode), mark_of(name, size + 1, mtime, inode)}) == 3
    assert len({mark, mark_of(name, size, mtime + 1, inode), mark_of(name, size, mtime, inode ^ 1)}) == 3


@pytest.mark.parametrize(
    ("mtime_ns", "text"),
    [
        (0, "1970-01-01T00:00:00.000000Z"),
        (1_763_690_000_123_456_789, "2025-11-21T01:53:20.123456Z"),
        (10**30, "9999-12-31T23:59:59.999999Z"),
        (-(10**30), "0001-01-01T00:00:00.000000Z"),
    ],
)
def test_a_file_may_claim_any_time(mtime_ns: int, text: str) -> None:
    assert file_context(b"/in/a", b"a", 1, mtime_ns)["mtime"] == text


def test_the_configuration_can_be_read_without_the_daemons_libraries() -> None:
    script = "import sys, sensord.sources.directory; print(*[m for m in ('watchdog', 'rich') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
