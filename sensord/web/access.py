"""What whoever asks may do: everything, or publish and read on some topics."""

from __future__ import annotations

from aiohttp import web

from rules.event import Event
from sensord.tokens import FULL, Access
from sensord.web.problems import Problem, shown

ACCESS = web.RequestKey("access", Access)


def access_of(request: web.Request) -> Access:
    """What the guard found; a public route has nobody to ask for."""
    found: Access = request.get(ACCESS, FULL)
    return found


def check_publishing(access: Access, event: Event) -> None:
    """Pass an event that may be published; Problem 403 otherwise."""
    if not access.publishes(event.topics):
        allowed = ", ".join(access.publish or ())
        raise Problem(
            403, f"the token {access.name} may publish on {allowed}, which does not take {shown(event.topic)}"
        )
