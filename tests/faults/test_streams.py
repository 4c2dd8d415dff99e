# ruff: noqa: N802  # the ids of the rows are written as in the catalogue
"""T: reads, ranges and streams."""

import array
import asyncio
import gc
import mmap
import time
import warnings
from collections.abc import AsyncIterator
from itertools import pairwise
from typing import Any

import pytest
from flow.canary import Watch
from flow.presigned import presigned
from flow.ranged import PART, QUICK, SIZE, CountingClock, asked, begins_at, whole

from aioss_resume import (
    AiossError,
    ConfigError,
    Downloader,
    IntegrityError,
    NoSuchKeyError,
    ObjectChangedError,
    RequestError,
    SignedURL,
    Timeouts,
)
from aioss_resume.testing import KiB, LocalOSS, MiB

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("reads_may_begin_anywhere")]


PARTED: dict[str, Any] = {"part_size": PART, "retry": QUICK}
"""Any: keywords of many types."""
SMALL_WINDOW: dict[str, Any] = {**PARTED, "window": 4 * PART}


@pytest.fixture
async def downloader(bucket: Any) -> AsyncIterator[Downloader]:
    async with Downloader(bucket) as downloader:
        assert downloader._client is not None
        downloader._client.clock.__class__ = Impatient
        yield downloader


class Impatient(CountingClock):
    """The machine's clock, but waits between attempts take no time."""

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)

    def chance(self) -> float:
        return 1.0


async def streamed(downloader: Downloader, **keywords: Any) -> bytes:
    async with downloader.stream("key", **{**PARTED, **keywords}) as stream:
        found = b"".join([chunk async for chunk in stream])
        assert stream.verified
        return found


@pytest.mark.parametrize("fault", ["reset", "truncate", "stall", "crawl", "status"])
async def test_T01_stream_goes_on_from_its_last_byte(
    oss: LocalOSS, downloader: Downloader, content: bytes, fault: str
) -> None:
    first: dict[str, Any] = {"range": lambda asked: asked is not None and asked[0] < PART, "times": 2}
    if fault == "reset":
        oss.faults.reset_after(30 * KiB, **first)
    elif fault == "truncate":
        oss.faults.truncate(30 * KiB, **first)
    elif fault == "stall":
        oss.faults.stall(30 * KiB, **first)
    elif fault == "crawl":
        oss.faults.slow(2 * KiB, **first)
    else:
        oss.faults.status(503, **first)
    timeouts = Timeouts(stall=0.2, min_speed=50 * KiB, min_speed_window=0.3)
    assert await streamed(downloader, timeouts=timeouts) == content


async def test_T01_no_byte_of_a_broken_stream_is_fetched_twice(
    oss: LocalOSS, downloader: Downloader, content: bytes
) -> None:
    oss.faults.truncate(30 * KiB, times=4)
    assert await streamed(downloader) == content
    starts = [range_[0] for range_ in asked(oss) if range_ is not None]
    assert len(set(starts)) == len(starts)


async def test_T01_read_goes_on_from_its_last_byte_too(oss: LocalOSS, downloader: Downloader, content: bytes) -> None:
    oss.faults.reset_after(30 * KiB, times=3)
    oss.faults.truncate(10 * KiB, times=3)
    assert await downloader.read("key", **PARTED) == content
    oss.faults.reset_after(30 * KiB, times=3)
    buffer = bytearray(SIZE)
    assert await downloader.read_into("key", buffer, **PARTED) == SIZE
    assert buffer == content
    oss.faults.truncate(10 * KiB, times=3)
    assert await downloader.read_ranges("key", [(0, 3 * PART), (5 * PART, None)], **PARTED) == [
        content[: 3 * PART],
        content[5 * PART :],
    ]


