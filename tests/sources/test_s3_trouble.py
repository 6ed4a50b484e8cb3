"""What goes wrong on the way to a bucket: named, waited for, recovered from, and nothing lost."""

from __future__ import annotations

import logging
from contextlib import ExitStack
from pathlib import Path

import anyio
import pytest

from sensord.sources.s3_trouble import refused
from tests.doubles.s3 import S3Double, Trouble, serving
from tests.sources.directory_kit import Recorder, until
from tests.sources.s3_kit import SECRET, rclone, sensing

THREE = {"a.csv": b"1", "b.csv": b"2", "c.csv": b"3"}


@pytest.mark.parametrize("trouble", [(503, "SlowDown"), (502, ""), "cut", "drop", "torn"])
async def test_trouble_that_passes_at_once_is_not_told_of(trouble: Trouble) -> None:
    async with (
        serving(S3Double(objects=dict(THREE), trouble=[trouble, trouble])) as double,
        sensing(double.url, wait=False) as sensor,
    ):
        await sensor.wait(1)
        await sensor.wait(1)
        assert await sensor.emitted(3) == list(THREE)
        assert not sensor.emit.failures


@pytest.mark.parametrize(
    ("trouble", "words"),
    [
        ((503, "SlowDown"), "cannot answer now (SlowDown: said SlowDown); it is asked again"),
        ((400, "ExpiredToken"), "have expired (ExpiredToken: said ExpiredToken); renew them"),
        ((403, "AccessDenied"), "no permission to look at the bucket data (AccessDenied: said AccessDenied); allow s3"),
        ((403, "RequestTimeTooSkewed"), "this machine's clock is wrong"),
        ((404, "NoSuchBucket"), "the bucket data does not exist (NoSuchBucket: said NoSuchBucket); create it"),
        ((418, "Teapot"), "the bucket data cannot be looked at (Teapot: said Teapot)"),
        ("cut", "cannot be reached"),
        ("html", "cannot be listed: its answer is no XML"),
        ("torn", "cannot be listed: its answer is no XML"),
        (
            (307, "", {"Location": "https://login.example.org/?token=hidden"}),
            "it redirects to https://login.example.or",
        ),
        ((307, "TemporaryRedirect", {"x-amz-bucket-region": "us-east-1"}), "(TemporaryRedirect: it redirects else"),
        ((301, "Moved", {}), "(Moved: it redirects elsewhere); check endpoint_url and region"),
    ],
)
async def test_trouble_that_lasts_is_named_and_outlived(trouble: Trouble, words: str) -> None:
    async with serving(S3Double(page=1, objects=dict(THREE))) as double, sensing(double.url, parallel=1) as sensor:
        assert sensor.keys == list(THREE)
        double.always = trouble
        double.objects |= {"d.csv": b"4", "B.csv": b"5"}
        for _ in range(5):
            await sensor.wait(60)
        await sensor.failed()
        assert len(sensor.emit.failures) == 1
        assert words in sensor.emit.failures[0]
        assert "hidden" not in sensor.emit.failures[0]
        double.always = None
        await sensor.wait(60)
        await sensor.recovered()
        assert await sensor.emitted(5) == [*THREE, "B.csv", "d.csv"]
        await sensor.listed()
        assert (len(sensor.keys), sensor.emit.recoveries, sensor.emit.forgotten) == (5, 1, set())


async def test_a_server_that_is_away_is_waited_for_ever_less_often() -> None:
    async with serving(S3Double(objects=dict(THREE))) as double:
        emit = Recorder()
        async with sensing(double.url, emit, interval="5m"):
            pass
        double.always = (503, "SlowDown")
        async with sensing(double.url, emit, interval="5m", wait=False) as sensor:
            pauses: list[int] = []
            assert sensor.time is not None
            while len(pauses) < 8:
                await until(lambda: sensor.time and sensor.time._sleepers)
                [due] = sensor.time._sleepers.values()
                pause = due - sensor.time.elapsed
                if round(pause, 3) not in {0.2, 0.8, 3.0}:  # Those are within one request.
                    pauses.append(round(pause))
                await sensor.time.pass_(pause)
        assert pauses == [1, 2, 4, 8, 16, 32, 60, 60]


async def test_trouble_in_the_middle_goes_on_where_it_was() -> None:
    keys = [f"{number:03}" for number in range(100)]
    async with serving(S3Double(page=10, objects=dict.fromkeys(keys, b"x"))) as double:
        emit = Recorder()
        async with sensing(double.url, emit, parallel=1, wait=False) as sensor:
            await until(lambda: len(emit.sensed) >= 30)
            double.always = (403, "AccessDenied")
            await until(lambda: emit.failures)
            met = len(emit.sensed)
            double.always = None
            double.asked.clear()
            await sensor.wait(1)
            await until(lambda: emit.looks)
            assert double.asked[0].after == keys[met - 1]
            assert sensor.keys == keys
            assert emit.recoveries == 1


async def test_a_prefix_that_may_not_be_listed_does_not_keep_the_others() -> None:
    async with (
        serving(S3Double(objects={"in/a": b"1", "no/b": b"2"}, denied="no/")) as double,
        sensing(double.url, prefix=["in/", "no/"], wait=False) as sensor,
    ):
        await sensor.failed()
        assert await sensor.emitted(1) == ["in/a"]
        double.objects["in/c"] = b"3"
        while len(sensor.emit.sensed) < 2:
            await sensor.wait(30)
        assert sensor.keys == ["in/a", "in/c"]
        assert (len(sensor.emit.failures), sensor.emit.recoveries) == (1, 0)
        double.denied = None
        await sensor.wait(60)
        await sensor.recovered()
        assert "no/b" in await sensor.emitted(3)


