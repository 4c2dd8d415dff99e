"""Downloader.download_many(): outcomes as they end, and no more work than there is room for."""

import asyncio
import errno
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from batch.outcomes_of import FAST, gets, outcomes_of
from flow.presigned import presigned
from flow.ranged import whole

from aioss_resume import (
    ConfigError,
    Downloader,
    LocalFileError,
    NoSuchBucketError,
    NoSuchKeyError,
    ObjectArchivedError,
    RequestError,
    SignedURL,
)
from aioss_resume.testing import KiB, LocalOSS, MiB

pytestmark = pytest.mark.anyio

COUNT = 100


@pytest.fixture
def keys(oss: LocalOSS) -> list[str]:
    keys = [f"key{number:03}" for number in range(COUNT)]
    for number, key in enumerate(keys):
        oss.put("examplebucket", key, size=1 + number * 100, seed=number)
    return keys


def left_running() -> list[str]:
    return [task.get_name() for task in asyncio.all_tasks() if task.get_name().startswith("aioss_resume")]


async def test_small_objects_cost_one_request_each_and_leave_nothing_but_files(
    oss: LocalOSS, bucket: Any, keys: list[str], tmp_path: Path
) -> None:
    items = [(key, tmp_path / "made" / key) for key in keys]
    async with Downloader(bucket) as downloader:
        outcomes = await outcomes_of(downloader.download_many(items, **FAST))
    assert sorted(outcome.item for outcome in outcomes) == items
    assert all(outcome.error is None and outcome.result.verified for outcome in outcomes)
    assert sorted(gets(oss)) == keys
    assert {request.method for request in oss.requests} == {"GET"}
    assert sorted(path.name for path in (tmp_path / "made").iterdir()) == keys
    for number, key in enumerate(keys):
        assert (tmp_path / "made" / key).read_bytes() == whole(1 + number * 100, number)


async def test_large_objects_are_split_under_the_same_limit(oss: LocalOSS, bucket: Any, tmp_path: Path) -> None:
    sizes = [3 * MiB, 1 * KiB, 0, 2 * MiB, 5 * KiB] * 3
    for number, size in enumerate(sizes):
        oss.put("examplebucket", f"k{number}", size=size, seed=number)
    items = ((f"k{number}", tmp_path / str(number)) for number in range(len(sizes)))
    options = {**FAST, "part_size": 256 * KiB, "multiget_threshold": 256 * KiB}
    async with Downloader(bucket, concurrency=6) as downloader:
        outcomes = await outcomes_of(downloader.download_many(items, **options))
    assert [outcome.error for outcome in outcomes] == [None] * len(sizes)
    assert oss.peak_in_flight <= 6
    assert len(oss.requests) > 6 * 9
    for number, size in enumerate(sizes):
        assert (tmp_path / str(number)).read_bytes() == whole(size, number)


async def test_failures_do_not_stop_the_others(oss: LocalOSS, bucket: Any, keys: list[str], tmp_path: Path) -> None:
    (tmp_path / "directory").mkdir()
    oss.put("examplebucket", "archived", b"x", storage_class="Archive")
    oss.faults.status(403, key="key050", times=None)
    items: list[Any] = [(key, tmp_path / key) for key in keys]
    items[10:10] = [
        ("missing", tmp_path / "a"),
        ("key000", tmp_path / "directory"),
        ("archived", tmp_path / "b"),
        ("", tmp_path / "c"),
        ("key000", ""),
    ]
    async with Downloader(bucket) as downloader:
        outcomes = await outcomes_of(downloader.download_many(items, **FAST))
    errors = {outcome.item: outcome.error for outcome in outcomes if outcome.error is not None}
    assert {item: type(error).__name__ for item, error in errors.items()} == {
        ("missing", tmp_path / "a"): "NoSuchKeyError",
        ("key000", tmp_path / "directory"): "LocalFileError",
        ("archived", tmp_path / "b"): "ObjectArchivedError",
        ("", tmp_path / "c"): "ConfigError",
        ("key000", ""): "ConfigError",
        ("key050", tmp_path / "key050"): "AccessDeniedError",
    }
    directory_error = errors["key000", tmp_path / "directory"]
    assert isinstance(directory_error, LocalFileError)
    assert directory_error.errno == errno.EISDIR
    assert all((outcome.result is None) == (outcome.error is not None) for outcome in outcomes)
    assert len(outcomes) == len(items)


