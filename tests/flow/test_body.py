"""The bytes of a body, by both ways to them and on both event loops: all of them, and the connection is kept."""

import asyncio
import os
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from aioss_resume import Downloader
from aioss_resume._io.body import _DirectBody, _ReaderBody, body_of
from aioss_resume._io.clock import Clock
from aioss_resume.testing import KiB, LocalOSS, MiB

pytestmark = pytest.mark.anyio

SIZE = 3 * MiB + 17
KEYWORDS: dict[str, Any] = {"part_size": MiB, "multiget_threshold": MiB, "fsync": False}


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    return "asyncio", {"use_uvloop": request.param}


@pytest.fixture(autouse=True)
def nothing_is_left_behind() -> None:
    """Not asked here: uvloop opens descriptors of its own when it pleases."""


@pytest.fixture
def oss(oss_of_both_schemes: LocalOSS) -> LocalOSS:
    return oss_of_both_schemes


@pytest.fixture
async def session(trusting: ssl.SSLContext) -> AsyncIterator[aiohttp.ClientSession]:
    before = _sockets()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trusting)) as opened:
        yield opened
    for _ in range(100):  # aiohttp 3.11 leaves the ends of TLS connections to the loop
        if len(_sockets()) <= len(before):
            break
        await asyncio.sleep(0.005)


def _sockets() -> list[str]:
    return [number for number in os.listdir("/proc/self/fd") if _is_socket(number)]


def _is_socket(number: str) -> bool:
    try:
        return os.readlink(f"/proc/self/fd/{number}").startswith("socket:")
    except FileNotFoundError:  # that of the listing itself
        return False


@pytest.fixture
def url(oss: LocalOSS, bucket: Any) -> str:
    oss.put("examplebucket", "key", size=SIZE, seed=1)
    signed: str = bucket.sign_url("GET", "key", 600)
    return signed


class Filled:
    """A buffer that is filled by pieces, and what came into it."""

    def __init__(self, size: int) -> None:
        self.buffer = bytearray(size)
        self.length = 0
        self.enough = size

    async def fill(self, body: Any, most: int) -> None:
        await body.fill(memoryview(self.buffer)[self.length :][:most], self._count)

    def _count(self, length: int, _now: float) -> bool:
        self.length += length
        return self.length < self.enough


async def opened(session: aiohttp.ClientSession, url: str) -> aiohttp.ClientResponse:
    return await session.get(url, auto_decompress=False)


async def begun(session: aiohttp.ClientSession, url: str) -> tuple[Any, Filled]:
    """The body of a response, of which nothing has been received, and the buffer for it."""
    return body_of(await opened(session, url), SIZE, 30, Clock()), Filled(SIZE)


async def received_twice(oss: LocalOSS, session: aiohttp.ClientSession, url: str, length: int | None) -> list[type]:
    """The ways on which all bytes of two bodies came, one behind the other over one connection."""
    ways = []
    for _ in range(2):
        response = await opened(session, url)
        body, found = body_of(response, length, 30, Clock()), Filled(SIZE)
        ways.append(type(body))
        while found.length < SIZE:
            await found.fill(body, 100 * KiB)
        with pytest.raises(EOFError):
            await body.fill(memoryview(bytearray(1)), lambda _length, _now: True)
        body.close()
        assert bytes(found.buffer) == oss.find("examplebucket", "key").content.read(0, SIZE)
    assert len({request.connection for request in oss.requests}) == 1
    return ways


async def test_plain_body_is_received_into_the_buffer_and_its_connection_kept(
    oss: LocalOSS, session: aiohttp.ClientSession, url: str
) -> None:
    assert await received_twice(oss, session, url, SIZE) == [_DirectBody, _DirectBody]


async def test_any_other_body_is_read_by_aiohttp_and_its_connection_kept(
    oss: LocalOSS, session: aiohttp.ClientSession, url: str
) -> None:
    oss.faults.drop_header("Content-Length", times=2)
    assert await received_twice(oss, session, url, None) == [_ReaderBody, _ReaderBody]


async def test_no_byte_is_lost_when_an_earlier_response_of_the_connection_is_read_late(
    oss: LocalOSS, bucket: Any, session: aiohttp.ClientSession, url: str
) -> None:
    oss.put("examplebucket", "small", size=100 * KiB, seed=2)
    small = await opened(session, bucket.sign_url("GET", "small", 600))
    while small.connection is not None:  # noqa: ASYNC110  # once all of it came, aiohttp uses its connection again
        await asyncio.sleep(0.001)
    body, found = await begun(session, url)
    await Filled(100 * KiB).fill(body_of(small, 100 * KiB, 30, Clock()), 100 * KiB)  # makes aiohttp resume reading
    for _ in range(20):
        await asyncio.sleep(0.001)
    while found.length < SIZE:
        await found.fill(body, 100 * KiB)
    body.close()
    assert isinstance(body, _DirectBody)
    assert len({request.connection for request in oss.requests}) == 1
    assert bytes(found.buffer) == oss.find("examplebucket", "key").content.read(0, SIZE)
    assert await (await opened(session, url)).read() == bytes(found.buffer)
    assert len({request.connection for request in oss.requests}) == 1


