"""Jobs that are requests: what is sent, what is refused, what becomes of a lost answer, and calls back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sensord.config import load
from sensord.config.problems import ConfigError
from sensord.elsewhere_notes import Note, Notes
from tests.doubles.gitlab import GitLabDouble
from tests.doubles.rest import Plain
from tests.launchers.command_kit import new_run
from tests.launchers.conformance_entries import PLAIN, pipeline
from tests.launchers.conformance_kit import living, until


@pytest.fixture
def double() -> Iterator[Plain]:
    one = Plain()
    with one.served():
        yield one


def config(double: Plain, old: str = "", new: str = "") -> str:
    text = PLAIN.format(url=double.url, timeout="1h")
    assert old in text
    return text.replace(old, new) if old else text


async def test_the_token_of_the_attempt_is_sent_before_and_after_a_restart_alike(tmp_path: Path, double: Plain) -> None:
    run = new_run(path='{{ 7 * 7 }} "x" \udce9')
    double.faults += ["lose", *["drop"] * 1000]
    async with living(tmp_path, config(double), launch=run):
        await until(lambda: len(double.requests) >= 2)
    double.faults.clear()
    async with living(tmp_path, config(double), adopt=run) as daemon:
        await daemon.has_begun()
        double.finish(run.token)
        outcome = await daemon.outcome()
    assert set(double.keys) == {run.token}
    assert double.bodies[0] == {"path": '{{ 7 * 7 }} "x" \udce9'}, "data is never a template"
    assert dict(outcome.metadata) == {"link": f"{double.url}/page/{run.token}", "note": f"note of {run.token}"}


async def test_what_is_refused_has_failed_with_what_was_said(tmp_path: Path, double: Plain) -> None:
    wanted = config(double, "body: {", "body: {refuse: true, ")
    async with living(tmp_path, wanted, launch=new_run(path="a")) as daemon:
        outcome = await daemon.outcome()
    assert (outcome.status, outcome.started_at) == ("failed", None)
    assert outcome.error.endswith('answered HTTP 422: {"message": "no such table"}')


async def test_a_private_address_is_refused_unless_it_is_allowed(tmp_path: Path, double: Plain) -> None:
    wanted = config(double, "allow_private: true, ", "")
    async with living(tmp_path, wanted, launch=new_run(path="a")) as daemon:
        outcome = await daemon.outcome()
    assert outcome.status == "failed"
    assert "set allow_private" in outcome.error
    assert not double.requests


async def test_a_redirect_is_not_followed(tmp_path: Path, double: Plain) -> None:
    async with living(tmp_path, config(double, '/runs", idem', '/moved", idem'), launch=new_run(path="a")) as daemon:
        assert "HTTP 302" in (await daemon.outcome()).error
    assert [path for _, path in double.requests] == ["/moved"]


@pytest.mark.parametrize("hostile", ["@evil.example/", "x y", "a\r\nX: y", "\\evil"])
async def test_no_run_leads_a_request_elsewhere(tmp_path: Path, double: Plain, hostile: str) -> None:
    wanted = config(double, f'"{double.url}/runs", idem', f'"{double.url}/{{{{ run.config.path }}}}", idem')
    async with living(tmp_path, wanted, launch=new_run(path=hostile)) as daemon:
        outcome = await daemon.outcome()
    assert outcome.status == "failed"
    assert all(path.startswith("/@evil") for _, path in double.requests)


async def test_an_answer_that_was_lost_is_no_second_start_where_nobody_knows_the_token(
    tmp_path: Path, double: Plain
) -> None:
    wanted = config(double, "idempotency_header: Idempotency-Key, ", "headers: {Idempotency-Key: the-same}, ")
    run = new_run(path="a")
    double.faults += ["lose"]
    async with living(tmp_path, wanted, launch=run) as daemon:
        outcome = await daemon.outcome()
    assert outcome.status == "lost"
    assert "whether it was started is unknown" in outcome.error
    assert len(double.requests) == 1


async def test_nothing_is_lost_where_a_request_surely_came_to_nothing(tmp_path: Path, double: Plain) -> None:
    wanted = config(double, "idempotency_header: Idempotency-Key, ", "headers: {Idempotency-Key: the-same}, ")
    run = new_run(path="a")
    note = tmp_path / ".sensord" / "elsewhere" / f"{run.token}.json"
    double.down()
    for _ in range(2):  # Two daemons come and go meanwhile.
        how: dict[str, Any] = {"launch": run} if not (tmp_path / "sensord.yaml").exists() else {"adopt": run}
        async with living(tmp_path, wanted, **how):
            await until(lambda: note.exists() and b'"sent": false' in note.read_bytes())
    double.up()
    async with living(tmp_path, wanted, adopt=run) as daemon:
        await daemon.has_begun()
        double.finish("the-same")
        assert (await daemon.outcome()).status == "succeeded"
    assert double.starts["the-same"] == 1


async def test_a_pipeline_whose_answer_was_lost_is_found_among_those_of_others(tmp_path: Path) -> None:
    double = GitLabDouble()
    with double.served():
        wanted = pipeline(double).replace("=100&", "=10&")
        run = new_run(path="a")
        double.faults += ["lose", *["503"] * 1000]
        double.retry_after = "0"
        async with living(tmp_path, wanted, launch=run) as daemon:
            await until(lambda: len(double.requests) > 1)
            for number in range(25):
                double.begin({"SENSORD_TOKEN": f"another {number}"})
            double.faults.clear()
            await daemon.has_begun()
            double.finish(run.token)
            assert (await daemon.outcome()).metadata["link"].endswith("/pipelines/1000")
    assert double.starts[run.token] == 1


@pytest.mark.parametrize("absent", ["lost", "start"])
async def test_what_is_not_found_is_lost_or_started_as_was_chosen(tmp_path: Path, absent: str) -> None:
    double = GitLabDouble()
    with double.served():
        wanted = pipeline(double).replace('"within": "300ms"', f'"within": "100ms", "absent": "{absent}"')
        run = new_run(path="a")
        double.faults += ["drop"]
        async with living(tmp_path, wanted, launch=run) as daemon:
            if absent == "start":
                await daemon.has_begun()
                double.finish(run.token)
            outcome = await daemon.outcome()
    assert (outcome.status, double.starts[run.token]) == (("lost", 0) if absent == "lost" else ("succeeded", 1))


async def test_a_damaged_note_is_a_lost_attempt(tmp_path: Path, double: Plain) -> None:
    run = new_run(path="a")
    notes = Notes(tmp_path / ".sensord")
    (tmp_path / ".sensord").mkdir()
    await notes.write(run.token, Note(asked_at=1))
    (tmp_path / ".sensord" / "elsewhere" / f"{run.token}.json").write_text("{")
    async with living(tmp_path, config(double), adopt=run) as daemon:
        assert (await daemon.outcome()).status == "lost"
    assert not double.requests


async def test_an_answer_without_follow_is_the_end(tmp_path: Path, double: Plain) -> None:
    text = f'{{http: {{url: "{double.url}/runs", idempotency_header: Idempotency-Key, allow_private: true}}}}'
    async with living(tmp_path, text, launch=new_run()) as daemon:
        assert (await daemon.outcome()).status == "succeeded"


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ('url: "{url}/runs"', 'url: "{{{{ run.config.host }}}}/runs"', "write it from https:// or http:// and a host"),
        ("method: DELETE", "method: ERASE", "'GET', 'POST', 'PUT', 'PATCH' or 'DELETE'"),
        ("succeeded: \"answer.state == 'success'\", ", "", "url and succeeded belong together"),
        ("every: 100ms", "every: 1ms", "must be at least 100ms"),
        ("idempotency_header: Idempotency-Key", "idempotency_header: Host", "header 'Host' cannot be set"),
        ("every: 100ms", "evrey: 100ms", "did you mean 'every'"),
    ],
)
def test_what_cannot_work_is_said_where_it_is_written(tmp_path: Path, old: str, new: str, sentence: str) -> None:
    assert old in PLAIN
    text = PLAIN.replace(old, new).format(url="https://etl.example.com", timeout="1h")
    (tmp_path / "sensord.yaml").write_text(f"jobs:\n  load: {text}\n")
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "sensord.yaml", {})
    assert sentence in str(caught.value)


def test_the_headers_of_one_host_are_not_sent_to_another(tmp_path: Path) -> None:
    text = PLAIN.format(url="https://etl.example.com", timeout="1h")
    text = text.replace("http: {", "http: {headers: {Authorization: abc}, ").replace(
        'follow: {url: "https://etl', 'follow: {url: "https://elsewhere'
    )
    (tmp_path / "sensord.yaml").write_text(f"jobs:\n  load: {text}\n")
    with pytest.raises(ConfigError, match="same host"):
        load(tmp_path / "sensord.yaml", {})


async def test_notes_of_what_has_ended_are_let_go(tmp_path: Path) -> None:
    notes = Notes(tmp_path)
    for token in ("a.1", "b.1"):
        await notes.write(token, Note(asked_at=1))
    notes.forget_all_but({"b.1"})
    assert await notes.read("a.1") is None
    assert await notes.read("b.1") == Note(asked_at=1)