async def test_T02_unread_stream_is_not_fetched_beyond_its_window(
    oss: LocalOSS, downloader: Downloader, content: bytes
) -> None:
    size = 40 * PART
    oss.put("examplebucket", "key", size=size, seed=1)
    async with downloader.stream("key", **SMALL_WINDOW) as stream:
        taken = 0
        while taken < 6 * PART:
            taken += len(await stream.__anext__())
        assert downloader._client is not None
        while downloader._client.slots.taken:  # noqa: ASYNC110  # until the window is full and nothing is requested
            await asyncio.sleep(0)
        assert sum(record.bytes_sent for record in oss.requests) <= taken + 4 * PART
        assert all(record.is_finished for record in oss.requests)
        oss.drop_connections()  # as OSS does with idle ones
        rest = b"".join([chunk async for chunk in stream])
        assert len(rest) == size - taken
        assert stream.verified
    assert len(content) == SIZE


async def test_T02_server_that_ignores_ranges_is_read_as_slowly_as_the_reader(oss: LocalOSS, bucket: Any) -> None:
    """One response brings everything, so its reading waits while the window is full."""
    size = 64 * MiB
    oss.put("examplebucket", "key", size=size, seed=1)
    oss.faults.ignore_range(times=None)
    url = SignedURL(presigned(bucket))
    async with Downloader(None) as downloader, downloader.stream(url, window=MiB) as stream:
        first = await stream.read(1)
        assert stream._fetching is not None
        while stream._fetching._reorder.kept < MiB:  # noqa: ASYNC110  # until the window is full
            await asyncio.sleep(0)
        for _ in range(100):  # turns of the loop, in which more could be received
            await asyncio.sleep(0)
        assert stream._fetching._reorder.kept <= 2 * MiB
        rest = await stream.read()
        assert len(first) + len(rest) == size
        assert stream.verified
    assert len(oss.requests) == 1


async def leave_by_break(stream: Any) -> None:
    async for _ in stream:
        break


async def leave_by_exception(stream: Any) -> None:
    await stream.read(10)
    raise LookupError


async def leave_by_cancel(stream: Any) -> None:
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().call_soon(task.cancel)
    async for _ in stream:
        await asyncio.sleep(0)
    await asyncio.sleep(10)


@pytest.mark.parametrize("leave", [leave_by_break, leave_by_exception, leave_by_cancel])
async def test_T03_reader_that_leaves_closes_all_connections(oss: LocalOSS, downloader: Downloader, leave: Any) -> None:
    oss.put("examplebucket", "key", size=400 * MiB, seed=1)
    tasks = len(asyncio.all_tasks())

    async def read() -> None:
        async with downloader.stream("key") as stream:
            await leave(stream)

    task = asyncio.ensure_future(read())
    await asyncio.wait([task])
    if not task.cancelled():
        assert isinstance(task.exception(), LookupError | None)
    assert len(asyncio.all_tasks()) == tasks
    for _ in range(100):
        if all(record.is_finished for record in oss.requests):
            break
        await asyncio.sleep(0.01)
    assert all(record.is_finished for record in oss.requests)
    assert sum(record.bytes_sent for record in oss.requests) < 100 * MiB


async def test_T03_generator_that_nobody_reads_to_its_end_is_closed_without_a_warning(
    oss: LocalOSS, downloader: Downloader
) -> None:
    oss.put("examplebucket", "key", size=400 * MiB, seed=1)

    async def body() -> AsyncIterator[bytes]:
        async with downloader.stream("key") as stream:
            async for chunk in stream:
                yield chunk

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        chunks = body()
        assert await chunks.__anext__()
        assert _fetching_tasks()
        del chunks
        gc.collect()
        async with asyncio.timeout(30):
            while _fetching_tasks() or not all(record.is_finished for record in oss.requests):  # noqa: ASYNC110
                await asyncio.sleep(0.01)