async def test_bytes_for_which_the_buffer_has_no_room_are_kept_for_the_next_call(
    oss: LocalOSS, session: aiohttp.ClientSession, url: str
) -> None:
    oss.faults.stall(MiB)
    body, found = await begun(session, url)
    while found.length < MiB:
        await found.fill(body, MiB - found.length)
    content = oss.find("examplebucket", "key").content.read(0, SIZE)
    assert isinstance(body, _DirectBody)
    came = [content[MiB : MiB + 30 * KiB], content[MiB + 30 * KiB : MiB + 50 * KiB]]
    for most, total in ((10, 10), (15, 25), (10, 35), (15, 50)):  # KiB
        filling = asyncio.create_task(found.fill(body, most * KiB))
        await asyncio.sleep(0)
        if not filling.done():  # it was not satisfied by what was kept
            asyncio.protocols._feed_data_to_buffered_proto(body, came.pop(0))  # type: ignore[attr-defined]  # as on Windows
        await filling
        assert found.length == MiB + total * KiB
    assert came == []
    assert found.buffer[: found.length] == content[: found.length]
    body.close()


async def test_connection_with_bytes_after_the_announced_ones_is_not_used_again(
    oss: LocalOSS, session: aiohttp.ClientSession, url: str
) -> None:
    body, found = await begun(session, url)
    while found.length < SIZE:
        await found.fill(body, MiB)
    asyncio.protocols._feed_data_to_buffered_proto(body, bytes(40 * KiB))  # type: ignore[attr-defined]  # as on Windows
    body.close()
    assert await (await opened(session, url)).read() == found.buffer
    assert len({request.connection for request in oss.requests}) == 2


async def test_no_byte_is_received_when_no_more_are_wanted(session: aiohttp.ClientSession, url: str) -> None:
    response = await opened(session, url)
    body, found = body_of(response, SIZE, 30, Clock()), Filled(SIZE)
    found.enough = 300 * KiB
    await found.fill(body, SIZE)
    assert 300 * KiB <= found.length < SIZE
    length = found.length
    for _ in range(20):
        await asyncio.sleep(0)
    assert found.length == length
    body.close()
    assert response.closed


async def test_cancelled_download_continues_when_called_again(
    oss: LocalOSS, session: aiohttp.ClientSession, url: str
) -> None:
    fault = oss.faults.stall(MiB, range=None)
    body, found = await begun(session, url)
    while found.length < MiB:
        await found.fill(body, MiB - found.length)
    waiting = asyncio.create_task(found.fill(body, SIZE))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert found.length == MiB
    fault.cancel()
    oss.drop_connections()
    with pytest.raises((EOFError, OSError)):
        await found.fill(body, SIZE)
    body.close()
    assert bytes(found.buffer[:MiB]) == oss.find("examplebucket", "key").content.read(0, MiB)


async def test_stalled_body_is_given_up_and_its_received_bytes_are_reported(
    oss: LocalOSS, session: aiohttp.ClientSession, url: str
) -> None:
    oss.faults.stall(MiB)
    response = await opened(session, url)
    body, found = body_of(response, SIZE, 0.2, Clock()), Filled(SIZE)
    with pytest.raises(TimeoutError):
        while True:
            await found.fill(body, SIZE)
    body.close()
    assert found.length == MiB
    assert bytes(found.buffer[:MiB]) == oss.find("examplebucket", "key").content.read(0, MiB)


async def test_whole_downloads_survive_cuts_and_keep_their_connections(
    oss: LocalOSS, bucket: Any, session: aiohttp.ClientSession, tmp_path: Path, same_bytes: Any
) -> None:
    stored = oss.put("examplebucket", "key", size=20 * MiB, seed=2)
    async with Downloader(bucket, concurrency=4, session=session) as downloader:
        result = await downloader.download("key", tmp_path / "whole", **KEYWORDS)
        assert result.verified
        assert len({request.connection for request in oss.requests}) <= 4
        oss.faults.reset_after(500 * KiB, times=3)
        result = await downloader.download("key", tmp_path / "cut", **KEYWORDS)
        assert result.attempts == result.requests + 3
    assert same_bytes(tmp_path / "whole", stored.content)
    assert same_bytes(tmp_path / "cut", stored.content)
