"""Keys: which are taken, and that any is read, asked for and shown as it is, from whatever server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.doubles.s3 import S3Double, serving
from tests.sources.s3_bucket_kit import bucket, put, server, url
from tests.sources.s3_kit import sensing

__all__ = ["bucket", "server", "url"]


async def test_prefixes_suffixes_and_globs_choose(bucket: Path, url: str) -> None:
    for key in ("in/a.csv", "in/b.txt", "in/deep/c.csv", "out/d.csv", "drop/e.csv", "drop/e.csv.gz", "f.csv"):
        put(bucket, key)

    async def found(**keys: Any) -> list[str]:
        async with sensing(url, **keys) as sensor:
            return sorted(sensor.keys)

    assert await found(prefix=["in/", "drop/"], suffix=".csv") == ["drop/e.csv", "in/a.csv", "in/deep/c.csv"]
    assert await found(pattern="[ab].*") == ["in/a.csv", "in/b.txt"]
    assert await found(pattern=["*/*.csv"]) == ["drop/e.csv", "in/a.csv", "out/d.csv"]
    assert await found(pattern="**/c.csv") == ["in/deep/c.csv"]
    assert await found(prefix="in/", suffix=[".txt", ".gz"]) == ["in/b.txt"]
    assert await found(start_after="in/b.txt") == ["in/deep/c.csv", "out/d.csv"]
    assert await found(prefix=["in/", "in/deep/", ""]) == await found()


ODD = (
    "a b.csv",
    "a+b.csv",
    "100%.csv",
    "%2B.csv",
    "é/ü.csv",
    "日本 語.csv",
    "back\\slash.csv",
    "q?x=1&y#z.csv",
    "😀.csv",
)


async def test_any_key_is_read_as_it_is_and_shown_printably(bucket: Path, url: str) -> None:
    for key in (*ODD, "right-to-left\u202egnp.csv"):
        put(bucket, key)
    async with sensing(url) as sensor:
        assert sorted(sensor.keys) == sorted((*ODD, "right-to-left\u202egnp.csv"))
        await sensor.listed()
        assert len(sensor.keys) == len(ODD) + 1
        assert all(one.subject.isprintable() and one.key.isprintable() for one in sensor.emit.sensed)
        assert "s3://data/back\\\\slash.csv" in [one.subject for one in sensor.emit.sensed]
        assert [sensor.source.why(one.subject) for one in sensor.emit.sensed] == [None] * (len(ODD) + 1)
        for key in sensor.keys:
            found = await sensor.source._bucket.find(key)
            assert found is not None
            assert (found.key, found.size) == (key, 4)


# What no folder can hold, but a bucket can.
ODDER = (
    "/leading.csv",
    "//two.csv",
    "a//b.csv",
    "../up.csv",
    "a/../b.csv",
    "./a.csv",
    "new\nline.csv",
    "control\x01.csv",
    "carriage\r.csv",
    "<a>&amp;.csv",
    "%zz%.csv",
    "+.csv",
    "\U0010fffe.csv",
    "é" * 510 + ".csv",
    "trailing .csv ",
    "@.csv",
)


async def test_keys_that_no_file_could_have_are_listed_asked_for_and_told_apart() -> None:
    objects = {key: key.encode() for key in (*ODD, *ODDER)}
    async with serving(S3Double(objects=objects, page=7)) as double, sensing(double.url, parallel=1) as sensor:
        assert sensor.keys == sorted(objects)
        subjects = [one.subject for one in sensor.emit.sensed]
        assert len(set(subjects)) == len(objects)
        assert all(subject.isprintable() for subject in subjects)
        assert [sensor.source.why(subject) for subject in subjects] == [None] * len(objects)
        for key in objects:
            found = await sensor.source._bucket.find(key)
            assert found is not None
            assert (found.key, found.size) == (key, len(key.encode()))
        await sensor.listed()
        assert len(sensor.keys) == len(objects)


async def test_a_folder_is_no_object() -> None:
    objects = {"in/": b"", "in/a.csv": b"", "in/deep/": b"", "/": b""}
    async with serving(S3Double(objects=objects)) as double, sensing(double.url) as sensor:
        assert sensor.keys == ["in/a.csv"]


async def test_a_glob_takes_no_time_to_speak_of_whatever_the_key() -> None:
    key = "a/" * 400 + "b"
    async with (
        serving(S3Double(objects={key: b"", "a/c": b""})) as double,
        sensing(double.url, pattern="**/a/**/a/**/a/**/a/**/a/**/c") as sensor,
    ):
        assert sensor.keys == []
        assert sensor.source.why(f"s3://data/{key}") is not None


async def test_it_is_said_why_an_object_is_not_taken(url: str) -> None:
    keys: dict[str, Any] = {"prefix": "in/", "suffix": ".csv", "pattern": "h*", "start_after": "in/ha"}
    async with sensing(url, wait=False, **keys) as sensor:
        why = sensor.source.why
        assert why("s3://data/in/houses.csv") is None
        assert why("s3://data/in/hi\\z.csv") is why("s3://data/in/hi\\x.csv") is why("s3://data/in/hi\\n.csv") is None
        assert why("s3://other/in/houses.csv") == why("/in/houses.csv") == "it is no object of the bucket data"
        assert why("s3://data/out/houses.csv") == "its key does not begin with 'in/'"
        assert why("s3://data/in/houses.txt") == "its key does not end with '.csv'"
        assert why("s3://data/in/towns.csv") == "its key does not match 'h*'"
        assert why("s3://data/in/h.csv") == "its key does not sort after 'in/ha' (`start_after`)"
        assert why("s3://data/in/houses/") == "its key ends in a slash: it stands for a folder"
