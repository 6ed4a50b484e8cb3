"""The S3 sensor on a real server, which checks signatures: every version of every object once."""

from __future__ import annotations

import json
from hashlib import md5
from pathlib import Path

import anyio
import pytest

from sensord.app import App
from tests.sources.app_kit import ended, running, runs_of
from tests.sources.directory_kit import Recorder, until
from tests.sources.s3_bucket_kit import bucket, put, server, url
from tests.sources.s3_kit import ACCESS, SECRET, sensing

__all__ = ["bucket", "server", "url"]


def move(path: Path, to: Path) -> None:
    path.rename(to)


async def test_an_object_is_told_of_with_all_that_a_rule_may_want(bucket: Path, url: str) -> None:
    put(bucket, "incoming/houses.csv", "a,b\n1,2\n")
    etag = md5(b"a,b\n1,2\n").hexdigest()
    async with sensing(url) as sensor:
        [one] = sensor.emit.sensed
    assert one.subject == "s3://data/incoming/houses.csv"
    assert one.key == f"data/incoming/houses.csv@{etag}"
    assert one.mark is not None
    assert 0 <= one.mark < 1 << 63
    assert one.context["object"].pop("last_modified").startswith("20")
    assert one.context["object"] == {
        "bucket": "data",
        "key": "incoming/houses.csv",
        "name": "houses.csv",
        "size": 8,
        "etag": etag,
        "version": None,
        "latest": True,
        "uri": "s3://data/incoming/houses.csv",
    }


async def test_each_version_is_emitted_once_over_listings_and_restarts(bucket: Path, url: str) -> None:
    put(bucket, "a.csv")
    put(bucket, "b.csv")
    emit = Recorder()
    async with sensing(url, emit) as sensor:
        assert sensor.keys == ["a.csv", "b.csv"]
        put(bucket, "c.csv")
        await sensor.listed()
        assert sensor.keys == ["a.csv", "b.csv", "c.csv"]
        put(bucket, "a.csv", "changed\n")
        await sensor.listed(2)
        assert sensor.keys == ["a.csv", "b.csv", "c.csv", "a.csv"]
    assert len({one.key for one in emit.sensed}) == 4
    put(bucket, "d.csv")
    async with sensing(url, emit) as sensor:
        await sensor.listed()
        assert sensor.keys[4:] == ["d.csv"]


async def test_many_pages_are_listed_side_by_side_and_each_object_is_met_once(bucket: Path, url: str) -> None:
    keys = {f"in/{number % 7}/x{number:05}.csv" for number in range(2_300)} | {"in/1", "in/3.csv", "in/zz"}
    for key in keys - {"in/1"}:
        put(bucket, key)
    keys.discard("in/1")
    async with sensing(url, parallel=4) as sensor:
        assert len(sensor.keys) == len(keys)
        assert set(sensor.keys) == keys
        for number in (0, 1_000, 2_299):
            put(bucket, f"in/{number % 7}/x{number:05}.csv", "new")
        await sensor.listed()
        assert len(sensor.keys) == len(keys) + 3


async def test_a_bucket_that_vanishes_is_named_and_nothing_is_lost_when_it_returns(bucket: Path, url: str) -> None:
    put(bucket, "a.csv")
    async with sensing(url) as sensor:
        away = bucket.with_name("away")
        move(bucket, away)
        await sensor.wait(60)
        await sensor.failed()
        said = "NoSuchBucket: The specified bucket does not exist"
        assert sensor.emit.failures == [f"the bucket data does not exist ({said}); create it, or mend its name"]
        put(away, "b.csv")
        for _ in range(12):
            await sensor.wait(60)
        move(away, bucket)
        await sensor.wait(60)
        await sensor.recovered()
        assert await sensor.emitted(2) == ["a.csv", "b.csv"]
        await sensor.listed()
        assert sensor.emit.recoveries == 1
        assert len(sensor.emit.failures) == 1
        assert not sensor.emit.forgotten


async def test_an_object_that_is_gone_is_forgotten_after_two_listings_and_new_when_it_returns(
    bucket: Path, url: str
) -> None:
    put(bucket, "a.csv")
    put(bucket, "b.csv")
    async with sensing(url) as sensor:
        (bucket / "a.csv").unlink()
        await sensor.listed()
        assert not sensor.emit.forgotten
        await sensor.listed()
        assert sensor.emit.forgotten == {sensor.emit.sensed[0].mark}
        put(bucket, "a.csv")
        await sensor.listed()
        assert sensor.keys == ["a.csv", "b.csv", "a.csv"]


