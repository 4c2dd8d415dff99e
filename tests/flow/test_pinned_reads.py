"""Reads and streams of an object that was looked up: of that very version."""

from typing import Any

import pytest
from flow.ranged import QUICK

from aioss_resume import Downloader, ObjectChangedError, ObjectMeta
from aioss_resume.testing import LocalOSS

pytestmark = pytest.mark.anyio


async def looked_up(downloader: Downloader, how: str) -> ObjectMeta:
    if how == "head":
        return await downloader.head("key")
    async with downloader.list("key") as objects:
        return await anext(objects)


async def stream(downloader: Downloader, meta: ObjectMeta, start: int | None, stop: int | None) -> bytes:
    async with downloader.stream(meta, start, stop, retry=QUICK) as stream:
        return await stream.read()


async def into(downloader: Downloader, meta: ObjectMeta, start: int | None, stop: int | None) -> bytes:
    buffer = bytearray((stop or 1 << 20) - (start or 0))
    return bytes(buffer[: await downloader.read_into(meta, buffer, start or 0, retry=QUICK)])


WAYS: dict[str, Any] = {  # Any: coroutine functions
    "read": lambda downloader, meta, a, b: downloader.read(meta, a, b, retry=QUICK),
    "ranges": lambda downloader, meta, a, b: _first(downloader.read_ranges(meta, [(a, b)], retry=QUICK)),
    "stream": stream,
    "into": into,
}


async def _first(found: Any) -> bytes:
    return (await found)[0]  # type: ignore[no-any-return]


@pytest.mark.parametrize("how", ["head", "list"])
@pytest.mark.parametrize("way", WAYS)
async def test_version_that_was_looked_up_is_read(
    oss: LocalOSS, bucket: Any, content: bytes, way: str, how: str
) -> None:
    async with Downloader(bucket) as downloader:
        meta = await looked_up(downloader, how)
        assert await WAYS[way](downloader, meta, 5, 500) == content[5:500]
        assert oss.requests[-1].headers["If-Match"] == f'"{meta.etag}"'
        oss.put("examplebucket", "key", b"replaced " * 1000)
        with pytest.raises(ObjectChangedError):
            await WAYS[way](downloader, meta, 5, 500)


@pytest.mark.parametrize("way", ["read", "ranges", "stream"])
async def test_slice_beyond_the_end_is_empty(oss: LocalOSS, bucket: Any, content: bytes, way: str) -> None:
    async with Downloader(bucket) as downloader:
        meta = await downloader.head("key")
        assert await WAYS[way](downloader, meta, len(content), None) == b""
        assert await WAYS[way](downloader, meta, -3, None) == content[-3:]


@pytest.mark.parametrize("way", ["read", "ranges", "stream"])
async def test_empty_object_that_has_grown_is_another_one(oss: LocalOSS, bucket: Any, way: str) -> None:
    oss.put("examplebucket", "key", b"")
    async with Downloader(bucket) as downloader:
        meta = await downloader.head("key")
        assert await WAYS[way](downloader, meta, None, None) == b""
        oss.put("examplebucket", "key", b"x")
        if way == "stream":  # a read of nothing sends no request
            with pytest.raises(ObjectChangedError):
                await WAYS[way](downloader, meta, None, None)


async def test_version_of_a_versioned_bucket_is_read_after_it_was_replaced(oss: LocalOSS, bucket: Any) -> None:
    oss.create_bucket("examplebucket")
    oss.enable_versioning("examplebucket")
    oss.put("examplebucket", "key", b"old")
    async with Downloader(bucket) as downloader:
        meta = await downloader.head("key")
        oss.put("examplebucket", "key", b"new")
        assert await downloader.read(meta) == b"old"
        assert await downloader.read("key") == b"new"
