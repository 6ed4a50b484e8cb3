"""Debian's Chromium, driven over its DevTools protocol: what the page really does with what it is given."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import anyio
from anyio import to_thread

CHROMIUM = shutil.which("chromium")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--remote-debugging-port=0",
)  # fmt: skip


class Tab:
    """One page. `messages` are what it wrote to its console, and the errors that nobody caught."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._number = 0
        self.messages: list[str] = []

    async def call(self, method: str, **params: Any) -> Any:
        message = await self._ask(method, params)
        assert "error" not in message, message
        return message["result"]

    async def _ask(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        self._number += 1
        await self._socket.send_json({"id": self._number, "method": method, "params": params})
        with anyio.fail_after(30):
            while True:
                message: dict[str, Any] = json.loads((await self._socket.receive()).data)
                self._note(message)
                if message.get("id") == self._number:
                    return message

    def _note(self, message: dict[str, Any]) -> None:
        if message.get("method") in ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded"):
            self.messages.append(json.dumps(message["params"]))

    async def evaluate(self, expression: str) -> Any:
        result = await self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    async def until(self, expression: str) -> None:
        """Wait until an expression is true, in this page or the one that comes next."""
        script = f"new Promise((done) => setTimeout(() => done(Boolean({expression})), 20))"
        with anyio.fail_after(20):
            while True:
                message = await self._ask("Runtime.evaluate", {"expression": script, "awaitPromise": True})
                if message.get("result", {}).get("result", {}).get("value") is True:
                    return

    async def open(self, url: str, *, width: int = 1280, height: int = 900, dark: bool = False) -> None:
        await self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await self.call("Emulation.setEmulatedMedia", features=[scheme])
        await self.call("Page.navigate", url=url)
        await self.until(f"document.readyState === 'complete' && location.href.startsWith({json.dumps(url)})")

    async def screenshot(self, path: Path) -> None:
        height = await self.evaluate("document.documentElement.scrollHeight")
        width = await self.evaluate("innerWidth")
        clip = {"x": 0, "y": 0, "width": width, "height": min(height, 4000), "scale": 1}
        result = await self.call("Page.captureScreenshot", clip=clip, captureBeyondViewport=True)
        await anyio.Path(path).write_bytes(base64.b64decode(result["data"]))


@asynccontextmanager
async def open_tab() -> AsyncIterator[Tab]:
    """A new browser with nothing in it."""
    assert CHROMIUM is not None
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = subprocess.Popen(  # noqa: ASYNC220 - its lines are read in a thread
            [CHROMIUM, *FLAGS, f"--user-data-dir={profile}", "about:blank"],
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
        )
        assert process.stderr is not None
        try:
            with anyio.fail_after(60):
                port = await to_thread.run_sync(_port, process.stderr, abandon_on_cancel=True)
            async with aiohttp.ClientSession() as session:
                async with session.get(f"http://127.0.0.1:{port}/json/list") as answer:
                    (page,) = [one for one in await answer.json(content_type=None) if one["type"] == "page"]
                async with session.ws_connect(page["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                    tab = Tab(socket)
                    for domain in ("Runtime", "Page", "Log"):
                        await tab.call(f"{domain}.enable")
                    yield tab
        finally:
            process.terminate()
            await to_thread.run_sync(process.wait)
            process.stderr.close()


def _port(lines: Any) -> str:
    for line in lines:
        if found := re.search(r"DevTools listening on ws://[^:]+:(\d+)/", line):
            return found[1]
    raise AssertionError("Chromium ended")
