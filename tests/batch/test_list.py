"""Downloader.list(): every object of a prefix, a page ahead."""

import asyncio
import base64
from typing import Any

import pytest

from aioss_resume import ConfigError, Downloader, NoSuchBucketError, ProtocolError, RequestError
from aioss_resume.testing import LocalOSS

pytestmark = pytest.mark.anyio


@pytest.fixture
def keys(oss: LocalOSS) -> list[str]:
    """More than two pages of keys below "p/", in order."""
    keys = sorted((f"p/{number % 7}/é {number:05} %2F+&<>'\"" for number in range(2345)), key=str.encode)
    for number, key in enumerate(keys):
        oss.put("examplebucket", key, bytes(number % 9))
    oss.put("examplebucket", "q", b"")
    return keys


async def listed(downloader: Downloader, *args: Any, **keywords: Any) -> tuple[list[Any], list[str]]:
    async with downloader.list(*args, **keywords) as objects:
        return [meta async for meta in objects], objects.prefixes


async def test_listing_has_every_object_once_and_in_order(oss: LocalOSS, bucket: Any, keys: list[str]) -> None:
    async with Downloader(bucket) as downloader:
        found, prefixes = await listed(downloader, "p/")
    assert [meta.key for meta in found] == keys
    assert [meta.size for meta in found] == [number % 9 for number in range(2345)]
    first, stored = found[1], oss.find("examplebucket", keys[1])
    assert (first.etag, first.storage_class, first.object_type) == (stored.etag, "Standard", "Normal")
    assert first.last_modified.utcoffset() is not None
    assert (first.crc64, prefixes) == (None, [])
    assert len(oss.requests) == 3
    assert all(request.query["max-keys"] == "1000" for request in oss.requests)


async def test_delimiter_and_start_after_restrict_a_listing(bucket: Any, keys: list[str]) -> None:
    async with Downloader(bucket) as downloader:
        assert await listed(downloader, "", delimiter="/") == ([await downloader_meta(downloader, "q")], ["p/"])
        found, prefixes = await listed(downloader, "p/", delimiter="/")
        assert (found, prefixes) == ([], [f"p/{number}/" for number in range(7)])
        found, _ = await listed(downloader, "p/", start_after=keys[-3])
        assert [meta.key for meta in found] == keys[-2:]
        assert await listed(downloader, "nothing/") == ([], [])


async def downloader_meta(downloader: Downloader, key: str) -> Any:
    return next(meta for meta in (await listed(downloader, key))[0] if meta.key == key)


async def test_next_page_is_fetched_while_one_is_read(oss: LocalOSS, bucket: Any, keys: list[str]) -> None:
    async with Downloader(bucket) as downloader, downloader.list("p/") as objects:
        await anext(objects)
        await asyncio.to_thread(oss.wait_for_requests, 2)
        assert len(oss.requests) == 2  # the third page is not requested yet
        await asyncio.sleep(0)
    assert len(oss.requests) == 2


async def test_page_that_fails_is_fetched_again(oss: LocalOSS, bucket: Any, keys: list[str]) -> None:
    oss.faults.status(503, times=1, key="")
    oss.faults.reset_after(20_000, times=1, key="")
    async with Downloader(bucket) as downloader:
        found, _ = await listed(downloader, "p/")
    assert [meta.key for meta in found] == keys
    assert len(oss.requests) == 5


async def test_error_is_raised_by_the_iteration(oss: LocalOSS) -> None:
    bucket = oss.bucket("examplebucket")
    bucket.bucket_name = "missingbucket"
    async with Downloader(bucket) as downloader, downloader.list() as objects:
        for _ in range(2):
            with pytest.raises(NoSuchBucketError):
                await anext(objects)


async def test_error_after_a_page_comes_after_its_objects(oss: LocalOSS, bucket: Any, keys: list[str]) -> None:
    seen, token = 0, base64.urlsafe_b64encode(keys[-1].encode()).decode()
    oss.faults.list_loop(token)
    async with Downloader(bucket) as downloader:
        with pytest.raises(ProtocolError, match="page of the listing"):
            async with downloader.list("p/") as objects:
                async for _ in objects:
                    seen += 1
    assert seen == 1000


@pytest.mark.parametrize("read", [0, 1, 1500])
async def test_block_that_is_left_early_ends_its_request(
    oss: LocalOSS, bucket: Any, keys: list[str], read: int
) -> None:
    async with Downloader(bucket) as downloader:
        async with downloader.list("p/") as objects:
            for _ in range(read):
                await anext(objects)
        with pytest.raises(ConfigError, match="not open"):
            await anext(objects)
        with pytest.raises(ConfigError, match="in use already"):
            await objects.__aenter__()


async def test_reader_in_another_task_gets_an_error_when_the_block_is_left(oss: LocalOSS, bucket: Any) -> None:
    stall = oss.faults.stall()
    async with Downloader(bucket) as downloader:
        async with downloader.list("p/") as objects:
            reader = asyncio.ensure_future(anext(objects))
            while not stall.hits:  # noqa: ASYNC110  # set by another thread
                await asyncio.sleep(0)
        with pytest.raises(ConfigError, match="not open"):
            await reader


async def test_closing_the_downloader_ends_a_listing_that_is_open_elsewhere(
    oss: LocalOSS, bucket: Any, keys: list[str]
) -> None:
    is_open, errors = asyncio.Event(), []

    async def read(downloader: Downloader) -> None:
        async with downloader.list("p/") as objects:
            await anext(objects)
            is_open.set()
            try:
                async for _ in objects:
                    await asyncio.sleep(0)
            except RequestError as error:
                errors.append(error)

    async with Downloader(bucket) as downloader:
        task = asyncio.create_task(read(downloader))
        await is_open.wait()
    await task
    assert "the Downloader was closed" in str(errors[0])


@pytest.mark.parametrize(
    ("args", "keywords"),
    [((1,), {}), ((None,), {}), (("x" * 1024,), {}), (("\ud800",), {}), (("",), {"delimiter": 5}),
     (("",), {"start_after": b"k"}), (("",), {"headers": {"Range": "bytes=0-"}}), (("",), {"headers": {"a": "b\n"}})],
)  # fmt: skip
async def test_invalid_argument_is_refused(
    oss: LocalOSS, bucket: Any, args: tuple[Any, ...], keywords: dict[str, Any]
) -> None:
    async with Downloader(bucket) as downloader:
        with pytest.raises(ConfigError):
            downloader.list(*args, **keywords)
    assert oss.requests == []


async def test_listing_without_a_bucket_is_a_config_error() -> None:
    async with Downloader(None) as downloader:
        with pytest.raises(ConfigError, match="no bucket"):
            downloader.list()


async def test_headers_are_sent(oss: LocalOSS, bucket: Any) -> None:
    async with Downloader(bucket) as downloader:
        await listed(downloader, headers={"x-oss-request-payer": "requester"})
    assert oss.requests[0].headers["x-oss-request-payer"] == "requester"
