"""A headless Chromium, driven over its DevTools protocol."""

import asyncio
import base64
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Page:
    """One page. Source: chromedevtools.github.io/devtools-protocol."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._session: str | None = None
        self._last = 0

    async def open(self, url: str) -> None:
        target = (await self._call("Target.createTarget", url="about:blank"))["targetId"]
        self._session = (await self._call("Target.attachToTarget", targetId=target, flatten=True))["sessionId"]
        await self._call("Page.navigate", url=url)
        await self.wait_for("document.readyState === 'complete' && location.href !== 'about:blank'")

    async def run(self, expression: str) -> Any:  # Any: JSON
        """The value of an expression of JavaScript."""
        answer = await self._call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    async def wait_for(self, condition: str) -> None:
        """Wait until an expression is true: it is looked at again and again."""
        async with asyncio.timeout(30):
            while not await self.run(f"Boolean({condition})"):  # noqa: ASYNC110
                await asyncio.sleep(0.02)  # the page is another process, and has no event of ours

    async def screenshot(self, path: Path) -> None:
        path.write_bytes(base64.b64decode((await self._call("Page.captureScreenshot"))["data"]))

    async def _call(self, method: str, **params: Any) -> dict[str, Any]:
        self._last += 1
        message = {"id": self._last, "method": method, "params": params}
        await self._socket.send_json(message | ({"sessionId": self._session} if self._session else {}))
        while True:
            answer = await self._socket.receive_json(timeout=30)
            if answer.get("id") == self._last:
                assert "error" not in answer, answer
                return answer["result"]


@asynccontextmanager
async def chromium(profile: Path) -> AsyncIterator[Page]:
    """A page of a new browser, with an empty profile in that directory."""
    assert CHROMIUM is not None
    process = await asyncio.create_subprocess_exec(
        CHROMIUM,
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--remote-debugging-port=0",
        f"--user-data-dir={profile}",
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    try:
        async with asyncio.timeout(60):
            while not (found := re.search(rb"DevTools listening on (ws://\S+)", await process.stderr.readline())):
                assert process.returncode is None, "Chromium did not start"
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(found[1].decode(), max_msg_size=0) as socket,
        ):
            yield Page(socket)
    finally:
        process.kill()
        await process.wait()
