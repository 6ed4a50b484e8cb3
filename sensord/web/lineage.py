"""OpenLineage's run events, as Airflow, dbt, Spark, Flink and Dagster send them (openlineage.io/apidocs/openapi).

A run's event of one state is one event of ours, whichever time it comes and however often: its id is made of both.
What a dataset's `dataQualityAssertions` say is published as quality events beside it.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from aiohttp import hdrs, web

from notifiers.clock import EPOCH, Clock
from rules.event import Event, Severity
from rules.quality import SEVERITIES
from rules.topics import as_token
from sensord.app import App
from sensord.sources.lineage import TOKEN
from sensord.web.body import MAX_BODY, checked_text, kind, object_of, read_body, text_of, too_large
from sensord.web.ids import timed_id
from sensord.web.problems import Problem, answer, shown
from sensord.web.quality import taken

STATES = ("START", "RUNNING", "COMPLETE", "ABORT", "FAIL", "OTHER")
_SEVERITY = {"COMPLETE": Severity.info, "ABORT": Severity.warning, "FAIL": Severity.error}
_NAMESPACE = UUID("0f1b6c0e-6a55-5b0f-8f0e-3a5c0d4f7c11")
_SOURCE = "sensord:openlineage"  # Nobody else can publish as this.
_KEPT = 8 * 1024  # Bytes of one facet; Spark's plans have hundreds of kilobytes, and start no job.
_NAMED = b"dataQualityAssertions"
_SERIES = 500  # Characters of a dataset's name that tell its checks from others.
_ASSERTIONS = 200  # Of one event; more is no message for a person.


class Lineage:
    """`POST /api/v1/lineage`: the answer 202 comes once the event is durable."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, request: web.Request) -> web.Response:
        """Take one event. Events of datasets and jobs without a run are answered alike and not kept."""
        if request.content_type != "application/json":
            raise Problem(415, "send the event as application/json")
        body, raw = await _read(request)
        if body.get("run") is None and (body.get("dataset") is not None or body.get("job") is not None):
            return answer({"id": None, "duplicate": False}, 202)
        found = taken(list(lineage_events(body, self._app.clock, raw)), self._app)
        new = await self._app.bus.publish(found)
        if any(new):
            self._app.published()
        return answer({"id": found[0].id, "duplicate": not new[0]}, 202)


async def _read(request: web.Request) -> tuple[Mapping[str, Any], bytes]:
    """The event, and what it was read from."""
    encoding = request.headers.get(hdrs.CONTENT_ENCODING, "identity").strip().lower()
    if encoding not in ("identity", "gzip"):
        raise Problem(415, "send the event as it is, or with Content-Encoding: gzip")
    raw = await read_body(request)
    if encoding == "gzip":
        raw = _unpacked(raw)
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise Problem(400, f"the body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}") from None
    if not isinstance(body, dict):
        raise Problem(400, f"the body is {kind(body)}; send one OpenLineage event, an object")
    return body, raw


def _unpacked(raw: bytes) -> bytes:
    """At most 1 MiB, however little it was packed into."""
    unpacking = zlib.decompressobj(wbits=31)  # gzip's own form
    try:
        whole = unpacking.decompress(raw, MAX_BODY + 1)
    except zlib.error:
        raise Problem(400, "the body is not gzip, as its Content-Encoding says") from None
    if len(whole) > MAX_BODY:
        raise too_large()
    if not unpacking.eof:
        raise Problem(400, "the packed body ends early; send it again")
    return whole


def lineage_events(body: Mapping[str, Any], clock: Clock, raw: bytes) -> Iterator[Event]:
    """The run's event, then those of its datasets' checks. Problem 400 says what is wrong.

    What it was read from spares two walks through it: where that is short, no facet is too long to keep, and where
    it does not name assertions there are none.
    """
    run, job = object_of(body, "run"), object_of(body, "job")
    run_id = _text(run, "run.runId", "runId")
    namespace, name = _text(job, "job.namespace", "namespace"), _text(job, "job.name", "name")
    state = (text_of(body, "eventType") or "OTHER").upper()
    if state not in STATES:
        raise Problem(400, f"eventType is {shown(state)}; it is one of {', '.join(STATES)}")
    time = _time(body, clock)
    failure = _mapping(_mapping(run.get("facets")).get("errorMessage")).get("message")
    said = f": {failure}" if isinstance(failure, str) and failure else ""
    yield Event(
        id=_id(run_id, state),
        type=f"lineage.{state.lower()}",
        topic=f"lineage.{as_token(namespace, TOKEN)}.{as_token(name, TOKEN)}.{state.lower()}",
        time=time,
        source=_SOURCE,
        severity=_SEVERITY.get(state, Severity.debug),
        message=_words(f"{name} {state.lower()}{said}"),
        subject=f"{namespace}/{name}",
        data=_lean(body) if len(raw) > _KEPT else body,
    )
    if _NAMED not in raw and b"\\" not in raw:  # JSON may write any letter of a name as an escape.
        return
    for check in _checks(body):
        yield _quality(check, run_id, name, time)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _words(text: str) -> str:
    return text.replace("\0", "")[:4096]


