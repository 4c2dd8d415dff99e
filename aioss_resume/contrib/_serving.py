"""Serve an object as an HTTP response, independent of the web framework."""

import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, Final

from aioss_resume._arguments import checked_options, object_name
from aioss_resume._core.objects import ObjectMeta
from aioss_resume._core.ranges import ContentRange, MalformedRangeError, Range
from aioss_resume._core.serving import (
    CONDITIONS,
    Headers,
    error_status,
    multipart_heads,
    object_headers,
    precondition_status,
    range_holds,
    read_ranges,
    satisfiable,
)
from aioss_resume._core.slices import Slice
from aioss_resume._stream.stream import ObjectStream
from aioss_resume.downloader import Downloader
from aioss_resume.errors import AiossError, ConfigError, ObjectChangedError
from aioss_resume.options import StreamOptions
from aioss_resume.urls import SignedURL

WINDOW: Final = 1024 * 1024
"""Bytes kept for each response: a server has many clients, and most of them are slower than OSS."""

_PLAIN: Final = ("content-type", "text/plain; charset=utf-8")
_PHRASES: Final = {
    400: "Bad Request", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed", 412: "Precondition Failed",
    502: "Bad Gateway", 503: "Service Unavailable",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Response:
    """The response to send.

    Attributes:
        headers: Headers with names in lower case.
        body: The chunks of the body. If an error is raised between them, the connection must be cut.
    """

    status: int
    headers: Headers
    body: AsyncGenerator[bytes, None]


def check_arguments(
    function: str, downloader: Any, key: Any, filename: Any, keywords: Mapping[str, Any]
) -> None:  # Any: they are checked here
    """Check the arguments of a response before anything is sent.

    Raises:
        TypeError: A keyword is unknown.
        ConfigError: A value is invalid.
    """
    if not isinstance(downloader, Downloader):
        raise ConfigError(f"downloader must be a Downloader, not {type(downloader).__name__}")
    if not isinstance(key, str | SignedURL | ObjectMeta):
        raise ConfigError(f"key must be a string, a SignedURL or an ObjectMeta, not {type(key).__name__}")
    if filename is not None and not isinstance(filename, str):
        raise ConfigError(f"filename must be a string, not {type(filename).__name__}")
    checked_options(StreamOptions, function, keywords, "filename")


@asynccontextmanager
async def serve(
    downloader: Downloader,
    key: str | SignedURL,
    method: str,
    headers: Mapping[str, str],
    *,
    filename: str | None,
    keywords: Mapping[str, Any],  # Any: those of stream()
) -> AsyncIterator[Response]:
    """Open the response to a request for an object. Leaving the block closes all requests to OSS.

    Args:
        headers: The request's headers, with names in lower case.

    Raises:
        ConfigError: An argument is invalid.
    """
    keywords = {"window": WINDOW, **keywords}
    if method == "OPTIONS":
        yield _bodiless(204, [("allow", "GET, HEAD, OPTIONS")])
        return
    if method not in ("GET", "HEAD"):
        yield _text(405, [("allow", "GET, HEAD, OPTIONS")])
        return
    try:
        slices = read_ranges(headers.get("range")) if method == "GET" else None
    except MalformedRangeError as error:
        yield _text(400, [], str(error))
        return
    if isinstance(key, str) and not _can_be(key):  # the key may come from the client, so it is not a ConfigError
        yield _text(404, [])
        return
    try:
        opened = await _open(downloader, key, method, headers, slices, keywords)
    except ConfigError:
        raise
    except AiossError as error:
        status, more = error_status(error)
        yield _text(status, more)
        return
    try:
        response = opened.response(filename)
        async with aclosing(response.body):
            yield response
    finally:
        await opened.close()


def _can_be(key: str) -> bool:
    """Whether OSS allows objects with that key."""
    try:
        object_name("", key)
    except ConfigError:
        return False
    return True


@dataclass(frozen=True, slots=True)
class _Opened:
    """The object, and the body to send: none, one stream, or several ranges."""

    downloader: Downloader
    key: str | SignedURL
    keywords: Mapping[str, Any]
    meta: ObjectMeta
    status: int
    ranges: list[Range]
    stream: ObjectStream | None = None

    def response(self, filename: str | None) -> Response:
        meta, headers = self.meta, object_headers(self.meta, filename)
        if self.status == 304:
            return _bodiless(304, headers)
        if self.status == 412:
            return _text(412, [])
        if self.status == 416:
            return _text(416, [("content-range", f"bytes */{meta.size}")], "")
        if len(self.ranges) > 1:
            return self._multipart(headers)
        (range_,) = self.ranges
        if self.status == 206:
            headers.append(("content-range", ContentRange(range_, meta.size).header()))
        headers.append(("content-length", str(range_.length)))
        return Response(self.status, headers, _chunks(self.stream))

    async def close(self) -> None:
        if self.stream is not None:
            await self.stream.__aexit__(None, None, None)

    def _multipart(self, headers: Headers) -> Response:
        boundary, content_type = secrets.token_hex(13), dict(headers)["content-type"]
        heads, end = multipart_heads(self.ranges, self.meta.size, content_type, boundary)
        length = sum(map(len, heads)) + len(end) + sum(range_.length for range_ in self.ranges)
        headers = [pair for pair in headers if pair[0] != "content-type"]
        headers += [
            ("content-type", f"multipart/byteranges; boundary={boundary}"),
            ("content-length", str(length)),
        ]
        return Response(206, headers, self._parts(heads, end))

    async def _parts(self, heads: list[bytes], end: bytes) -> AsyncGenerator[bytes, None]:
        for head, range_ in zip(heads, self.ranges, strict=True):
            yield head
            async with self.downloader.stream(self.key, *range_, **self.keywords) as stream:
                if stream.meta.etag != self.meta.etag or stream.meta.size != self.meta.size:
                    raise ObjectChangedError("the object was replaced while its ranges were sent")
                async for chunk in stream:
                    yield chunk
        yield end


async def _open(
    downloader: Downloader,
    key: str | SignedURL,
    method: str,
    headers: Mapping[str, str],
    slices: list[Slice] | None,
    keywords: Mapping[str, Any],
) -> _Opened:
    """Decide what to send, with as few requests to OSS as possible."""
    asked = {name: keywords[name] for name in ("version_id", "headers", "params") if keywords.get(name)}
    if method == "HEAD" or any(name in headers for name in CONDITIONS) or (slices and len(slices) > 1):
        meta = await downloader.head(key, **asked)
        opened = _Opened(downloader, key, keywords, meta, 200, [Range(0, meta.size)])
        if (status := precondition_status(headers, meta)) is not None:
            return replace(opened, status=status)
        if slices and not range_holds(headers, meta):
            slices = None
        if slices and len(slices) > 1:
            ranges = satisfiable(slices, meta.size)
            if len(ranges) != 1:
                return replace(opened, status=206 if ranges else 416, ranges=ranges)
            slices = [Slice(*ranges[0])]
        if method == "HEAD":
            return opened
    start, stop = (slices[0].start, slices[0].stop) if slices else (None, None)
    stream = await downloader.stream(key, start, stop, **keywords).__aenter__()
    opened = _Opened(downloader, key, keywords, stream.meta, 200, [Range(0, stream.meta.size)], stream)
    if not slices:
        return opened
    ranges = satisfiable(slices, stream.meta.size)
    return replace(opened, status=206 if ranges else 416, ranges=ranges)


async def _chunks(stream: ObjectStream | None) -> AsyncGenerator[bytes, None]:
    if stream is not None:
        async for chunk in stream:
            yield chunk


async def _one(chunk: bytes) -> AsyncGenerator[bytes, None]:
    if chunk:
        yield chunk


def _bodiless(status: int, headers: Headers) -> Response:
    return Response(status, headers, _one(b""))


def _text(status: int, headers: Headers, text: str | None = None) -> Response:
    body = (_PHRASES[status] if text is None else text).encode()
    return Response(status, [*headers, _PLAIN, ("content-length", str(len(body)))], _one(body))