@pytest.mark.parametrize("invalid", ["no pair", ("key000", 1)])
async def test_stop_on_error_at_the_first_item_requests_nothing_after_it(
    oss: LocalOSS, bucket: Any, keys: list[str], tmp_path: Path, invalid: Any
) -> None:
    items = [invalid, *((key, tmp_path / key) for key in keys)]
    with pytest.raises(ConfigError):
        async with Downloader(bucket) as downloader:
            await outcomes_of(downloader.download_many(items, stop_on_error=True, **FAST))
    assert gets(oss) == []
    assert list(tmp_path.iterdir()) == []


async def test_stop_on_error_cancels_the_others_and_raises(oss: LocalOSS, bucket: Any, tmp_path: Path) -> None:
    oss.put("examplebucket", "large", size=4 * MiB)
    oss.faults.stall(2 * MiB, key="large", times=None)
    is_under_way = asyncio.Event()

    async def items() -> AsyncIterator[Any]:
        yield "large", tmp_path / "large"
        await is_under_way.wait()
        yield "missing", tmp_path / "missing"

    def callback(consumed: int, _total: int | None) -> None:
        if consumed >= 1 * MiB:
            is_under_way.set()

    seen = []
    options = {**FAST, "part_size": 4 * MiB, "multiget_threshold": 1 * MiB, "progress_callback": callback}
    async with (
        Downloader(bucket) as downloader,
        downloader.download_many(items(), stop_on_error=True, **options) as outcomes,
    ):
        with pytest.raises(NoSuchKeyError):
            async for outcome in outcomes:
                seen.append(outcome)  # noqa: PERF401  # what came before the error counts
        with pytest.raises(NoSuchKeyError):
            await anext(outcomes)
        assert not left_running()
    assert seen == []
    assert {path.suffix for path in tmp_path.iterdir()} == {".part", ".checkpoint"}
    oss.faults.clear()
    async with Downloader(bucket) as downloader:
        (outcome,) = await outcomes_of(downloader.download_many([("large", tmp_path / "large")], **options))
    assert outcome.result.resumed_bytes > 0


async def test_iterable_is_consumed_only_as_slots_free_up(bucket: Any, keys: list[str], tmp_path: Path) -> None:
    asked = []

    def items() -> Iterator[Any]:
        for key in keys:
            asked.append(key)
            yield key, tmp_path / key

    async with Downloader(bucket, concurrency=3) as downloader:
        async with downloader.download_many(items(), **FAST) as outcomes:
            for taken in range(20):
                await anext(outcomes)
                await asyncio.sleep(0)
                assert len(asked) <= taken + 2 + 2 * 3
        assert len(asked) < COUNT


async def test_iterable_is_closed_when_the_block_has_ended(bucket: Any, keys: list[str], tmp_path: Path) -> None:
    closed = []

    async def items() -> AsyncIterator[Any]:
        try:
            for key in keys:
                yield key, tmp_path / key
        finally:
            await asyncio.sleep(0)
            closed.append(True)

    async with Downloader(bucket, concurrency=3) as downloader:
        async with downloader.download_many(items(), **FAST) as outcomes:
            await anext(outcomes)
        assert closed


async def test_objects_of_a_listing_are_items(oss: LocalOSS, bucket: Any, keys: list[str], tmp_path: Path) -> None:
    oss.put("examplebucket", "archived", b"x", storage_class="DeepColdArchive")
    async with Downloader(bucket) as downloader:

        async def items() -> AsyncIterator[Any]:
            async with downloader.list() as objects:
                async for meta in objects:
                    yield meta, tmp_path / meta.key

        outcomes = await outcomes_of(downloader.download_many(items(), **FAST))
    failed = {outcome.item[0].key: outcome.error for outcome in outcomes if outcome.error}
    assert list(failed) == ["archived"]
    assert isinstance(failed["archived"], ObjectArchivedError)
    assert "RestoreObject" in str(failed["archived"])
    assert "archived" not in gets(oss)
    assert len(outcomes) == COUNT + 1


async def test_version_of_an_object_that_was_looked_up_is_downloaded(
    oss: LocalOSS, bucket: Any, tmp_path: Path
) -> None:
    oss.create_bucket("examplebucket")
    oss.enable_versioning("examplebucket")
    oss.put("examplebucket", "key", b"old")
    async with Downloader(bucket) as downloader:
        meta = await downloader.head("key")
        oss.put("examplebucket", "key", b"new")
        await outcomes_of(downloader.download_many([(meta, tmp_path / "a"), ("key", tmp_path / "b")], **FAST))
    assert ((tmp_path / "a").read_bytes(), (tmp_path / "b").read_bytes()) == (b"old", b"new")


