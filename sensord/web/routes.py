"""Every route of the API, with what it takes and gives: the table that the application and /openapi.json come from."""

from __future__ import annotations

from functools import partial

import anyio
from aiohttp import web

from sensord.app import App
from sensord.web import schemas
from sensord.web.backfill_routes import backfill_endpoints
from sensord.web.callback import Callbacks
from sensord.web.chat import ChatPeople
from sensord.web.checks import Checks
from sensord.web.dead_letters import DeadLetters
from sensord.web.endpoint import Endpoint, one, only
from sensord.web.events import SINCE, Events
from sensord.web.lineage import Lineage
from sensord.web.lists import Lists
from sensord.web.logs import Logs
from sensord.web.metrics import Metrics
from sensord.web.mutes import Mutes
from sensord.web.overview import Overview
from sensord.web.preview import Preview
from sensord.web.problems import Problem, answer
from sensord.web.publish import BATCH, CLOUDEVENT, Intake
from sensord.web.runs import Runs
from sensord.web.sensors import Jobs, Sensors, chart
from sensord.web.slack import slack_endpoints
from sensord.web.stream import Stream
from sensord.web.telegram_updates import TelegramUpdates
from sensord.web.telling import Telling
from sensord.web.tokens import Tokens

_FLAG = ({"type": "string", "enum": ["0", "1", "false", "true"]}, "1 or 0")


def endpoints(app: App, closing: anyio.Event, metrics: Metrics) -> list[Endpoint]:
    """All of them. The lists come from `sensord.web.lists`."""
    return [
        *_intake(app),
        *_runs(app, closing),
        *backfill_endpoints(app),
        *_sensing(app),
        *_telling(app),
        *DeadLetters(app).endpoints(),
        *Tokens(app).endpoints(),
        *Events(app).endpoints(),
        *Preview(app).endpoints(),
        *ChatPeople(app).endpoints(),
        *Checks(app).endpoints(),
        *Mutes(app).endpoints(),
        *slack_endpoints(app),
        *TelegramUpdates(app).endpoints(),
        *Callbacks(app).endpoints(),
        *Lists(app).endpoints(),
        *_looking(app, closing),
        *_health(app, metrics),
    ]


def _intake(app: App) -> list[Endpoint]:
    return [
        Endpoint(
            method="POST",
            path="/api/events",
            handler=Intake(app).__call__,
            summary="Publish an event, or a list of them as a whole; answered once durable. "
            "A repeated (source, id) is no second event.",
            body=schemas.PUBLISH,
            takes=("application/json", CLOUDEVENT, BATCH),
            answers={
                202: ("it is durable", schemas.PUBLISHED),
                400: ("no event; of a batch, the `index` of the first that is none", schemas.WRONG_EVENT),
                403: ("the token may not publish there", schemas.WRONG_EVENT),
            },
            scope="publish",
        ),
        Endpoint(
            method="POST",
            path="/api/v1/lineage",
            handler=Lineage(app).__call__,
            summary="Take an OpenLineage run event; answered once it is durable. One of each run and state is kept.",
            body=schemas.LINEAGE,
            answers={202: ("the event is durable", schemas.TAKEN)},
        ),
    ]


def _runs(app: App, closing: anyio.Event) -> list[Endpoint]:
    runs = Runs(app)
    return [
        Endpoint(
            method="POST",
            path="/api/jobs/{name}/runs",
            handler=runs.launch,
            summary="Launch a run of a job.",
            body=schemas.LAUNCH,
            answers={
                201: ("the run", schemas.RUN),
                200: ("the run that holds the run_key already, with `duplicate`", schemas.RUN),
                422: ("run_config is not what the job's config_schema wants", schemas.ERROR),
            },
        ),
        Endpoint(
            method="POST",
            path="/api/runs/{id}/cancel",
            handler=runs.cancel,
            summary="Cancel a run that has not ended.",
            body=schemas.NOTHING,
            answers={202: ("the run", schemas.RUN), 409: ("it has ended", schemas.ERROR)},
        ),
        Endpoint(
            method="POST",
            path="/api/runs/{id}/retry",
            handler=runs.retry,
            summary="Repeat a run that has ended, as a new run.",
            body=schemas.NOTHING,
            answers={201: ("the new run", schemas.RUN), 409: ("it has not ended", schemas.ERROR)},
        ),
        Endpoint(
            method="GET",
            path="/api/runs/{id}/log",
            handler=Logs(app, closing).__call__,
            summary="The output of one attempt, or with `follow` as it grows.",
            query={
                "attempt": ({"type": "integer", "minimum": 1}, "default: the newest"),
                "follow": _FLAG,
                "tail": ({"type": "integer", "minimum": 1}, "so many bytes from the end"),
            },
            answers={200: ("the output", None)},
            gives="text/plain",
        ),
    ]


def _sensing(app: App) -> list[Endpoint]:
    sensors, jobs = Sensors(app), Jobs(app)
    return [
        Endpoint(
            method="GET",
            path="/api/sensors/{name}",
            handler=sensors.show,
            summary="One sensor.",
            answers={200: ("the sensor", schemas.SENSOR)},
        ),
        Endpoint(
            method="POST",
            path="/api/sensors/{name}/tick",
            handler=sensors.tick,
            summary="Look now instead of waiting; with `dry_run` only say what one would find, without any effect.",
            query={"dry_run": _FLAG},
            body=schemas.NOTHING,
            answers={
                200: ("what was, or would be, asked for", schemas.TICKED),
                409: ("there is nothing to look at before its time", schemas.ERROR),
                503: ("cannot look", schemas.ERROR),
            },
        ),
        Endpoint(
            method="GET",
            path="/api/jobs/{name}",
            handler=jobs.show,
            summary="One job.",
            answers={200: ("the job", schemas.JOB)},
        ),
        Endpoint(
            method="GET",
            path="/api/jobs/{name}/chart",
            handler=partial(chart, app),
            summary="A picture of how long the job's last runs took.",
            query={
                "run": ({"type": "string"}, "the run that is marked"),
                "lang": ({"enum": ["en", "ru"]}, "default: the configuration's"),
                "zone": (schemas.TEXT, "default: the configuration's"),
            },
            answers={200: ("the picture", None), 503: ("why there is none", schemas.ERROR)},
            gives="image/png",
        ),
    ]