def _text(holder: Mapping[str, Any], label: str, key: str) -> str:
    value = holder.get(key)
    if not isinstance(value, str):
        raise Problem(400, f"the event has no {label}; it is text" if value is None else f"{label} is {kind(value)}")
    return checked_text(label, value, limit=1024)


def _id(run_id: str, *parts: str) -> str:
    """That of a run's event. OpenLineage's clients make run ids of the time (UUIDv7)."""
    return timed_id(run_id, _NAMESPACE, "".join([f"{len(part)} {part} " for part in (run_id, *parts)]))


def _time(body: Mapping[str, Any], clock: Clock) -> datetime:
    text = text_of(body, "eventTime", limit=64)
    if text is None:
        return clock.now()
    try:
        moment = datetime.fromisoformat(text)
        _ = moment - EPOCH  # TypeError where it has no offset, OverflowError at the edges of the calendar.
        return moment.astimezone(EPOCH.tzinfo)
    except (ValueError, TypeError, OverflowError):
        raise Problem(400, f"eventTime is {shown(text)}; write it as in RFC 3339: 2026-11-21T01:02:03Z") from None


def _lean(value: Any, depth: int = 0) -> Any:
    """The event without facets that are too long to keep; `facets_left_out` says which those were."""
    if isinstance(value, list):
        return [_lean(item, depth + 1) for item in value] if depth < 4 else value  # noqa: PLR2004 - where facets are
    if not isinstance(value, dict) or depth > 3:  # noqa: PLR2004
        return value
    kept: dict[str, Any] = {}
    for key, item in value.items():
        if key.lower().endswith("facets") and isinstance(item, dict):
            long = sorted(name for name, facet in item.items() if len(orjson.dumps(facet)) > _KEPT)
            kept[key] = {name: facet for name, facet in item.items() if name not in long}
            if long:
                kept["facets_left_out"] = [*kept.get("facets_left_out", []), *long]
        else:
            kept[key] = _lean(item, depth + 1)
    return kept


def _checks(body: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every assertion of every dataset, with the dataset's name."""
    left = _ASSERTIONS
    for side, facets in (("inputs", "inputFacets"), ("outputs", "outputFacets")):
        for dataset in map(_mapping, _list(body.get(side))):
            for where in (facets, "facets"):
                found = _mapping(_mapping(dataset.get(where)).get("dataQualityAssertions"))
                for assertion in map(_mapping, _list(found.get("assertions"))):
                    if isinstance(assertion.get("success"), bool) and left > 0:
                        left -= 1
                        yield f"{dataset.get('namespace', '')}/{dataset.get('name', '')}", assertion


def _quality(check: tuple[str, Mapping[str, Any]], run_id: str, job: str, time: datetime) -> Event:
    dataset, assertion = check
    passed, column = assertion["success"], assertion.get("column")
    name = str(assertion.get("assertion") or "assertion") + (f"({column})" if column else "")
    what = "passed" if passed else "failed"
    severity = str(assertion.get("severity") or "error").lower()
    return Event(
        id=_id(run_id, "quality", dataset, name),
        type=f"quality.{what}",
        topic=f"quality.{as_token(job, TOKEN)}.{what}",
        time=time,
        source=_SOURCE,
        severity=Severity.info if passed else SEVERITIES.get(severity, Severity.error),
        message=_words(f"{job}: check {name} {what} for {dataset}"),
        subject=_words(dataset)[:1024],
        data={
            "job": job,
            "run": run_id,
            "subject": dataset,
            "check": name,
            "passed": passed,
            "severity": severity,
            "detail": "",
            "metrics": {key: value for key, value in assertion.items() if key in ("actual", "expected")},
            "sample": [],
            "series": dataset[:_SERIES],
            **({"column": column} if isinstance(column, str) else {}),
        },
    )