async def test_signed_urls_are_valid_items(oss: LocalOSS, bucket: Any, tmp_path: Path) -> None:
    oss.put("examplebucket", "key", b"content")
    items = [(SignedURL(presigned(bucket, "key")), tmp_path / "a"), (SignedURL(oss.endpoint + "/x/y"), tmp_path / "b")]
    async with Downloader(None) as downloader:
        outcomes = await outcomes_of(downloader.download_many(items, **FAST))
    by_name = {Path(outcome.item[1]).name: outcome for outcome in outcomes}
    assert (tmp_path / "a").read_bytes() == b"content"
    assert isinstance(by_name["b"].error, NoSuchBucketError)


async def test_callback_that_raises_fails_its_own_item(bucket: Any, keys: list[str], tmp_path: Path) -> None:
    def callback(consumed: int, _total: int | None) -> None:
        if consumed == 101:
            raise RuntimeError("from the callback")

    items = [(key, tmp_path / key) for key in keys[:5]]
    async with Downloader(bucket) as downloader:
        outcomes = await outcomes_of(downloader.download_many(items, progress_callback=callback, **FAST))
    assert {outcome.item[0]: str(outcome.error) for outcome in outcomes if outcome.error} == {
        "key001": "from the callback"
    }


async def test_closing_the_downloader_ends_a_batch_that_is_open_elsewhere(
    oss: LocalOSS, bucket: Any, tmp_path: Path
) -> None:
    oss.put("examplebucket", "key", size=1 * MiB)
    oss.faults.stall(0, times=None)
    errors: list[BaseException] = []

    async def run(downloader: Downloader) -> None:
        try:
            await outcomes_of(downloader.download_many([("key", tmp_path / "file")], **FAST))
        except RequestError as error:
            errors.append(error)

    async with Downloader(bucket) as downloader:
        task = asyncio.create_task(run(downloader))
        await asyncio.to_thread(oss.wait_for_requests, 1)
    await task
    assert "the Downloader was closed" in str(errors[0])
    assert list(tmp_path.iterdir()) == []


async def test_cancelled_reader_leaves_nothing(oss: LocalOSS, bucket: Any, tmp_path: Path) -> None:
    oss.put("examplebucket", "key", size=1 * MiB)
    oss.faults.stall(0, times=None)
    async with Downloader(bucket) as downloader:
        batch = downloader.download_many([("key", tmp_path / str(number)) for number in range(10)], **FAST)
        task = asyncio.create_task(outcomes_of(batch))
        await asyncio.to_thread(oss.wait_for_requests, 5)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        assert not left_running()
    assert list(tmp_path.iterdir()) == []


async def test_batch_is_used_once_and_within_its_block(bucket: Any, keys: list[str], tmp_path: Path) -> None:
    async with Downloader(bucket) as downloader:
        batch = downloader.download_many([(keys[0], tmp_path / "a")], **FAST)
        with pytest.raises(ConfigError, match="not open"):
            await anext(batch)
        await outcomes_of(batch)
        with pytest.raises(ConfigError, match="in use already"):
            await outcomes_of(batch)
        with pytest.raises(ConfigError, match="not open"):
            await anext(batch)


@pytest.mark.parametrize("items", [None, 5])
async def test_object_that_is_not_iterable_is_refused(bucket: Any, items: Any) -> None:
    async with Downloader(bucket) as downloader:
        with pytest.raises(ConfigError, match="iterable of pairs"):
            downloader.download_many(items)
        with pytest.raises(TypeError, match="download_many"):
            downloader.download_many([], num_threads=5)


async def test_view_of_another_bucket_downloads_its_own(oss: LocalOSS, bucket: Any, tmp_path: Path) -> None:
    oss.put("otherbucket", "key", b"other")
    async with Downloader(bucket) as downloader:
        view = downloader.for_bucket(oss.bucket("otherbucket"))
        (outcome,) = await outcomes_of(view.download_many([("key", tmp_path / "file")], **FAST))
    assert outcome.error is None
    assert (tmp_path / "file").read_bytes() == b"other"
