"""The routes of backfills and of a job's partitions, with what they take and give."""

from __future__ import annotations

from collections.abc import Mapping

from sensord.app import App
from sensord.ledger.backfill_pages import COUNTED, PARTITION_FILTERS
from sensord.web.backfills import KEY, MOST_OPEN, POSITION, STATES, BackfillVerbs, JobPartitions
from sensord.web.endpoint import Endpoint
from sensord.web.schemas import ERROR, ID, NOTHING, NUMBER, OBJECT, TEXT, TIME, YES, Schema, listing, nullable


def _whole(properties: Mapping[str, Schema]) -> Schema:
    """An object that has all of these."""
    return {"type": "object", "properties": dict(properties), "required": list(properties)}


STATUS: Schema = {"type": "string", "enum": ["running", "succeeded", "failed", "cancelled"]}
ONLY: Schema = {"type": "string", "enum": ["all", "missing", "failed"]}
ORDER: Schema = {"type": "string", "enum": ["oldest", "newest"]}
BACKFILL = _whole(
    {
        "id": ID,
        "job": TEXT,
        "status": STATUS,
        "first": TEXT,
        "last": TEXT,
        "only": ONLY,
        "order": ORDER,
        "concurrency": NUMBER,
        "run_config": OBJECT,
        "total": NUMBER,
        "counts": _whole(dict.fromkeys((*COUNTED, "not_started"), NUMBER)),
        "waits": nullable(TEXT),
        "created_at": TIME,
        "ended_at": nullable(TIME),
    }
)
PARTITION = _whole(
    {
        "position": NUMBER,
        "partition_key": TEXT,
        "start": nullable(TIME),
        "end": nullable(TIME),
        "run": nullable(ID),
        "status": nullable(TEXT),
        "error": nullable(TEXT),
        "ended_at": nullable(TIME),
    }
)
PLAN = _whole(
    {
        "job": TEXT,
        "covered": NUMBER,
        "total": NUMBER,
        "only": ONLY,
        "order": ORDER,
        "concurrency": NUMBER,
        "partitions": {"type": "array", "items": TEXT},
    }
)
REQUEST: Schema = {
    "type": "object",
    "properties": {
        "from": nullable(TEXT),
        "to": nullable(TEXT),
        "only": ONLY,
        "order": ORDER,
        "concurrency": {"type": "integer", "minimum": 1, "maximum": MOST_OPEN},
        "run_config": OBJECT,
        "dry_run": YES,
    },
    "additionalProperties": False,
}
JOB_PARTITIONS = _whole(
    {
        "every": nullable({"type": "string", "enum": ["hourly", "daily", "weekly", "monthly"]}),
        "timezone": nullable(TEXT),
        "total": NUMBER,
        "counts": _whole(dict.fromkeys(STATES, NUMBER)),
        "items": {
            "type": "array",
            "items": _whole(
                {"key": TEXT, "start": nullable(TIME), "end": nullable(TIME), "state": TEXT, "run": nullable(ID)}
            ),
        },
        "next": nullable(TEXT),
    }
)


def backfill_endpoints(app: App) -> list[Endpoint]:
    """All of them but the list of backfills, which is in `sensord.web.lists`."""
    backfills = BackfillVerbs(app)
    limit = ({"type": "integer", "minimum": 1, "maximum": 1000, "default": 100}, "how many at most")
    return [
        Endpoint(
            method="POST",
            path="/api/jobs/{name}/backfills",
            handler=backfills.create,
            summary="Run a job for many of its partitions.",
            body=REQUEST,
            answers={
                201: ("the backfill", BACKFILL),
                200: ("what it would run, with `dry_run` or where that is nothing", PLAN),
                422: ("no such partition, or run_config is not what the job wants", ERROR),
            },
        ),
        Endpoint(
            method="GET",
            path="/api/jobs/{name}/partitions",
            handler=JobPartitions(app).show,
            summary="What became of a job's partitions: of time the newest first, and counts of all.",
            query={
                "limit": limit,
                "after": ({"type": "string", "pattern": f"^{KEY}$"}, "the `next` of the page before"),
                "state": ({"type": "array", "items": {"type": "string", "enum": list(STATES)}}, "a filter"),
            },
            answers={200: ("a page, and how many are in which state", JOB_PARTITIONS)},
        ),
        Endpoint(
            method="GET",
            path="/api/backfills/{id}",
            handler=backfills.show,
            summary="One backfill.",
            answers={200: ("the backfill", BACKFILL)},
        ),
        Endpoint(
            method="GET",
            path="/api/backfills/{id}/partitions",
            handler=backfills.partitions,
            summary="A backfill's partitions in its order, each with its run.",
            query={
                "limit": limit,
                "after": ({"type": "string", "pattern": f"^{POSITION}$"}, "the `next` of the page before"),
                **dict.fromkeys(PARTITION_FILTERS, ({"type": "array", "items": TEXT}, "a filter")),
            },
            answers={200: ("a page", listing(PARTITION))},
        ),
        Endpoint(
            method="POST",
            path="/api/backfills/{id}/cancel",
            handler=backfills.cancel,
            summary="Run no further partition, and cancel the runs that have not ended.",
            body=NOTHING,
            answers={202: ("the backfill", BACKFILL), 409: ("it has ended", ERROR)},
        ),
    ]
