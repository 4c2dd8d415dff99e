"""Responses of Starlette and FastAPI that send objects. Extra: `starlette`."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Unpack

import anyio

from aioss_resume.contrib._extras import extra
from aioss_resume.contrib._serving import Response, check_arguments, serve
from aioss_resume.downloader import Downloader
from aioss_resume.errors import plain
from aioss_resume.options import StreamKeywords
from aioss_resume.urls import SignedURL

_responses = extra("starlette.responses", "starlette")

# As ASGI has them. Any: the values of messages are of many types.
Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class ObjectResponse(_responses.Response):  # type: ignore[name-defined, misc]  # the package is an extra
    """Sends an object of OSS, or the requested ranges of it, without storing it.

    It handles GET and HEAD with Range, If-Range, If-Match, If-None-Match, If-Modified-Since and If-Unmodified-Since as
    in RFC 9110: 200, 206, 304, 412 and 416. If the object cannot be fetched, it responds with 404, 403, 502, or 503
    with Retry-After. If that happens in the middle of the body, it cuts the connection, so that no client mistakes a
    part for the whole. When the client disconnects, fetching ends. The HTTP headers that are stored with the object,
    such as Cache-Control, are sent on; `response.headers` adds to them or replaces them.

    Args:
        downloader: It must be open while the response is sent: create it in the application's lifespan.
        key: The object's key, or a SignedURL.
        request: Not needed: the request is taken from the ASGI scope.
        filename: The name under which a browser saves the object; None: the object's own Content-Disposition, if any.
        background: A Starlette background task.
        keywords: As for `Downloader.stream()`. `window`, the bytes kept in memory for this response, defaults to 1 MiB.

    Raises:
        TypeError: A keyword is unknown.
        ConfigError: An argument is invalid, or starlette is not installed.
    """

    def __init__(
        self,
        downloader: Downloader,
        key: str | SignedURL,
        request: Any = None,  # noqa: ARG002
        *,
        filename: str | None = None,
        background: Any = None,  # Any: the package is an extra
        **keywords: Unpack[StreamKeywords],
    ) -> None:
        check_arguments("ObjectResponse", downloader, key, filename, keywords)
        self.status_code = 200
        self.background = background
        self.body = b""
        self.init_headers()
        del self.headers["content-length"]
        self._downloader = downloader
        self._key = key
        self._filename = filename
        self._keywords = keywords

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the response. Called by the ASGI server."""
        problem: BaseException | None = None
        try:
            async with anyio.create_task_group() as group:

                async def leave_with_the_client() -> None:
                    while (await receive())["type"] != "http.disconnect":
                        pass
                    group.cancel_scope.cancel()

                group.start_soon(leave_with_the_client)
                await self._send(scope, send)
                group.cancel_scope.cancel()
        except BaseExceptionGroup as errors:
            problem = plain(errors)
        if problem is not None:  # raised here, so that the group is not its context
            raise problem
        if self.background is not None:
            await self.background()

    async def _send(self, scope: Scope, send: Send) -> None:
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        method = scope["method"].upper()
        async with serve(
            self._downloader, self._key, method, headers, filename=self._filename, keywords=self._keywords
        ) as response:
            self.status_code = response.status
            await send({"type": "http.response.start", "status": response.status, "headers": self._all(response)})
            if method != "HEAD":
                async for chunk in response.body:
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    def _all(self, response: Response) -> list[tuple[bytes, bytes]]:
        given = {name for name, _ in self.raw_headers}
        ours = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in response.headers]
        return [*self.raw_headers, *(pair for pair in ours if pair[0] not in given)]
