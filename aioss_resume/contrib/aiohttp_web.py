"""Objects as responses of aiohttp.web."""

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
    """Send an object of OSS, or the ranges of it that the client asks for, without keeping it.

    As `aioss_resume.contrib.starlette.ObjectResponse`. It has been sent when this returns; a handler returns it.

    Args:
        request: The client's.
        downloader: It must be open: make it in a cleanup context of the application.
        key: The object's, or a SignedURL.
        filename: The name under which a browser saves it; None: it decides itself.
        keywords: As `Downloader.stream()`; `window`, the bytes kept for this response, is 1 MiB here.

    Raises:
        ConfigError: An argument that cannot be.
        AiossError: The object could not be had to its end. aiohttp cuts the client's connection then.
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
