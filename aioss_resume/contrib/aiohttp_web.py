"""Responses of aiohttp.web that send objects."""

from typing import Any, Unpack

from aiohttp import web

from aioss_resume.contrib._serving import serve
from aioss_resume.downloader import Downloader
from aioss_resume.options import StreamKeywords
from aioss_resume.urls import SignedURL


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
    returns it.

    Args:
        request: The client's request.
        downloader: An open Downloader: create it in a cleanup context of the application.
        key: The object's key, or a SignedURL.
        filename: The name under which a browser saves the object; None to let the browser decide.
        keywords: As for `Downloader.stream()`. `window`, the bytes kept in memory for this response, defaults to 1 MiB.

    Raises:
        ConfigError: An argument is invalid.
        AiossError: The object could not be fetched completely. aiohttp then cuts the client's connection.
    """
    asked = {name.lower(): value for name, value in request.headers.items()}
    options: dict[str, Any] = dict(keywords)  # Any: they are of many types
    async with serve(downloader, key, request.method, asked, filename=filename, keywords=options) as answer:
        response = web.StreamResponse(status=answer.status, headers=answer.headers)
        length = response.headers.get("content-length")
        if length is not None:
            response.content_length = int(length)
        await response.prepare(request)
        if request.method != "HEAD":
            async for chunk in answer.body:
                await response.write(chunk)
        await response.write_eof()
    return response
