"""What the doctor says of those who run jobs elsewhere; Dagster's part is in `test_dagster_launcher`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sensord.config import load
from sensord.doctor_launchers import Found, look_at_launchers
from tests.doubles.rest import Plain


@pytest.fixture
def double() -> Iterator[Plain]:
    with Plain().served() as one:
        assert isinstance(one, Plain)
        yield one


def said(folder: Path, jobs: str, rest: str = "") -> list[Found]:
    (folder / "sensord.yaml").write_text(f"{rest}\njobs:\n{jobs}")
    return look_at_launchers(load(folder / "sensord.yaml", {}))


def http(url: str, more: str = "allow_private: true") -> str:
    return f'  run: {{http: {{url: "{url}/runs/{{{{ run.id }}}}", {more}}}}}\n'


def test_an_endpoint_is_connected_to_and_asked_for_nothing(tmp_path: Path, double: Plain) -> None:
    ((what, well, text),) = said(tmp_path, http(double.url))
    assert (what, well, text) == ("job run", True, f"{double.url} takes connections")
    other = f'allow_private: true, cancel: {{url: "{double.url}/x"}}, link: "{{{{ run.id }}}}"'
    assert len(said(tmp_path, http(double.url, other))) == 1, "each host once"
    assert double.requests == []


@pytest.mark.parametrize(
    ("scheme", "more", "advice"),
    [
        ("http", "method: POST", "which is not public: set allow_private"),
        ("https", "allow_private: true", "https://127.0.0.1:"),
    ],
)
def test_what_is_wrong_with_an_endpoint_is_said_with_what_to_do(
    tmp_path: Path, double: Plain, scheme: str, more: str, advice: str
) -> None:
    ((_, well, text),) = said(tmp_path, http(double.url.replace("http:", f"{scheme}:"), more))
    assert (well, advice in text) == (False, True), text


def test_nobody_there_is_said(tmp_path: Path, double: Plain) -> None:
    double.down()
    ((_, well, text),) = said(tmp_path, http(double.url))
    double.up()
    assert (well, "cannot be reached" in text, "start it, or check url" in text) == (False, True, True), text


def test_modules_are_imported_as_for_a_run(tmp_path: Path) -> None:
    (tmp_path / "good_jobs.py").write_text("def load(path: str): pass\n")
    (tmp_path / "bad_jobs.py").write_text("import no_such_library\n")
    jobs = "  good: {python: 'good_jobs:load'}\n  bad: {python: 'bad_jobs:load'}\n  gone: {python: 'good_jobs:gone'}\n"
    jobs += "  schema: {command: ['true'], config_schema: 'bad_jobs:Load'}\n  plain: {command: ['true']}\n"
    found: dict[str, Any] = {what: (well, text) for what, well, text in said(tmp_path, jobs)}
    assert found["job good"] == (True, "good_jobs:load can be imported")
    assert (found["job bad"][0], "no_such_library" in found["job bad"][1]) == (False, True)
    assert (found["job gone"][0], "gone" in found["job gone"][1]) == (False, True)
    assert (found["job schema"][0], "no_such_library" in found["job schema"][1]) == (False, True)
    assert "job plain" not in found


def test_where_nothing_is_launched_nobody_is_asked(tmp_path: Path) -> None:
    rest = "environments: {test: {launch: false}}"
    (tmp_path / "sensord.yaml").write_text(f"{rest}\njobs:\n{http('http://127.0.0.1:9')}")
    assert look_at_launchers(load(tmp_path / "sensord.yaml", {}, environment="test")) == []
