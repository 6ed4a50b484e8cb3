"""Airflow 3's public API, as far as runs of DAGs go: `POST /api/v2/dags/{dag_id}/dagRuns` and below.

By its own words (api_fastapi, core_api: routes/public/dag_run.py and datamodels/dag_run.py): `logical_date` must be
there, if null; unknown keys are refused (422); a `dag_run_id` that is there already is a 409; the state can be set to
queued, success and failed alone; whoever has no token gets a 401.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from tests.doubles.rest import RunningDouble

TOKEN = "airflow-jwt-token"
_BODY = {"dag_run_id", "data_interval_start", "data_interval_end", "logical_date", "run_after", "conf", "note"}
_BODY |= {"partition_key"}
_RUN_ID = re.compile(r"[A-Za-z0-9_.~:+-]{1,250}")


def _error(status: int, detail: str) -> web.Response:
    return web.json_response({"detail": detail}, status=status)


@dataclass
class AirflowDouble(RunningDouble):
    """One DAG, `etl`."""

    runs: dict[str, dict[str, Any]] = field(default_factory=dict)

    def routes(self) -> list[web.RouteDef]:
        base = "/api/v2/dags/{dag}/dagRuns"
        return [
            web.post(base, self._trigger),
            web.get(f"{base}/{{id}}", self._get),
            web.patch(f"{base}/{{id}}", self._patch),
        ]

    def finish(self, token: str, status: str = "success") -> None:
        self.runs[token] |= {"state": status, "end_date": datetime.now(UTC).isoformat()}

    def state(self, token: str) -> str:
        return str(self.runs[token]["state"])

    def _refused(self, request: web.Request) -> web.Response | None:
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            return _error(401, "Not authenticated")
        if request.match_info["dag"] != "etl":
            return _error(404, f"DAG with dag_id: '{request.match_info['dag']}' not found")
        return None

    async def _trigger(self, request: web.Request) -> web.Response:
        if (refused := self._refused(request)) is not None:
            return refused
        body = json.loads(await request.text())
        if "logical_date" not in body or not set(body) <= _BODY or not isinstance(body.get("conf") or {}, dict):
            return _error(422, "the body is not a TriggerDAGRunPostBody")
        run_id = body.get("dag_run_id") or f"manual__{datetime.now(UTC).isoformat()}"
        if not _RUN_ID.fullmatch(run_id):
            return _error(422, "dag_run_id does not match the pattern")
        self.keys.append(run_id)
        if run_id in self.runs:
            return _error(409, f"DAGRun with DAG ID: 'etl' and DAGRun ID: '{run_id}' already exists")
        self.starts[run_id] += 1
        now = datetime.now(UTC).isoformat()
        run = {"dag_run_id": run_id, "dag_id": "etl", "state": "queued", "conf": body.get("conf") or {}, "note": None}
        run |= {"logical_date": body["logical_date"], "start_date": now, "end_date": None, "run_type": "manual"}
        self.runs[run_id] = run
        return web.json_response(run)

    async def _get(self, request: web.Request) -> web.Response:
        if (refused := self._refused(request)) is not None:
            return refused
        run = self.runs.get(request.match_info["id"])
        if run is None:
            return _error(404, f"The DagRun with run_id: `{request.match_info['id']}` was not found")
        if run["state"] == "queued":
            run["state"] = "running"
        return web.json_response(run)

    async def _patch(self, request: web.Request) -> web.Response:
        if (refused := self._refused(request)) is not None:
            return refused
        body = json.loads(await request.text())
        run = self.runs.get(request.match_info["id"])
        if run is None:
            return _error(404, "not found")
        if not set(body) <= {"state", "note"} or body.get("state") not in (None, "queued", "success", "failed"):
            return _error(422, "the body is not a DAGRunPatchBody")
        run |= body
        return web.json_response(run)
