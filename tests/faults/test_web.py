"""W: objects served by a web service."""
# ruff: noqa: N802

import asyncio
import contextlib
import os
import re
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from contrib.serving import ask, serving
from flow.ranged import QUICK, whole
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse
from starlette.routing import Route

from aioss_resume import ConfigError, Downloader, SignedURL
from aioss_resume.contrib.aiohttp_web import object_response
from aioss_resume.contrib.starlette import ObjectResponse
from aioss_resume.testing import LocalOSS, MiB

SIZE = 300_000

pytestmark = pytest.mark.usefixtures("reads_may_begin_anywhere")


@pytest.fixture
def port(oss: LocalOSS, bucket: Any, tmp_path: Path) -> Iterator[int]:
    """A service with the same bytes as an object of OSS (/object) and as a file (/file)."""
    oss.put("examplebucket", "key", size=SIZE, seed=1, headers={"Content-Type": "video/mp4"})
    file = tmp_path / "file.mp4"
    file.write_bytes(whole(SIZE))
    os.utime(file, (1_000_000_000, 1_000_000_000))

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with Downloader(bucket) as downloader:
            app.state.downloader = downloader
            yield

    async def send_object(request: Request) -> ObjectResponse:
        query = request.query_params
        return ObjectResponse(
            request.app.state.downloader,
            query.get("key", "key"),
            request,
            filename=query.get("filename"),
            params={name: value for name, value in query.items() if name.startswith("response-")},
            retry=QUICK,
        )

    async def send_file(_: Request) -> FileResponse:
        return FileResponse(file, media_type="video/mp4")

    methods = ["GET", "HEAD", "OPTIONS", "POST"]
    routes = [Route("/object", send_object, methods=methods), Route("/file", send_file)]
    with serving(Starlette(routes=routes, lifespan=lifespan)) as found:
        yield found


SAME_AS_FILES = [
    None, "bytes=0-0", "bytes=0-99", "bytes=100-", "bytes=-100", "bytes=-1", "bytes=299999-", "bytes=299999-300000",
    "bytes=0-299999", "bytes=0-", "bytes=-300000", "bytes=-999999", "bytes=300000-", "bytes=999999-1000000", "bytes=-0",
    "bytes=0-9,20-29", "bytes=20-29, 0-9", "bytes=0-9,5-20,100-110", "bytes=0-0,-1", "bytes=a-b", "bytes=", "bytes=5-3",
    "bytes=1-5,1-5", "bytes=0-999999999999999999999",
]  # fmt: skip


def without_boundary(headers: dict[str, str], body: bytes) -> tuple[dict[str, str], bytes]:
    """The boundary of a multipart body is chance."""
    if found := re.search(r"boundary=(\w+)", headers.get("content-type", "")):
        body = body.replace(found[1].encode(), b"B")
        headers = {**headers, "content-type": headers["content-type"].replace(found[1], "B")}
    return headers, body


@pytest.mark.parametrize("range_", SAME_AS_FILES)
def test_W01_ranges_are_answered_as_starlettes_own_files_are(port: int, range_: str | None) -> None:
    headers = {} if range_ is None else {"Range": range_}
    ours, theirs = ask(port, "/object", **headers), ask(port, "/file", **headers)
    assert ours[0] == theirs[0]
    our_headers, our_body = without_boundary(*ours[1:])
    their_headers, their_body = without_boundary(*theirs[1:])
    compared = ["content-type", "content-range", "accept-ranges"] + ["content-length"] * (ours[0] != 400)
    assert [our_headers.get(name) for name in compared] == [their_headers.get(name) for name in compared]
    if ours[0] != 400:  # both say in their own words what is malformed
        assert our_body == their_body
    if ours[0] in (200, 206):
        assert our_headers["etag"]
        assert our_headers["last-modified"]


def test_W01_if_range_decides_between_the_range_and_the_whole(port: int, oss: LocalOSS) -> None:
    headers = ask(port, "/object", "HEAD")[1]
    for condition in (headers["etag"], headers["last-modified"]):
        assert ask(port, "/object", Range="bytes=0-9", If_Range=condition)[0] == 206
    for condition in ('"other"', "W/" + headers["etag"], "Sun, 06 Nov 1994 08:49:37 GMT"):
        status, _, body = ask(port, "/object", Range="bytes=0-9", If_Range=condition)
        assert (status, len(body)) == (200, SIZE)
    assert oss.requests


def test_W01_range_of_an_unknown_unit_is_ignored(port: int) -> None:
    assert ask(port, "/object", Range="items=0-9")[0] == 200


def test_W02_head_has_the_headers_and_no_body(port: int) -> None:
    status, headers, body = ask(port, "/object", "HEAD", Range="bytes=0-9")
    assert (status, headers["content-length"], body) == (200, str(SIZE), b"")
    assert headers["content-type"] == "video/mp4"