@pytest.mark.parametrize("told", ["header", "redirect", "body"])
async def test_a_bucket_in_another_region_is_followed_there(told: str) -> None:
    async with (
        serving(S3Double(objects=dict(THREE), region="eu-central-1", tells_region_in=told)) as double,
        sensing(double.url) as sensor,
    ):
        assert sensor.keys == list(THREE)
        assert not sensor.emit.failures
        double.region = "eu-north-1"
        double.objects["d.csv"] = b"4"
        await sensor.listed()
        assert sensor.keys == [*THREE, "d.csv"]


async def test_an_answer_that_is_compressed_unasked_is_read() -> None:
    objects = {f"{number:03}.csv": b"x" for number in range(500)}
    async with serving(S3Double(objects=objects, zipped=True)) as double, sensing(double.url) as sensor:
        assert sensor.keys == list(objects)


async def test_a_listing_without_tokens_goes_on_after_the_last_key() -> None:
    async with (
        serving(S3Double(objects=dict(THREE), page=1, tokens="none")) as double,
        sensing(double.url, parallel=1) as sensor,
    ):
        assert sensor.keys == list(THREE)


@pytest.mark.parametrize("tokens", ["same", "deaf"])
async def test_a_listing_that_does_not_move_is_named_and_not_followed_for_ever(tokens: str) -> None:
    async with (
        serving(S3Double(objects=dict(THREE), page=2, tokens=tokens)) as double,
        sensing(double.url, parallel=1, wait=False) as sensor,
    ):
        assert "there is more and gives the same page again" in await sensor.failed()
        for _ in range(5):
            await sensor.wait(60)
        assert len(double.asked) < 20
        assert (len(sensor.emit.failures), sensor.emit.recoveries) == (1, 0)
        double.tokens = ""
        await sensor.wait(60)
        await sensor.recovered()
        assert await sensor.emitted(3) == list(THREE)


async def test_trouble_that_comes_back_at_the_same_place_is_one_trouble() -> None:
    keys = [f"{number:03}" for number in range(30)]
    async with serving(S3Double(page=10, objects=dict.fromkeys(keys, b"x"))) as double:
        emit = Recorder()
        async with sensing(double.url, emit, parallel=1) as sensor:
            double.denied_after = "009"
            for _ in range(10):
                await sensor.wait(60)
            assert (len(emit.failures), emit.recoveries) == (1, 0)
            assert len({asked.after for asked in double.asked}) > 1
            double.denied_after = None
            await sensor.wait(60)
            await sensor.recovered()
            assert len(emit.sensed) == 30


async def test_a_server_killed_in_the_middle_of_a_listing_is_waited_for_and_nothing_is_lost(tmp_path: Path) -> None:
    keys = [f"in/{number:05}.csv" for number in range(3_000)]
    (tmp_path / "data" / "in").mkdir(parents=True)
    for key in keys:
        (tmp_path / "data" / key).write_bytes(b"x")
    emit = Recorder()
    emit.gate = anyio.Event()
    with ExitStack() as life:
        url = life.enter_context(rclone(tmp_path))
        async with sensing(url, emit, wait=False, parallel=2) as sensor:
            await until(lambda: emit.batches)
            life.close()
            emit.gate.set()
            for _ in range(3):
                await sensor.wait(3)
            assert "cannot be reached" in await sensor.failed()
            assert 0 < len(emit.sensed) < len(keys)
            with rclone(tmp_path, int(url.rpartition(":")[2])):
                await sensor.wait(60)
                await sensor.recovered()
                await sensor.emitted(len(keys))
                await until(lambda: emit.looks)
                assert sorted(sensor.keys) == keys


async def test_without_credentials_it_is_said_where_to_put_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    none = str(tmp_path_factory.mktemp("aws") / "none")
    for name, value in {"AWS_SHARED_CREDENTIALS_FILE": none, "AWS_CONFIG_FILE": none}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    async with serving(S3Double(objects=dict(THREE))) as double:
        async with sensing(double.url, wait=False, access_key=None, secret_key=None) as sensor:
            await sensor.failed()
            assert sensor.emit.failures[0].startswith("no credentials were found; set access_key and secret_key")
        async with sensing(double.url, wait=False, access_key=None, secret_key=None, profile="gone") as sensor:
            await sensor.failed()
            assert "gone" in sensor.emit.failures[0]
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAENV")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "from-the-environment")
        async with sensing(double.url, access_key=None, secret_key=None) as sensor:
            assert sensor.keys == list(THREE)
        assert double.keys_used == {"AKIAENV"}


async def test_a_server_that_is_not_there_is_named() -> None:
    async with sensing("http://127.0.0.1:9", wait=False) as sensor:
        for _ in range(3):
            await sensor.wait(3)
        await sensor.failed()
        assert "the bucket data cannot be reached" in sensor.emit.failures[0]


async def test_secrets_show_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with (
        serving(S3Double(objects=dict(THREE), trouble=[(403, "SignatureDoesNotMatch")])) as double,
        sensing(double.url, wait=False, session_token="a-token-that-must-never-show") as sensor,
    ):
        await sensor.failed()
        shown = repr(sensor.source._config) + repr(vars(sensor.source)) + str(sensor.emit.failures)
    ours = "".join(record.getMessage() + repr(record.__dict__) for record in caplog.records)
    assert SECRET not in shown + ours
    assert "never-show" not in shown + ours


def test_a_text_of_the_server_is_one_short_line() -> None:
    said = str(refused("the bucket data", 400, "Odd", "a\nb\x1b[31m" + "x" * 1_000, right="s3:ListBucket"))
    assert "\n" not in said
    assert "\x1b" not in said
    assert len(said) < 400
