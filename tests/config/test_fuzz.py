"""Whatever a file holds, the answer is a configuration or a ConfigError whose problems are one line each."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sensord.config import ConfigError, load
from sensord.config.yaml import YamlError, parse
from tests.config.writing import ENVIRON, EXAMPLE

SHORT = settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
LONG = settings(SHORT, max_examples=20_000)
WORDS = (
    "jobs sensors subscriptions webhooks http log retry hooks command directory job run_config run_key when where to "
    "topic include owner database state config_schema timeout tags url token port host $ref type pattern launcher "
    "source kind << a load"
)
KEYS = st.sampled_from(WORDS.split())
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=12),
    st.sampled_from(
        [
            *("inbox:", "slack:x", "5s", "{{ x }}", "{{", "${A}", "${", "$${A}", "${file:x}", "a.>", "*", "load"),
            *("sqlite:///", "postgresql://[", "postgresql://u:p@h:x/d", "nats://x", "x\0y", "\ud800"),
            *("9" * 500 + "s", "1" * 400 + "d"),
        ]
    ),
)
DATA = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS | st.text(max_size=4), inner, max_size=5),
    max_leaves=25,
)
SIGNS = [*"abc019:-{}[],&*!|>'\"%@`#?~<. \n\t\\\x85\u2028\ufeff", "\n  ", "${A}", "<<: ", "&a ", "*a", "!!"]
YAMLISH = st.lists(st.sampled_from(SIGNS), max_size=60).map("".join)


def attempt(folder: Path, raw: bytes) -> None:
    path = folder / "sensord.yaml"
    path.write_bytes(raw)
    told: ConfigError | None = None
    try:
        load(path, {"A": "value", **ENVIRON}).model_dump_json()
    except ConfigError as error:
        told = error
    if told is not None:
        assert told.problems
        assert len(str(told).splitlines()) == len(told.problems)
        assert all(problem.found for problem in told.problems)


def dumped(data: Any) -> bytes:
    return yaml.safe_dump(data, allow_unicode=True).encode("utf-8", "replace")


def mutated(start: int, length: int, put: str) -> bytes:
    return (EXAMPLE[:start] + put + EXAMPLE[start + length :]).encode()


MUTATIONS = st.builds(
    mutated,
    st.integers(0, len(EXAMPLE)),
    st.integers(0, 30),
    st.sampled_from(list("{}[]:,*&!\"'\n -#x5>|$")) | st.text(max_size=5),
)
ANYTHING = st.one_of(
    st.binary(max_size=200),
    st.text(max_size=200).map(str.encode),
    YAMLISH.map(str.encode),
    DATA.map(dumped),
    st.dictionaries(KEYS, DATA, max_size=6).map(dumped),
    MUTATIONS,
)


@SHORT
@given(ANYTHING)
def test_no_file_raises_anything_but_a_config_error(tmp_path: Path, raw: bytes) -> None:
    attempt(tmp_path, raw)


@pytest.fixture
def campaign(request: pytest.FixtureRequest) -> None:
    if "campaign" not in str(request.config.getoption("markexpr")):
        pytest.skip("about eight minutes; start it with -m campaign")


@pytest.mark.campaign
@pytest.mark.usefixtures("campaign")
@LONG
@given(ANYTHING)
def test_no_file_raises_anything_but_a_config_error_campaign(tmp_path: Path, raw: bytes) -> None:
    attempt(tmp_path, raw)


@pytest.mark.parametrize("loader", [yaml.SafeLoader, yaml.CSafeLoader])
def test_neither_of_pyyamls_parsers_raises_anything_else(loader: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sensord.config.yaml._LOADER", loader)

    @settings(deadline=None, max_examples=150)
    @given(YAMLISH)
    def check(text: str) -> None:
        with suppress(YamlError):
            parse(text.encode())

    check()


@pytest.mark.parametrize("text", ['a: "\\U99999999"', 'a: "\\ud800"', "a: !<%ff> x", "%YAML 9.9\n---\na: 1", 'a: "\\x'])
@pytest.mark.parametrize("loader", [yaml.SafeLoader, yaml.CSafeLoader])
def test_escapes_that_mean_nothing_are_yaml_errors(loader: Any, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sensord.config.yaml._LOADER", loader)
    with pytest.raises(YamlError):
        parse(text.encode())