@pytest.mark.parametrize("iterations", range(4))
async def test_T03_reader_that_leaves_when_a_timer_of_the_scheduler_is_due_leaves_no_task(
    oss: LocalOSS, downloader: Downloader, iterations: int
) -> None:
    oss.put("examplebucket", "key", size=400 * MiB, seed=1)
    async with asyncio.timeout(30), downloader.stream("key") as stream:
        await anext(stream)
        time.sleep(0.2)  # noqa: ASYNC251  # blocks the loop, so that the timer and the end of the block come together
        for _ in range(iterations):
            await asyncio.sleep(0)
    assert not _fetching_tasks()


def _fetching_tasks() -> list[str]:
    return [task.get_name() for task in asyncio.all_tasks() if task.get_name().startswith("aioss_resume: ")]


async def test_T03_reader_that_leaves_at_once_costs_little(oss: LocalOSS, downloader: Downloader) -> None:
    oss.put("examplebucket", "key", size=400 * MiB, seed=1)
    async with downloader.stream("key") as stream:
        assert await stream.read(1)
    assert sum(range_[1] - range_[0] for range_ in asked(oss) if range_ and range_[1]) <= 12 * MiB


async def test_T03_read_that_was_cancelled_loses_no_byte(oss: LocalOSS, downloader: Downloader, content: bytes) -> None:
    oss.faults.stall(SIZE // 2, times=None)
    async with downloader.stream("key", **PARTED) as stream:
        task = asyncio.create_task(stream.read())
        while not stream._taken:  # noqa: ASYNC110  # it has no event
            await asyncio.sleep(0.001)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        oss.faults.clear()
        oss.drop_connections()
        assert await stream.read(1) == content[:1]
        assert await stream.read() == content[1:]
        assert stream.verified


async def test_T03_stream_ends_with_its_downloader(oss: LocalOSS, bucket: Any) -> None:
    oss.put("examplebucket", "key", size=40 * MiB, seed=1)
    async with Downloader(bucket) as downloader:
        stream = await downloader.stream("key", window=MiB).__aenter__()
        await stream.read(1)
    with pytest.raises(RequestError, match="was closed"):
        await stream.read()
    with pytest.raises(RequestError, match="was closed"):
        await stream.read(5)
    await stream.__aexit__(None, None, None)


@pytest.mark.parametrize("waits", [False, True])
async def test_T03_stream_cannot_be_read_after_its_block(oss: LocalOSS, downloader: Downloader, waits: bool) -> None:
    """The readers get an error, not the cancellation of the fetching; also one that waits in another task."""
    oss.put("examplebucket", "key", size=40 * MiB, seed=1)
    stall = oss.faults.stall(PART)
    async with downloader.stream("key", **SMALL_WINDOW) as stream:
        reader = asyncio.create_task(stream.read())
        while not stall.hits:  # noqa: ASYNC110  # set by another thread
            await asyncio.sleep(0)
        if not waits:
            reader.cancel()
            await asyncio.wait([reader])
    for reading in (stream.read(), stream.read(5), anext(stream), *([reader] if waits else [])):
        with pytest.raises(ConfigError, match="has ended"):
            await reading


@pytest.mark.parametrize("what", ["replace", "delete", "grow", "shrink"])
async def test_T04_changed_object_ends_the_stream_and_no_byte_of_another_version_is_handed_out(
    oss: LocalOSS, downloader: Downloader, what: str
) -> None:
    size = 40 * PART
    oss.put("examplebucket", "key", size=size, seed=1)
    content, found = whole(size), b""
    with pytest.raises(ObjectChangedError):
        async with downloader.stream("key", **SMALL_WINDOW) as stream:
            found += await stream.read(1)
            if what == "delete":
                oss.delete("examplebucket", "key")
            else:
                change = {"replace": 0, "grow": PART, "shrink": -PART}[what]
                oss.put("examplebucket", "key", size=size + change, seed=2)
            async for chunk in stream:
                found += chunk
    assert len(found) < size
    assert content.startswith(found)


async def test_T04_read_of_a_changed_object_is_an_error(oss: LocalOSS, downloader: Downloader, content: bytes) -> None:
    oss.faults.replace_object(after_requests=2)
    with pytest.raises(ObjectChangedError):
        await downloader.read("key", **PARTED)
    assert len(content) == SIZE


async def test_T05_wrong_byte_is_an_integrity_error_instead_of_the_last_chunk(
    oss: LocalOSS, downloader: Downloader, content: bytes
) -> None:
    oss.faults.flip_bit(3 * PART, times=None)
    found = b""
    async with downloader.stream("key", **PARTED) as stream:
        with pytest.raises(IntegrityError):
            async for chunk in stream:
                found += chunk
        assert not stream.verified
        with pytest.raises(IntegrityError):
            await stream.read(1)
    assert len(found) < len(content)


async def test_T05_stream_of_one_chunk_is_verified_too(oss: LocalOSS, downloader: Downloader) -> None:
    oss.put("examplebucket", "key", size=1000, seed=1)
    oss.faults.flip_bit(3, times=None)
    async with downloader.stream("key") as stream:
        with pytest.raises(IntegrityError):
            await stream.read()


async def test_T05_read_fetches_once_more_and_then_fails(
    oss: LocalOSS, downloader: Downloader, content: bytes, watch: Watch
) -> None:
    oss.faults.flip_bit(3 * PART, times=1)
    assert await downloader.read("key", **PARTED) == content
    oss.faults.flip_bit(3 * PART, times=2)
    with watch.raises(IntegrityError):
        await downloader.read("key", **PARTED)


async def test_T05_without_a_crc64_nothing_is_verified_and_require_says_so(
    oss: LocalOSS, downloader: Downloader
) -> None:
    oss.put("examplebucket", "key", size=SIZE, seed=1, no_crc=True)
    async with downloader.stream("key", **PARTED) as stream:
        assert await stream.read(None) == whole()
        assert not stream.verified
    for call in (
        downloader.read("key", integrity="require"),
        downloader.read_ranges("key", [(0, 5)], integrity="require"),
    ):
        with pytest.raises(IntegrityError):
            await call
    with pytest.raises(IntegrityError):
        async with downloader.stream("key", integrity="require"):
            pass


class Strided:
    """Every second byte of some memory."""

    view = memoryview(bytearray(20))[::2]


@pytest.mark.parametrize(
    "buffer",
    [b"read-only", memoryview(b"read-only"), Strided.view, "text", 5, None, [1, 2]],
    ids=["bytes", "memoryview", "strided", "str", "int", "None", "list"],
)
async def test_T07_buffer_that_cannot_be_filled_is_a_config_error(
    oss: LocalOSS, downloader: Downloader, buffer: Any
) -> None:
    with pytest.raises(ConfigError):
        await downloader.read_into("key", buffer)
    assert oss.requests == []


async def test_T07_buffers_of_any_item_size_are_filled_with_bytes(
    downloader: Downloader, content: bytes, tmp_path: Any
) -> None:
    numbers = array.array("d", bytes(8 * 1000))
    assert await downloader.read_into("key", numbers) == 8000
    assert numbers.tobytes() == content[:8000]
    assert await downloader.read_into("key", memoryview(numbers).cast("B").cast("i", (100, 20)), start=7) == 8000
    assert numbers.tobytes() == content[7:8007]
    with mmap.mmap(-1, 5000) as memory:
        assert await downloader.read_into("key", memory, start=-6000) == 5000
        assert memory[:] == content[-6000:-1000]
    assert await downloader.read_into("key", bytearray()) == 0
    assert not list(tmp_path.glob("none"))


async def test_T07_buffer_cannot_be_resized_meanwhile_and_can_be_afterwards(
    oss: LocalOSS, downloader: Downloader, content: bytes
) -> None:
    buffer = bytearray(SIZE)
    hold = oss.faults.stall(range=begins_at(5 * PART), times=None)
    task = asyncio.ensure_future(downloader.read_into("key", buffer, **PARTED))
    await asyncio.to_thread(oss.wait_for_bytes, 3 * PART)
    with pytest.raises(BufferError):
        buffer.clear()
    task.cancel()
    await asyncio.wait([task])
    hold.cancel()
    assert task.cancelled()
    before = bytes(buffer)
    oss.drop_connections()
    for _ in range(100):
        await asyncio.sleep(0)
    assert bytes(buffer) == before  # nothing is written after the call has ended
    buffer.clear()
    assert len(content) == SIZE


async def test_T07_buffer_can_be_resized_while_the_error_is_kept(
    oss: LocalOSS, downloader: Downloader, content: bytes
) -> None:
    buffer = bytearray(SIZE)
    oss.faults.status(404, times=None, after_requests=2)
    try:
        await downloader.read_into("key", buffer, **PARTED)
    except AiossError as error:
        kept = error
    buffer.clear()
    assert isinstance(kept, NoSuchKeyError | ObjectChangedError)
    assert len(content) == SIZE


async def test_T07_shortened_flights_write_nothing_beyond_their_end(oss: LocalOSS, downloader: Downloader) -> None:
    """The tail of a slow connection goes to others; what it still sends must not overwrite theirs."""
    size = 24 * MiB
    oss.put("examplebucket", "key", size=size, seed=1)
    content = whole(size)
    oss.faults.slow(300 * KiB, times=2)
    oss.faults.flip_bit(11 * MiB, times=1)
    for _ in range(2):
        assert await downloader.read("key", concurrency=4) == content


async def test_T08_ten_thousand_ranges_cost_few_requests_and_no_byte_twice(
    oss: LocalOSS, downloader: Downloader
) -> None:
    size = 32 * MiB
    oss.put("examplebucket", "key", size=size, seed=1)
    content = whole(size)
    ranges = [(number * 7919 % size, number * 7919 % size + number % 300) for number in range(10_000)]
    found = await downloader.read_ranges("key", ranges, concurrency=1)  # then no request is cut short by another
    assert found == [content[start:stop] for start, stop in ranges]
    fetched = [range_ for range_ in asked(oss) if range_ is not None]
    assert len(fetched) <= 60
    covered = sorted((start, stop) for start, stop in fetched if stop is not None)
    assert all(before[1] <= after[0] for before, after in pairwise(covered))
    assert oss.peak_in_flight <= 32


async def test_T08_ranges_keep_their_order_overlap_and_repeat(downloader: Downloader, content: bytes) -> None:
    ranges = [(900_000, 900_010), (0, 10), (5, 15), (0, 10), (20, 20), (-3, None), (None, 3), (10**9, None), (5, 1)]
    found = await downloader.read_ranges("key", ranges, max_gap=0)
    assert found == [content[start:stop] for start, stop in ranges]


async def test_T08_gaps_are_not_fetched_beyond_max_gap(oss: LocalOSS, downloader: Downloader, content: bytes) -> None:
    await downloader.read_ranges("key", [(0, 10), (20, 30), (500, 510)], max_gap=10)
    assert sorted(range_ for range_ in asked(oss) if range_) == [(0, 30), (500, 510)]
    assert len(content) == SIZE


async def test_T09_unread_streams_hold_no_slot(oss: LocalOSS, bucket: Any) -> None:
    size = 20 * PART
    oss.put("examplebucket", "key", size=size, seed=1)
    oss.put("examplebucket", "small", size=100, seed=2)
    async with Downloader(bucket, concurrency=4) as downloader:
        streams = [await downloader.stream("key", **SMALL_WINDOW).__aenter__() for _ in range(200)]
        async with asyncio.timeout(60):
            assert await downloader.read("small") == whole(100, 2)
            for stream in streams[::20]:  # some are read, the others are not
                assert await stream.read() == whole(size)
                assert stream.verified
        for stream in streams:
            await stream.__aexit__(None, None, None)
