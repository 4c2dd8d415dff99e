"""Responses of aiohttp.web that send objects."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final, Unpack

import anyio
from aiohttp import web

from aioss_resume.contrib._serving import Response, check_arguments, serve
from aioss_resume.downloader import Downloader
from aioss_resume.options import StreamKeywords
from aioss_resume.urls import SignedURL

_LOOK_SECONDS: Final = 0.05
_CLIENT_LEFT: Final = 499  # the status that nginx logs for it; the client never receives it


async def object_response(
    request: web.Request,
    downloader: Downloader,
    key: str | SignedURL,
    *,
    filename: str | None = None,
    **keywords: Unpack[StreamKeywords],
) -> web.StreamResponse:
    """Send an object of OSS, or the requested ranges of it, without storing it.

    Like `aioss_resume.contrib.starlette.ObjectResponse`. The response has been sent when this returns; a handler
    returns it. When the client disconnects, fetching ends within a tenth of a second, and this returns as if all had
    been sent.

    Args:
        request: The client's request.
        downloader: An open Downloader: create it in a cleanup context of the application.
        key: The object's key, or a SignedURL.
        filename: The name under which a browser saves the object; None: the object's own Content-Disposition, if any.
        keywords: As for `Downloader.stream()`. `window`, the bytes kept in memory for this response, defaults to 1 MiB.

    Raises:
        TypeError: A keyword is unknown.
        ConfigError: An argument is invalid.
        AiossError: The object could not be fetched completely. aiohttp then cuts the client's connection.
    """
    check_arguments("object_response", downloader, key, filename, keywords)
    asked = {name.lower(): value for name, value in request.headers.items()}
    options: dict[str, Any] = dict(keywords)  # Any: they are of many types
    response = web.StreamResponse(status=_CLIENT_LEFT)
    with _ended_when_the_client_leaves(request):
        async with serve(downloader, key, request.method, asked, filename=filename, keywords=options) as answer:
            response = web.StreamResponse(status=answer.status, headers=answer.headers)
            await _send(request, response, answer)
    return response


async def _send(request: web.Request, response: web.StreamResponse, answer: Response) -> None:
    length = response.headers.get("content-length")
    if length is not None:
        response.content_length = int(length)
    # It is not an error of the handler if the client disconnects. A ConnectionError of `answer.body` is not caught: it
    # comes from the caller's own code, such as the `refresh` function of a SignedURL.
    with suppress(ConnectionError):
        await response.prepare(request)
    if request.method != "HEAD":
        async for chunk in answer.body:
            try:
                await response.write(chunk)
            except ConnectionError:
                return
    with suppress(ConnectionError):
        await response.write_eof()


@contextmanager
def _ended_when_the_client_leaves(request: web.Request) -> Iterator[None]:
    """Cancel the block when the client disconnects.

    aiohttp.web tells a handler only when it writes, and a handler that waits for OSS has nothing to write.
    """
    with anyio.CancelScope() as scope:
        watch = _Watch(request, scope)
        try:
            yield
        finally:
            watch.end()


class _Watch:
    """Checks the client's connection every _LOOK_SECONDS, and cancels a scope when it is closed.

    It uses a timer because a task costs more, and a server may have a thousand slow clients.
    """

    def __init__(self, request: web.Request, scope: anyio.CancelScope) -> None:
        self._request = request
        self._scope = scope
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(_LOOK_SECONDS, self._look)

    def end(self) -> None:
        self._timer.cancel()

    def _look(self) -> None:
        transport = self._request.transport
        if transport is None or transport.is_closing():
            self._scope.cancel()
        else:
            self._timer = self._loop.call_later(_LOOK_SECONDS, self._look)
