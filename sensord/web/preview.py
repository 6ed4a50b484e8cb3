"""What a message would look like, without sending it: rendered by the channel that would send it."""

from __future__ import annotations

from aiohttp import web
from anyio import to_thread

from notifiers.channels import Part
from notifiers.chat.looking import get_event
from notifiers.marking import Marks
from notifiers.message import Button
from notifiers.reading import Reader
from notifiers.reading.samples import SAMPLES
from notifiers.reading.templates import NOTHING, Broken, Templates, read_own
from notifiers.subscriptions import load_directory
from rules.event import Event
from sensord.app import App
from sensord.config.fields import check_destination
from sensord.web import schemas
from sensord.web.access import access_of
from sensord.web.endpoint import Endpoint, one, only
from sensord.web.problems import Problem, answer, shown
from sensord.web.telling import reading_asked

_SAMPLE = "run.failed"
_QUERY = {
    "to": (schemas.TEXT, "the destination whose channel renders it; default `inbox:`"),
    "lang": ({"enum": ["en", "ru"]}, "default: the destination's language"),
    "zone": (schemas.TEXT, "default: the destination's clock"),
}


class Preview:
    """`GET /api/events/<id>/preview`, and `GET /api/preview` of a made-up event."""

    def __init__(self, app: App) -> None:
        self._app = app

    def endpoints(self) -> list[Endpoint]:
        """Both."""
        return [
            Endpoint(
                method="GET",
                path="/api/events/{id}/preview",
                handler=self._of_event,
                summary="What a message of an event would look like; nothing is sent. The templates are read anew.",
                query=_QUERY,
                answers={200: ("its parts, as the channel would send them", schemas.PREVIEW)},
                scope="read",
            ),
            Endpoint(
                method="GET",
                path="/api/preview",
                handler=self._of_sample,
                summary="The same of a made-up event of a type.",
                query={"sample": ({"enum": sorted(SAMPLES), "default": _SAMPLE}, "the type"), **_QUERY},
                answers={200: ("its parts, as the channel would send them", schemas.PREVIEW)},
            ),
        ]

    async def _of_event(self, request: web.Request) -> web.Response:
        only(request, *_QUERY)
        id_ = request.match_info["id"]
        event = await self._app.database.read(lambda conn: get_event(conn, id_))
        if event is None or not access_of(request).reads(event.topics):
            raise Problem(404, f"there is no event {shown(id_)}; GET /api/events lists those there are")
        return await self._rendered(request, event)

    async def _of_sample(self, request: web.Request) -> web.Response:
        only(request, "sample", *_QUERY)
        name = one(request, "sample") or _SAMPLE
        if name not in SAMPLES:
            raise Problem(400, f"sample is {shown(name)}; give one of {', '.join(sorted(SAMPLES))}")
        return await self._rendered(request, SAMPLES[name])

    async def _rendered(self, request: web.Request, event: Event) -> web.Response:
        to = one(request, "to") or "inbox:"
        try:
            check_destination(to)
            asked = reading_asked(one(request, "lang"), one(request, "zone"))
            self._app.delivery.channel(to)
        except ValueError as error:
            raise Problem(400, str(error)) from None
        directory = await self._app.database.read(load_directory)
        config = self._app.config
        reader = directory.readers.of(Reader(config.language, config.zone), to).but(asked["lang"], asked["zone"])
        # Off the loop: a language may have to be loaded, and templates are anybody's.
        parts, broken = await to_thread.run_sync(self._parts, event, to, reader)
        return answer(
            {
                "event": event.id,
                "type": event.type,
                "to": to,
                "lang": reader.lang,
                "zone": reader.zone,
                "parts": [{"text": part.text, "payload": dict(part.payload)} for part in parts],
                "broken": [str(one) for one in broken],
            }
        )

    def _parts(self, event: Event, to: str, reader: Reader) -> tuple[list[Part], list[Broken]]:
        folder = self._app.config.templates
        broken: list[Broken] = []
        templates = Templates(NOTHING if folder is None else read_own(folder), tell=broken.append)
        templates.told_now()
        voice = templates.voice(reader)
        message = self._marks(event, to).on(voice.message(event), voice)
        return list(self._app.delivery.channel(to).render(message)), broken

    def _marks(self, event: Event, to: str) -> Marks:
        """The buttons that the message would have; these do nothing."""
        telegram = self._app.config.telegram
        if not to.startswith("telegram:") or telegram is None or not telegram.commands or event.run is None:
            return Marks()
        from notifiers.chat.button_wording import LABELS
        from notifiers.chat.buttons import OFFERED

        offered = (LABELS[deed] for deed in OFFERED.get(event.type, ()))
        return Marks(buttons=tuple(Button(text, "preview", style) for text, style in offered))