def test_W02_not_modified_has_no_body(port: int) -> None:
    headers = ask(port, "/object", "HEAD")[1]
    for condition in (
        {"If_None_Match": headers["etag"]},
        {"If_None_Match": "*"},
        {"If_Modified_Since": headers["last-modified"]},
    ):
        status, found, body = ask(port, "/object", **condition)
        assert (status, body, found["etag"]) == (304, b"", headers["etag"])
    assert ask(port, "/object", If_Match='"other"')[0] == 412


def test_W02_other_methods_are_told_what_is_allowed(port: int) -> None:
    assert ask(port, "/object", "OPTIONS")[0] == 204
    status, headers, _ = ask(port, "/object", "POST")
    assert (status, headers["allow"]) == (405, "GET, HEAD, OPTIONS")


def test_W03_failure_before_the_first_byte_is_a_status(port: int, oss: LocalOSS) -> None:
    assert ask(port, "/object?key=missing")[0] == 404
    oss.faults.status(403, times=1)
    assert ask(port, "/object")[0] == 403
    oss.faults.status(500, times=6)
    assert ask(port, "/object")[0] == 502
    oss.faults.status(503, times=6, retry_after=0)
    status, headers, body = ask(port, "/object")
    assert (status, headers["retry-after"]) == (503, "1")
    assert b"oss" not in body.lower()


@pytest.mark.parametrize("key", ["x" * 1024, "/etc/passwd", "%5Cx", "a/../key"])
def test_W03_key_that_no_object_can_have_is_not_found(port: int, key: str) -> None:
    assert ask(port, f"/object?key={key}")[0] == 404


def test_W03_failure_after_some_bytes_cuts_the_connection(port: int, oss: LocalOSS) -> None:
    oss.put("examplebucket", "large", size=8 * MiB, seed=1)
    oss.faults.delete_object(after_requests=4, key="large")
    with pytest.raises(ConnectionError):
        ask(port, "/object?key=large")


def test_W03_wrong_bytes_never_end_cleanly(port: int, oss: LocalOSS) -> None:
    oss.faults.flip_bit(100, times=None)
    with pytest.raises(ConnectionError):
        ask(port, "/object")


@pytest.mark.parametrize("filename", ["plain.txt", "a%0D%0ASet-Cookie:x=1", "Z%C3%BCrich%22.txt"])
def test_W04_file_name_adds_no_header(port: int, filename: str) -> None:
    status, headers, _ = ask(port, f"/object?filename={filename}")
    assert status == 200
    assert headers["content-disposition"].startswith("attachment; filename")
    assert "set-cookie" not in headers


def test_W04_headers_stored_with_the_object_or_set_by_the_request_reach_the_client(port: int, oss: LocalOSS) -> None:
    stored = {"Cache-Control": "max-age=60", "Content-Disposition": "inline", "Content-Language": "de"}
    oss.put("examplebucket", "page", b"bytes", headers=stored)
    for range_ in ({}, {"Range": "bytes=1-2"}):
        _, headers, _ = ask(port, "/object?key=page&response-expires=0&response-content-language=ja", **range_)
        assert headers["cache-control"] == "max-age=60"
        assert headers["content-disposition"] == "inline"
        assert headers["content-language"] == "ja"
        assert headers["expires"] == "0"
    assert ask(port, "/object?key=page&filename=a.txt")[1]["content-disposition"] == 'attachment; filename="a.txt"'


def test_W05_client_that_leaves_closes_what_is_upstream(port: int, oss: LocalOSS) -> None:
    oss.put("examplebucket", "large", size=400 * MiB, seed=1)
    clients = [socket.create_connection(("127.0.0.1", port)) for _ in range(20)]
    for client in clients:
        client.sendall(b"GET /object?key=large HTTP/1.1\r\nHost: x\r\n\r\n")
        assert client.recv(100).startswith(b"HTTP/1.1 200")
    for client in clients[::2]:
        client.close()
    # The other clients read nothing more, so fetching for them must stop at some point.
    records, before = oss.requests, -1
    while len(records) != before or not all(record.is_finished for record in records):
        before = len(records)
        with contextlib.suppress(TimeoutError):
            oss.wait_for_requests(before + 1, timeout=0.5)
        records = oss.requests
    assert sum(record.bytes_sent for record in records) < 20 * 16 * MiB  # socket buffers hold some of it
    for client in clients[1::2]:
        client.close()


