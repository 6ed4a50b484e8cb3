"""The way from a command to the API: a running daemon's, else one that the command opens for itself."""

from __future__ import annotations

import http.client
import json
import socket
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from sensord.config import Config
from sensord.launchers.command_process import start_tick

_SECONDS = 60.0


class ApiError(Exception):
    """The API's own sentence about what is wrong."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class NoWayError(Exception):
    """Neither a daemon answers nor can the database be opened; the text says why and what to do."""


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=_SECONDS)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket instead of a port."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class Client:
    """Calls of the API. `daemon` tells whether a daemon answers them."""

    def __init__(self, connection: http.client.HTTPConnection, token: str | None, *, daemon: bool) -> None:
        self.daemon = daemon
        self._connection = connection
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    def call(self, method: str, path: str, body: Any = None, *, query: Sequence[tuple[str, str]] = ()) -> Any:
        """One call; its JSON. ApiError where the API says no."""
        answer = self._send(method, path, body, query)
        data = answer.read()
        return json.loads(data) if data else None

    def stream(
        self, path: str, *, query: Sequence[tuple[str, str]] = (), silent: float | None = None
    ) -> Iterator[bytes]:
        """The pieces of an answer as they come, for as long as they do.

        NoWayError where it breaks off, which no piece for `silent` seconds counts as.
        """
        answer = self._send("GET", path, None, query)
        if self._connection.sock is not None:
            self._connection.sock.settimeout(silent)
        try:
            while piece := answer.read1(65536):
                yield piece
        except (OSError, http.client.HTTPException) as error:
            raise NoWayError(f"the daemon's answer broke off: {error}") from None

    def _send(self, method: str, path: str, body: Any, query: Sequence[tuple[str, str]]) -> http.client.HTTPResponse:
        target = quote(path, safe="/:") + (f"?{urlencode(query, errors='surrogateescape')}" if query else "")
        headers = dict(self._headers)
        data = None
        if method != "GET":
            headers["Content-Type"] = "application/json"
            data = json.dumps({} if body is None else body).encode()
        try:
            self._connection.request(method, target, data, headers)
            answer = self._connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            raise NoWayError(f"the daemon does not answer: {error}") from None
        if answer.status >= http.client.BAD_REQUEST:
            text = answer.read().decode(errors="replace")
            raise ApiError(answer.status, _sentence(text))
        return answer


def _sentence(text: str) -> str:
    try:
        return str(json.loads(text)["error"])
    except (ValueError, KeyError, TypeError):
        return text.strip() or "the API answered without a reason"


def daemon_url(config: Config) -> str | None:
    """The URL of the daemon that owns the state folder, if one lives: `run` notes it there.

    Where another user's folder cannot be read, it is the URL that the configuration gives.
    """
    try:
        note = json.loads((config.state / "daemon.json").read_text(encoding="utf-8"))
        lives = start_tick(int(note["pid"])) == note["start"]
        return str(note["url"]) if lives else None
    except PermissionError:
        host = config.http.host if config.http.host not in {"0.0.0.0", "::"} else "127.0.0.1"  # noqa: S104
        return f"http://{f'[{host}]' if ':' in host else host}:{config.http.port}" if config.http.port else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


@contextmanager
def open_client(config: Config) -> Iterator[Client]:
    """The API of the running daemon, or of our own where none runs. NoWayError where there is neither."""
    url = daemon_url(config)
    if url is not None:
        with _at(url, config) as client:
            yield client
        return
    with _own(config) as path:
        own = _UnixConnection(path)
        try:
            yield Client(own, _token(config), daemon=False)
        finally:
            own.close()


@contextmanager
def open_daemon(config: Config) -> Iterator[Client]:
    """The API of the running daemon. NoWayError where none runs."""
    url = daemon_url(config)
    if url is None:
        raise NoWayError("no daemon runs, so nothing comes; start one: sensord run")
    with _at(url, config) as client:
        yield client


@contextmanager
def _at(url: str, config: Config) -> Iterator[Client]:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "127.0.0.1", parts.port, timeout=_SECONDS)
    try:
        yield Client(connection, _token(config), daemon=True)
    finally:
        connection.close()


def _token(config: Config) -> str | None:
    return config.http.token.get_secret_value() if config.http.token is not None else None


@contextmanager
def _own(config: Config) -> Iterator[Path]:
    """Serve the same API from this process on a Unix socket that only its user can reach."""
    import anyio

    from sensord.app import open_app
    from sensord.ledger.engine import DatabaseInUse, DatabaseUnusable
    from sensord.ledger.schema import SchemaError
    from sensord.web.api import serve_unix

    started, ended = threading.Event(), anyio.Event
    trouble: list[BaseException] = []
    stop: list[Any] = []

    async def serve(path: Path) -> None:
        over = ended()
        async with open_app(config) as app, serve_unix(app, path):
            stop.append((anyio.lowlevel.current_token(), over))
            started.set()
            await over.wait()

    def run(path: Path) -> None:
        try:
            anyio.run(serve, path)
        except BaseException as error:  # noqa: BLE001 - told to the thread that waits for it
            trouble.append(error)
        finally:
            started.set()

    with tempfile.TemporaryDirectory(prefix="sensord-") as name:
        thread = threading.Thread(target=run, args=(Path(name) / "api.sock",), name="own-api")
        thread.start()
        started.wait()
        try:
            if trouble:
                if isinstance(trouble[0], DatabaseInUse | DatabaseUnusable | SchemaError | OSError):
                    raise NoWayError(str(trouble[0])) from None
                raise trouble[0]
            yield Path(name) / "api.sock"
        finally:
            if stop:
                token, over = stop[0]
                anyio.from_thread.run_sync(over.set, token=token)
            thread.join()
