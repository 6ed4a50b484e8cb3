"""GitLab's API v4, as far as pipelines go: triggered with a trigger token, looked at with an access token.

By its documentation (api/pipeline_triggers, api/pipelines): a trigger takes `token`, `ref` and `variables[…]`, answers
201, 404 for a wrong token and 400 for a ref that is not there; lists come in pages (`Link`), newest first, filtered by
`source`, `ref` and `updated_after`, without their variables, which have an address of their own; what has ended cannot
be cancelled, which is no error.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from tests.doubles.rest import RunningDouble

TRIGGER, ACCESS = "glptt-trigger-token", "glpat-access-token"
_ENDED = ("success", "failed", "canceled", "skipped")
_LISTED = ("id", "iid", "project_id", "sha", "ref", "status", "source", "created_at", "updated_at", "web_url", "name")


@dataclass
class GitLabDouble(RunningDouble):
    """Project 7, with the branch `main`. `pages`: so many pipelines of others are newer than ours."""

    pipelines: list[dict[str, Any]] = field(default_factory=list)

    def routes(self) -> list[web.RouteDef]:
        base = "/api/v4/projects/7"
        return [
            web.post(f"{base}/trigger/pipeline", self._trigger),
            web.get(f"{base}/pipelines", self._list),
            web.get(f"{base}/pipelines/{{id}}", self._get),
            web.get(f"{base}/pipelines/{{id}}/variables", self._variables),
            web.post(f"{base}/pipelines/{{id}}/cancel", self._cancel),
        ]

    def finish(self, token: str, status: str = "success") -> None:
        self._of(token)["status"] = status

    def state(self, token: str) -> str:
        return str(self._of(token)["status"])

    def _of(self, token: str) -> dict[str, Any]:
        return next(one for one in self.pipelines if one["variables"].get("SENSORD_TOKEN") == token)

    def begin(self, variables: Mapping[str, str]) -> dict[str, Any]:
        """A pipeline, ours or another's."""
        number = 1000 + len(self.pipelines)
        now = datetime.now(UTC).isoformat()
        one = {"id": number, "iid": number - 999, "project_id": 7, "sha": "0" * 40, "ref": "main", "name": None}
        one |= {"status": "created", "source": "trigger", "created_at": now, "updated_at": now}
        one |= {"web_url": f"{self.url}/team/etl/-/pipelines/{number}", "variables": dict(variables)}
        self.pipelines.append(one)
        return one

    async def _trigger(self, request: web.Request) -> web.Response:
        body = json.loads(await request.text())
        if body.get("token") != TRIGGER:
            return web.json_response({"message": "404 Not Found"}, status=404)
        if body.get("ref") != "main":
            return web.json_response({"message": {"base": ["Reference not found"]}}, status=400)
        variables = body.get("variables") or {}
        if not all(isinstance(value, str) for value in variables.values()):
            return web.json_response({"message": "variables needs to be a map of key-valued strings"}, status=400)
        token = variables.get("SENSORD_TOKEN", "")
        self.keys.append(token)
        self.starts[token] += 1
        return web.json_response(_shown(self.begin(variables)), status=201)

    def _refused(self, request: web.Request) -> web.Response | None:
        if request.headers.get("PRIVATE-TOKEN") != ACCESS:
            return web.json_response({"message": "401 Unauthorized"}, status=401)
        return None

    async def _list(self, request: web.Request) -> web.Response:
        if (refused := self._refused(request)) is not None:
            return refused
        query = request.query
        page, size = int(query.get("page", "1")), min(int(query.get("per_page", "20")), 100)
        after = query.get("updated_after", "").replace("Z", "+00:00")
        found = [
            one
            for one in sorted(self.pipelines, key=lambda one: -one["id"])
            if query.get("source") in (None, one["source"])
            and query.get("ref") in (None, one["ref"])
            and (not after or datetime.fromisoformat(one["updated_at"]) >= datetime.fromisoformat(after))
        ]
        headers = {}
        if page * size < len(found):
            following = request.url.update_query(page=page + 1, per_page=size)
            headers["Link"] = f'<{following}>; rel="next", <{request.url}>; rel="first"'
        return web.json_response([_shown(one) for one in found[(page - 1) * size : page * size]], headers=headers)

    def _one(self, request: web.Request) -> dict[str, Any] | None:
        return next((one for one in self.pipelines if str(one["id"]) == request.match_info["id"]), None)

    async def _get(self, request: web.Request) -> web.Response:
        if (refused := self._refused(request)) is not None:
            return refused
        one = self._one(request)
        if one is None:
            return web.json_response({"message": "404 Pipeline Not Found"}, status=404)
        if one["status"] == "created":
            one["status"] = "running"
        return web.json_response(_shown(one))

    async def _variables(self, request: web.Request) -> web.Response:
        if (refused := self._refused(request)) is not None:
            return refused
        one = self._one(request)
        if one is None:
            return web.json_response({"message": "404 Pipeline Not Found"}, status=404)
        listed = [
            {"variable_type": "env_var", "key": key, "value": value, "raw": False}
            for key, value in one["variables"].items()
        ]
        return web.json_response(listed)

    async def _cancel(self, request: web.Request) -> web.Response:
        if (refused := self._refused(request)) is not None:
            return refused
        one = self._one(request)
        if one is None:
            return web.json_response({"message": "404 Pipeline Not Found"}, status=404)
        if one["status"] not in _ENDED:
            one["status"] = "canceled"
        return web.json_response(_shown(one), status=201)


def _shown(one: Mapping[str, Any]) -> dict[str, Any]:
    return {key: one[key] for key in _LISTED}
