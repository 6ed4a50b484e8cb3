"""What another system says of a run that it does for us: how it ended, proven by the secret that it was given."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from sensord.app import App
from sensord.ledger.queries import get_run
from sensord.web import schemas
from sensord.web.body import object_of, read_object, text_of
from sensord.web.endpoint import Endpoint
from sensord.web.problems import Problem, answer, shown

HEADER = "X-Sensord-Secret"
ENDINGS = ("succeeded", "failed", "cancelled")
_LONGEST = 2000


class Callbacks:
    """The one route that other systems call. It is there only where a job is called back."""

    def __init__(self, app: App) -> None:
        self._app = app

    def endpoints(self) -> list[Endpoint]:
        """None, where no job is called back."""
        if not any(self._asks(name) for name in self._app.config.jobs):
            return []
        return [
            Endpoint(
                method="POST",
                path="/api/runs/{id}/callback",
                handler=self._take,
                summary="Say how a run ended that was started by a request (`http: {follow: {callback: …}}`), "
                f"with its `run.secret` in {HEADER}; answered once it is durable.",
                body=_BODY,
                answers={
                    200: ("it is durable", schemas.ANY),
                    401: ("the secret is missing or wrong", schemas.ERROR),
                    503: ("not yet; send it again", schemas.ERROR),
                },
                public=True,
            )
        ]

    def _asks(self, job: str) -> bool:
        from sensord.launchers.http import HttpConfig

        launcher = self._app.config.jobs[job].launcher
        follow = launcher.http.follow if isinstance(launcher, HttpConfig) else None
        return follow is not None and follow.callback is not None

    async def _take(self, request: web.Request) -> web.Response:
        run = request.match_info["id"]
        given = request.headers.getall(HEADER, [])
        found = await self._app.database.read(lambda conn: get_run(conn, run)) if len(given) == 1 else None
        launcher = None if found is None else self._app.launchers.get(found["job"])
        token = f"{run}.{found['attempt']}" if found is not None else ""
        # Nothing of the body is read for whoever does not know the secret, nor who knows that of an earlier attempt.
        from sensord.launchers.http_jobs import HttpLauncher

        if not isinstance(launcher, HttpLauncher) or not launcher.knows(token, given[0]):
            raise Problem(401, f"send run.secret of this attempt as {HEADER}")
        told = _read(await read_object(request, ("status", "error", "metadata")))
        if found is not None and found["status"] in (*ENDINGS, "lost"):
            return answer({"status": found["status"]})
        if not await launcher.told(token, told):
            raise Problem(503, "sensord is not waiting for it yet; send it again", headers={"Retry-After": "2"})
        return answer({"status": told["status"]})


def _read(body: dict[str, Any]) -> dict[str, Any]:
    status = text_of(body, "status")
    if status not in ENDINGS:
        raise Problem(400, f"status is {shown(str(status))}; send one of {', '.join(ENDINGS)}")
    error = text_of(body, "error") or ""
    return {"status": status, "error": error[:_LONGEST], "metadata": object_of(body, "metadata")}


_BODY = {
    "type": "object",
    "properties": {
        "status": {"enum": list(ENDINGS)},
        "error": {"type": "string"},
        "metadata": {"type": "object"},
    },
    "required": ["status"],
    "additionalProperties": False,
}
