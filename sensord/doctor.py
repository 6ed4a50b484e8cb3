"""What may be wrong with a set-up, said in words, with what to do."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from msgspec import Struct

from sensord.cli.client import ApiError, Client, NoWayError, daemon_url, open_client
from sensord.config import Config
from sensord.launchers.command import CommandConfig
from sensord.ledger.looking import look_at
from sensord.sources.directory import DirectoryConfig
from sensord.sources.directory_mounts import shared_here
from sensord.sources.directory_ready import can_lease

_LEAST_MB = 200
_LATE_SECONDS = 300.0


class Finding(Struct, frozen=True):
    """One thing that was looked at."""

    what: str
    well: bool
    text: str


def examine(config: Config) -> list[Finding]:
    """Look at everything that can be looked at from here, without changing anything."""
    return [*_places(config), *_kernel(config), *_jobs(config), *_slack(config), *_daemon(config)]


def _places(config: Config) -> Iterator[Finding]:
    free = shutil.disk_usage(_there(config.state)).free // 2**20
    yield Finding("disk", free >= _LEAST_MB, f"{free} MB free for {config.state}")
    yield Finding("database", *look_at(config.database))
    for name, sensor in config.sensors.items():
        if isinstance(sensor.source, DirectoryConfig):
            path = sensor.source.path
            readable = path.is_dir() and os.access(path, os.R_OK | os.X_OK)
            wrong = "is missing: make it" if not path.exists() else "cannot be read: check its owner and mode"
            how = "" if not readable else f" and is {_how_sensed(path, recursive=sensor.source.recursive)}"
            yield Finding(f"sensor {name}", readable, f"{path} {'can be read' if readable else wrong}{how}")


def _how_sensed(path: Path, *, recursive: bool) -> str:
    """How changes are heard of there, and how a file is known to be whole."""
    shared = shared_here(os.fsencode(path), below=recursive)
    if shared is not None:
        return f"polled: it lies on {shared}, whose changes the kernel does not tell; files count as whole by `settle`"
    try:
        nameless = os.open(path, os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    except OSError:
        return "watched; whether its file system tells that a file is still open cannot be tried here"
    try:
        leased = can_lease(nameless)
    finally:
        os.close(nameless)
    return f"watched; files are taken when {'their writer closes them' if leased else 'nothing changed for `settle`'}"


def _there(path: Path) -> Path:
    return next(one for one in (path, *path.parents) if one.exists())


def _kernel(config: Config) -> Iterator[Finding]:
    limit = Path("/proc/sys/fs/inotify/max_user_watches")
    if limit.exists():
        allowed, needed = int(limit.read_text()), 0
        for sensor in config.sensors.values():
            if isinstance(sensor.source, DirectoryConfig) and sensor.source.path.is_dir():
                needed += 1
                if sensor.source.recursive:
                    needed += sum(len(folders) for _, folders, _ in os.walk(sensor.source.path))
        text = f"{needed} folders to watch, {allowed} allowed (fs.inotify.max_user_watches)"
        yield Finding("inotify", needed <= allowed, text)


def _jobs(config: Config) -> Iterator[Finding]:
    for name, job in config.jobs.items():
        if isinstance(job.launcher, CommandConfig):
            program = job.launcher.command[0]
            path = job.launcher.env.get("PATH", os.environ.get("PATH"))
            cwd = job.launcher.cwd or Path.cwd()
            found = (cwd / program).exists() if "/" in program else shutil.which(program, path=path) is not None
            text = f"{program} {'is there' if found or '{{' in program else 'is not on PATH: give its full path'}"
            yield Finding(f"job {name}", found or "{{" in program, text)
    from sensord.doctor_launchers import look_at_launchers

    yield from (Finding(*one) for one in look_at_launchers(config))


def _slack(config: Config) -> Iterator[Finding]:
    """How commands come from Slack, if they do. Whether they do at the moment, the daemon knows."""
    slack = config.slack
    if slack is None or not slack.commands:
        return
    if slack.app_token is not None:
        text = "commands are heard through Socket Mode"
    elif slack.signing_secret is not None:
        names = ", ".join(config.http.allowed_hosts) or "none: add the name that Slack sends to"
        text = f"commands are heard as requests to /api/slack/…; names in http.allowed_hosts: {names}"
    else:
        text = "commands are not heard: set slack.app_token, or slack.commands: false if it is there to send alone"
    yield Finding("slack", True, text)


def _daemon(config: Config) -> Iterator[Finding]:
    url = daemon_url(config)
    if url is None:
        yield Finding("daemon", False, "none runs: start `sensord run`")
        return
    try:
        with urlopen(f"{url}/readyz", timeout=5) as answer:  # noqa: S310 - our own daemon's URL
            yield Finding("daemon", answer.status == 200, f"ready at {url}")  # noqa: PLR2004
    except (URLError, OSError) as error:
        yield Finding("daemon", False, f"it does not say that it is ready: {error}")
        return
    try:
        with open_client(config) as api:
            yield from _told(api)
    except (ApiError, NoWayError) as error:
        yield Finding("daemon", False, str(error))


def _told(api: Client) -> Iterator[Finding]:
    """What the daemon itself knows to be wrong."""
    for sensor in api.call("GET", "/api/sensors")["items"]:
        if sensor["state"] == "failed":
            yield Finding(f"sensor {sensor['name']}", False, str(sensor["reason"]))
        elif (sensor["lag_seconds"] or 0) > _LATE_SECONDS:
            text = f"it is {sensor['lag_seconds']:.0f} s behind: something waits that long to be decided"
            yield Finding(f"sensor {sensor['name']}", False, text)
    for one in api.call("GET", "/api/destinations")["items"]:
        if one["state"] == "paused":
            hint = f"then: sensord destinations resume {one['destination']}"
            yield Finding(f"destination {one['destination']}", False, f"paused: {one['reason']}; {hint}")
    for problem in api.call("GET", "/api/overview")["problems"]:
        if problem["kind"] == "chat":
            yield Finding("chat", False, problem["text"])
    for hint in api.call("GET", "/api/chat/hints")["items"]:
        # Privacy mode is a choice; a scope that is missing breaks something.
        yield Finding(hint["chat"], "privacy mode" in hint["text"], hint["text"])
    for status in ("dead", "uncertain"):
        found = api.call("GET", "/api/deliveries", query=[("status", status), ("limit", "100")])["items"]
        text = f"{len(found)} {status}" + (f": sensord deliveries list status={status}" if found else "")
        yield Finding("deliveries", not found, text)