@contextlib.asynccontextmanager
async def aiohttp_service(handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> AsyncIterator[int]:
    """A service of aiohttp.web with that handler at /object. Yields its port."""
    app = web.Application()
    app.router.add_get("/object", handler)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    assert site._server is not None
    try:
        yield site._server.sockets[0].getsockname()[1]  # type: ignore[attr-defined]
    finally:
        await runner.cleanup()


@pytest.mark.anyio
async def test_W01_aiohttp_web_answers_alike(oss: LocalOSS, bucket: Any) -> None:
    oss.put("examplebucket", "key", size=SIZE, seed=1)
    content = whole(SIZE)
    async with Downloader(bucket) as downloader:

        async def send(request: web.Request) -> web.StreamResponse:
            return await object_response(
                request, downloader, request.query.get("key", "key"), filename="x.bin", retry=QUICK
            )

        async with aiohttp_service(send) as port, aiohttp.ClientSession() as session:
            url = f"http://127.0.0.1:{port}/object"
            for range_, status, expected in [
                (None, 200, content),
                ("bytes=5-9", 206, content[5:10]),
                ("bytes=-7", 206, content[-7:]),
                ("bytes=999999-", 416, b""),
            ]:
                async with session.get(url, headers={"Range": range_} if range_ else {}) as response:
                    assert (response.status, await response.read()) == (status, expected)
            async with session.head(url) as response:
                assert response.headers["Content-Length"] == str(SIZE)
            async with session.get(url, params={"key": "missing"}) as response:
                assert response.status == 404
            oss.faults.flip_bit(100, times=None)
            with pytest.raises(aiohttp.ClientError):
                async with session.get(url) as response:
                    await response.read()


@pytest.mark.anyio
@pytest.mark.parametrize("upstream", ["sends all", "never answers", "stalls"])
async def test_W05_aiohttp_web_cancels_its_requests_when_the_client_disconnects(
    oss: LocalOSS, bucket: Any, caplog: pytest.LogCaptureFixture, upstream: str
) -> None:
    oss.put("examplebucket", "key", size=400 * MiB, seed=1)
    if upstream == "never answers":
        oss.faults.never_answer(times=None)
    elif upstream == "stalls":
        oss.faults.stall(1000, times=None)
    ended = asyncio.Event()
    async with Downloader(bucket) as downloader:

        async def send(request: web.Request) -> web.StreamResponse:
            try:
                return await object_response(request, downloader, "key")
            finally:
                ended.set()

        async with aiohttp_service(send) as port:
            response, client = await asyncio.open_connection("127.0.0.1", port)
            client.write(b"GET /object HTTP/1.1\r\nHost: x\r\n\r\n")
            if upstream == "never answers":
                await asyncio.to_thread(oss.wait_for_requests, 1)
            else:
                await response.readexactly(1000)
            client.close()
            async with asyncio.timeout(20):  # a request that stalls is given up after 30 s only
                await ended.wait()
                while not all(record.is_finished for record in oss.requests):  # noqa: ASYNC110  # of a server in another thread
                    await asyncio.sleep(0.01)
    oss.faults.clear()
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


@pytest.mark.anyio
async def test_W05_nothing_is_fetched_any_more_when_the_response_of_a_client_that_left_has_ended(
    oss: LocalOSS, bucket: Any
) -> None:
    oss.put("examplebucket", "key", size=400 * MiB, seed=1)
    left: asyncio.Future[list[str]] = asyncio.get_running_loop().create_future()
    async with Downloader(bucket) as downloader:

        async def send(request: web.Request) -> web.StreamResponse:
            try:
                return await object_response(request, downloader, "key")
            finally:
                names = [task.get_name() for task in asyncio.all_tasks()]
                left.set_result([name for name in names if name.startswith("aioss_resume: ")])

        async with aiohttp_service(send) as port:
            response, client = await asyncio.open_connection("127.0.0.1", port)
            client.write(b"GET /object HTTP/1.1\r\nHost: x\r\nRange: bytes=0-99,1000-\r\n\r\n")
            assert b"multipart/byteranges" in await response.readuntil(b"\r\n\r\n")
            await response.readexactly(100_000)
            client.close()
            async with asyncio.timeout(20):
                assert await left == []


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"downloader": None}, "downloader must be a Downloader, not NoneType"),
        ({"key": None}, "key must be a string, a SignedURL or an ObjectMeta, not NoneType"),
        ({"filename": 5}, "filename must be a string, not int"),
        ({"windw": 5}, r"ObjectResponse\(\) got an unexpected keyword argument 'windw'; did you mean 'window'"),
        ({"filname": "a"}, "did you mean 'filename'"),
        ({"start": 5}, "unexpected keyword argument 'start'"),
        ({"window": 0}, "window"),
    ],
)
async def test_W03_invalid_argument_raises_when_the_response_is_created(
    bucket: Any, arguments: dict[str, Any], message: str
) -> None:
    async with Downloader(bucket) as downloader:
        with pytest.raises((TypeError, ConfigError), match=message):
            ObjectResponse(**{"downloader": downloader, "key": "key", **arguments})


@pytest.mark.anyio
async def test_W01_presigned_address_is_served_too(oss: LocalOSS, bucket: Any) -> None:
    from flow.presigned import presigned

    oss.put("examplebucket", "key", size=SIZE, seed=1)
    sent: list[Any] = []

    async def receive() -> Any:
        await asyncio.sleep(3600)

    async def send(message: Any) -> None:
        sent.append(message)

    async with Downloader(None) as downloader:
        scope = {"type": "http", "method": "GET", "headers": [(b"range", b"bytes=0-9")]}
        await ObjectResponse(downloader, SignedURL(presigned(bucket)))(scope, receive, send)
    assert sent[0]["status"] == 206
    assert b"".join(message.get("body", b"") for message in sent) == whole(SIZE)[:10]
