"""What may be written below `dagster:`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from sensord.sources.dagster import DagsterConfig
from sensord.sources.dagster_metadata import LONGEST, TOGETHER, metadata_of

URL = "http://localhost:3000"


def config(**keys: Any) -> DagsterConfig:
    return DagsterConfig.model_validate({"url": URL, **keys})


def test_an_address_is_enough() -> None:
    short = config()
    assert (short.jobs, short.status, short.assets, short.since) == (["*"], ["SUCCESS"], None, "now")
    assert (short.every, short.overlap) == (2.0, 120.0)


@pytest.mark.parametrize("url", [f"{URL}/", f"{URL}/graphql", f"{URL}/graphql/"])
def test_the_address_of_the_page_and_of_graphql_are_one(url: str) -> None:
    assert config(url=url).url == URL
    assert config(url="https://team.dagster.cloud/prod/graphql").url == "https://team.dagster.cloud/prod"


def test_short_forms_and_small_letters_are_understood() -> None:
    assert config(jobs="houses", status="failure").jobs == ["houses"]
    assert config(status=["success", "Canceled"]).status == ["SUCCESS", "CANCELED"]
    assert config(assets="geo/*").assets == ["geo/*"]


def test_since_is_a_word_or_a_time_with_a_zone() -> None:
    assert config(since="2026-01-31T08:00:00+02:00").since == datetime(2026, 1, 31, 6, tzinfo=UTC)
    # YAML makes a time of such a text by itself.
    assert config(since=datetime(2026, 1, 31, 6, tzinfo=UTC)).since == datetime(2026, 1, 31, 6, tzinfo=UTC)
    assert config(since="beginning").since == "beginning"


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"url": "localhost:3000"}, "http:// or https://"),
        ({"url": "http://user:secret@host"}, "without a password"),
        ({"jobs": []}, "at least 1 item"),
        ({"jobs": "geo/"}, "matches nothing"),
        ({"assets": "/geo"}, "matches nothing"),
        ({"status": "STARTED"}, "'SUCCESS', 'FAILURE' or 'CANCELED'"),
        ({"assets": "geo/*", "jobs": "houses", "status": "SUCCESS"}, "jobs and status belong to runs"),
        ({"since": "yesterday"}, "write now, beginning, or a time"),
        ({"since": "2026-01-31T08:00:00"}, "needs a zone"),
        ({"since": "1960-01-31T08:00:00Z"}, "before 1970"),
        ({"since": 3}, "write now, beginning, or a time"),
        ({"every": "0s"}, "at least 100ms"),
        ({"timeout": "1ms"}, "at least 100ms"),
        ({"overlap": "5"}, "not a duration"),
        ({"headers": {"Host": "other"}}, "cannot be set"),
        ({"headers": {"X-Team": "geo\nX: y"}}, "printable ASCII"),
        ({"token": ""}, "printable ASCII"),
    ],
)
def test_what_cannot_be_is_refused_with_a_reason(keys: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError) as refused:
        config(**keys)
    assert words in str(refused.value)
    assert "secret" not in str(refused.value)


def test_secrets_are_not_shown() -> None:
    secret = config(token="0123456789", headers={"Authorization": "Basic 0123456789"})
    assert "0123456789" not in repr(secret) + str(secret) + secret.model_dump_json()
    assert secret.sent() == {"Authorization": "Basic 0123456789", "Dagster-Cloud-Api-Token": "0123456789"}


def entry(kind: str, label: str = "it", **value: Any) -> dict[str, Any]:
    return {"__typename": f"{kind}MetadataEntry", "label": label, **value}


def test_metadata_is_bounded() -> None:
    long = metadata_of(
        [entry("Text", text="x" * (LONGEST + 1)), entry("Json", "facts", jsonString="1" * LONGEST + "1")]
    )
    assert long == {"it": "x" * LONGEST}
    many = metadata_of(entry("Text", f"{at:05}", text="x" * 95) for at in range(2 * TOGETHER // 100))
    assert len(many) < TOGETHER // 100


def test_metadata_that_cannot_be_read_is_left_out() -> None:
    odd = [
        entry("Int", "huge", intRepr="9" * 5000),
        entry("Timestamp", "never", timestamp=1e20),
        entry("Json", "odd", jsonString="{nan"),
        entry("Table", "table"),
        entry("SomethingNew", "new"),
        entry("Bool", "last", boolValue=False),
    ]
    assert metadata_of(odd) == {"last": False}