async def test_ordered_keys_are_listed_from_where_the_last_listing_ended(bucket: Path, url: str) -> None:
    put(bucket, "2026/11/20/a.csv")
    put(bucket, "2026/11/21/b.txt")
    emit = Recorder()
    async with sensing(url, emit, ordered=True, suffix=".csv") as sensor:
        assert sensor.keys == ["2026/11/20/a.csv"]
        put(bucket, "2026/11/22/c.csv")
        put(bucket, "2026/11/19/late.csv")
        await sensor.listed()
        assert sensor.keys == ["2026/11/20/a.csv", "2026/11/22/c.csv"]
    put(bucket, "2026/11/23/d.csv")
    async with sensing(url, emit, ordered=True, suffix=".csv") as sensor:
        assert sensor.keys[2:] == ["2026/11/23/d.csv"]
        assert not await sensor.source.look(set())
    assert not emit.remembered


async def test_a_dry_run_finds_what_is_not_known_and_changes_nothing(bucket: Path, url: str) -> None:
    put(bucket, "a.csv")
    async with sensing(url) as sensor:
        put(bucket, "b.csv")
        found = await sensor.source.look(sensor.emit.remembered)
        assert [one.context["object"]["key"] for one in found] == ["b.csv"]
        assert sensor.keys == ["a.csv"]
        await sensor.listed()
        assert sensor.keys == ["a.csv", "b.csv"]
    async with sensing(url, bucket="nowhere", wait=False) as sensor:
        with pytest.raises(OSError, match="nowhere does not exist"):
            await sensor.source.look(set())


SENSOR = """
sensors:
  drop:
    s3: {{bucket: data, endpoint_url: "{url}", region: us-east-1, access_key: {access}, secret_key: {secret},
         interval: 100ms}}
    job: load
    run_config: {{uri: "{{{{ object.uri }}}}"}}
"""


async def looked_again(app: App) -> None:
    """Return when a whole listing has begun and ended."""
    looks = app.sensings["drop"].looks
    await until(lambda: app.sensings["drop"].looks > looks + 1)


async def test_the_daemon_runs_a_job_for_each_version_once(bucket: Path, url: str, tmp_path: Path) -> None:
    text = SENSOR.format(url=url, access=ACCESS, secret=SECRET)
    for life in range(2):
        async with running(tmp_path, text) as app:
            put(bucket, f"{life}.csv", "1,2,3\n")
            runs = await ended(app, "load", 1 + life)
            await looked_again(app)
            assert len(await runs_of(app, "load")) == 1 + life
    assert [json.loads(run["run_config"]) for run in runs] == [{"uri": "s3://data/0.csv"}, {"uri": "s3://data/1.csv"}]
    assert [run["run_key"].partition("@")[0] for run in runs] == ["data/0.csv", "data/1.csv"]
    assert {run["status"] for run in runs} == {"succeeded"}


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("AKIAWRONG", "the credentials for the bucket data are refused (InvalidAccessKeyId"),
        (ACCESS, "the credentials for the bucket data are refused (SignatureDoesNotMatch"),
    ],
)
async def test_wrong_keys_are_named_without_showing_the_secret(bucket: Path, url: str, key: str, words: str) -> None:
    put(bucket, "a.csv")
    async with sensing(url, wait=False, access_key=key, secret_key="the-wrong-secret") as sensor:
        said = await sensor.failed()
        assert words in said
        assert "wrong-secret" not in said


async def test_credentials_that_are_renewed_in_their_file_are_taken_up(
    bucket: Path, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "credentials"
    file.write_text("[team]\naws_access_key_id = AKIAOLD\naws_secret_access_key = old\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    put(bucket, "a.csv")
    async with sensing(url, wait=False, access_key=None, secret_key=None, profile="team") as sensor:
        await sensor.failed()
        file.write_text(f"[team]\naws_access_key_id = {ACCESS}\naws_secret_access_key = {SECRET}\n")
        await sensor.wait(60)
        await sensor.recovered()
        assert await sensor.emitted(1) == ["a.csv"]


async def test_what_is_new_waits_while_a_commit_takes_long(bucket: Path, url: str) -> None:
    put(bucket, "a.csv")
    emit = Recorder()
    emit.gate = anyio.Event()
    async with sensing(url, emit, wait=False) as sensor:
        await until(lambda: emit.batches)
        put(bucket, "b.csv")
        assert not emit.looks
        emit.gate.set()
        await until(lambda: emit.looks)
        await sensor.listed()
        assert sensor.keys == ["a.csv", "b.csv"]