def _telling(app: App) -> list[Endpoint]:
    telling = Telling(app)
    return [
        Endpoint(
            method="POST",
            path="/api/subscriptions",
            handler=telling.subscribe,
            summary="Tell a destination of the events of a topic.",
            body=schemas.SUBSCRIBE,
            answers={
                201: ("the subscription", schemas.SUBSCRIBED),
                200: ("one like it held already", schemas.SUBSCRIBED),
            },
        ),
        Endpoint(
            method="DELETE",
            path="/api/subscriptions/{id}",
            handler=telling.unsubscribe,
            summary="End a subscription.",
            body=schemas.NOTHING,
            answers={200: ("it has ended", schemas.ANY)},
        ),
        Endpoint(
            method="POST",
            path="/api/deliveries/{id}/replay",
            handler=telling.replay_delivery,
            summary="Try a delivery again that ended without having been delivered.",
            body=schemas.NOTHING,
            answers={202: ("it is tried again", schemas.ANY), 409: ("it cannot be", schemas.ERROR)},
        ),
        Endpoint(
            method="POST",
            path="/api/events/{id}/replay",
            handler=telling.replay_event,
            summary="Tell everyone subscribed now of an event again.",
            body=schemas.NOTHING,
            answers={202: ("the new deliveries", schemas.ANY)},
        ),
        Endpoint(
            method="POST",
            path="/api/destinations/resume",
            handler=telling.resume,
            summary="Send to a paused destination again.",
            body=schemas.RESUME,
            answers={200: ("it is active", schemas.ANY)},
        ),
        Endpoint(
            method="DELETE",
            path="/api/keys",
            handler=telling.forget,
            summary="Forget a run_key, so that the next request for it is a run.",
            body=schemas.KEY,
            answers={200: ("it is free", schemas.ANY)},
        ),
        Endpoint(
            method="POST",
            path="/api/keys/expire",
            handler=telling.expire,
            summary="Forget run_keys claimed longer ago than that: a slice of them; ask again with `next` as `after`.",
            body=schemas.EXPIRE,
            answers={200: ("how many are gone, and where the next slice begins", schemas.EXPIRED)},
        ),
    ]


def _looking(app: App, closing: anyio.Event) -> list[Endpoint]:
    async def explain(request: web.Request) -> web.Response:
        only(request, "what", "path")
        what = one(request, "what")
        if what is None:
            raise Problem(400, "say what to explain: ?what=FILE, RUN, EVENT or KEY")
        from sensord.explain import explain as story

        return answer(await story(app, what, one(request, "path")))

    return [
        Endpoint(
            method="GET",
            path="/api/explain",
            handler=explain,
            summary="Why something happened, or did not.",
            query={
                "what": ({"type": "string"}, "a file, a run, an event or a key"),
                "path": ({"type": "string"}, "what it is as a path, where it may be one"),
            },
            answers={200: ("the story", schemas.ANY)},
        ),
        Endpoint(
            method="GET",
            path="/api/overview",
            handler=Overview(app).__call__,
            summary="Whether everything is well, and what is not.",
            answers={200: ("the state of everything", schemas.OVERVIEW)},
        ),
        Endpoint(
            method="GET",
            path="/api/stream",
            handler=Stream(app, closing).__call__,
            summary="New events as server-sent events; `Last-Event-ID` goes on where a reader left off.",
            query={
                "topic": ({"type": "string"}, "a pattern; `*` is one token, `>` the rest"),
                "after": ({"type": "string", "pattern": "^[0-9]{1,18}$"}, "as Last-Event-ID"),
                "since": SINCE,
            },
            scope="read",
            answers={200: ("events for ever", None), 503: ("too many streams", schemas.ERROR)},
            gives="text/event-stream",
        ),
    ]


def _health(app: App, metrics: Metrics) -> list[Endpoint]:
    async def alive(_request: web.Request) -> web.Response:
        return answer({"status": "ok"})

    async def ready(_request: web.Request) -> web.Response:
        if app.database.trouble is not None:
            # Public, so without the database's own words, which may name hosts and paths.
            return answer({"status": "not ready", "reason": "the database cannot be written; the log says why"}, 503)
        if not app.ready:
            return answer({"status": "not ready", "reason": "it is starting"}, 503)
        return answer({"status": "ready"})

    return [
        Endpoint(
            method="GET",
            path="/healthz",
            handler=alive,
            summary="The process is alive.",
            answers={200: ("it is", schemas.ANY)},
            public=True,
        ),
        Endpoint(
            method="GET",
            path="/readyz",
            handler=ready,
            summary="Everything is started, and the database can be written.",
            answers={200: ("it is ready", schemas.ANY), 503: ("why it is not", schemas.ANY)},
            public=True,
        ),
        Endpoint(
            method="GET",
            path="/metrics",
            handler=metrics.__call__,
            summary="Figures for Prometheus.",
            answers={200: ("the figures", None)},
            gives="text/plain",
        ),
    ]
