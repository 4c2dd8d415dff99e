"""What a progress callback is told, and what becomes of a download whose callback fails."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio.to_thread
import pytest

from aioss_resume import RetryPolicy, download
from aioss_resume.testing import GeneratedContent, KiB, LocalOSS

pytestmark = pytest.mark.anyio

PART = 128 * KiB
THRESHOLD = 512 * KiB
SMALL: dict[str, Any] = {"part_size": PART, "multiget_threshold": THRESHOLD, "retry": RetryPolicy(wait_initial=0)}
SIZE = THRESHOLD + 20 * PART
Same = Callable[[Path, GeneratedContent], bool]


class Seen:
    """A callback that remembers what it was told, and sets an event when there is as much as awaited."""

    def __init__(self, awaited: int = 0) -> None:
        self.calls: list[tuple[int, int | None]] = []
        self.awaited = awaited
        self.is_there = asyncio.Event()

    def __call__(self, consumed: int, total: int | None) -> None:
        self.calls.append((consumed, total))
        if consumed >= self.awaited:
            self.is_there.set()


class SeenAsync(Seen):
    async def __call__(self, consumed: int, total: int | None) -> None:  # type: ignore[override]
        await asyncio.sleep(0)
        super().__call__(consumed, total)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "file"


@pytest.mark.parametrize("kind", [Seen, SeenAsync])
@pytest.mark.parametrize("size", [0, 1000, THRESHOLD, SIZE])
async def test_progress_never_goes_back_and_ends_with_all(
    oss: LocalOSS, bucket: Any, path: Path, kind: type[Seen], size: int
) -> None:
    oss.put("examplebucket", "key", size=size)
    oss.faults.delay(0.03, times=None)
    seen = kind()
    await download(bucket, "key", path, progress_callback=seen, concurrency=2, **SMALL)
    assert seen.calls == sorted(seen.calls)
    assert seen.calls[-1] == (size, size)
    assert {total for _, total in seen.calls} == {size}
    if size == SIZE:
        assert len({consumed for consumed, _ in seen.calls}) > 2


async def test_progress_counts_no_byte_twice_when_connections_break(oss: LocalOSS, bucket: Any, path: Path) -> None:
    oss.put("examplebucket", "key", size=SIZE)
    oss.faults.delay(0.03, times=None)
    oss.faults.reset_after(PART - 1, times=10)
    seen = Seen()
    await download(bucket, "key", path, progress_callback=seen, concurrency=2, **SMALL)
    assert seen.calls == sorted(seen.calls)
    assert seen.calls[-1] == (SIZE, SIZE)


async def test_progress_never_goes_back_when_all_is_fetched_again(oss: LocalOSS, bucket: Any, path: Path) -> None:
    oss.put("examplebucket", "key", size=SIZE)
    oss.faults.delay(0.03, times=None)
    oss.faults.flip_bit(SIZE - 1)
    seen = Seen()
    await download(bucket, "key", path, progress_callback=seen, concurrency=2, **SMALL)
    assert seen.calls == sorted(seen.calls)
    assert seen.calls[-1] == (SIZE, SIZE)


async def test_first_progress_of_a_resumed_download_has_the_resumed_bytes(
    oss: LocalOSS, bucket: Any, path: Path, same_bytes: Same
) -> None:
    stored = oss.put("examplebucket", "key", size=SIZE)
    fault = oss.faults.stall(0, times=None, range=lambda asked: asked is not None and asked[0] > SIZE // 2)
    half = Seen(awaited=SIZE // 2)
    first = asyncio.create_task(download(bucket, "key", path, progress_callback=half, **SMALL))
    await half.is_there.wait()
    first.cancel()
    await asyncio.wait([first])
    fault.cancel()
    seen = Seen()
    result = await download(bucket, "key", path, progress_callback=seen, **SMALL)
    assert result.resumed_bytes >= SIZE // 2
    assert seen.calls[0][0] >= result.resumed_bytes
    assert seen.calls == sorted(seen.calls)
    assert seen.calls[-1] == (SIZE, SIZE)
    assert same_bytes(path, stored.content)


async def test_skipped_download_reports_completion(oss: LocalOSS, bucket: Any, path: Path) -> None:
    oss.put("examplebucket", "key", size=SIZE)
    await download(bucket, "key", path, **SMALL)
    seen = Seen()
    assert (await download(bucket, "key", path, overwrite="if_changed", progress_callback=seen, **SMALL)).skipped
    assert seen.calls == [(SIZE, SIZE)]


async def test_failed_download_never_reports_completion(oss: LocalOSS, bucket: Any, path: Path) -> None:
    oss.put("examplebucket", "key", size=SIZE)
    oss.faults.status(403, times=None, after_requests=3)
    seen = Seen()
    with pytest.raises(Exception, match="AccessDenied"):
        await download(bucket, "key", path, progress_callback=seen, **SMALL)
    assert all(consumed < SIZE for consumed, _ in seen.calls)


class OwnError(Exception):
    pass


@pytest.mark.parametrize("is_async", [False, True])
async def test_exception_of_a_callback_passes_through_and_written_bytes_are_kept(
    oss: LocalOSS, bucket: Any, path: Path, same_bytes: Same, is_async: bool
) -> None:
    size = THRESHOLD + 100 * PART
    stored = oss.put("examplebucket", "key", size=size)
    fault = oss.faults.delay(0.02, times=None)
    raised = OwnError("mine")
    asked_before: list[int] = []

    def fail(consumed: int, total: int | None) -> None:
        if consumed:
            asked_before.append(len(oss.requests))
            raise raised

    async def fail_later(consumed: int, total: int | None) -> None:
        await asyncio.sleep(0)
        fail(consumed, total)

    with pytest.raises(OwnError) as caught:
        await download(bucket, "key", path, progress_callback=fail_later if is_async else fail, concurrency=4, **SMALL)
    assert caught.value is raised
    assert len(asked_before) == 1
    assert len(oss.requests) - asked_before[0] <= 5
    fault.cancel()
    result = await download(bucket, "key", path, **SMALL)
    assert result.resumed_bytes > 0
    assert result.resumed_bytes + result.fetched_bytes == size
    assert same_bytes(path, stored.content)


async def test_callback_that_raises_at_the_end_leaves_the_file(
    oss: LocalOSS, bucket: Any, path: Path, same_bytes: Same
) -> None:
    stored = oss.put("examplebucket", "key", size=1000)

    async def fail(consumed: int, total: int | None) -> None:
        if await anyio.to_thread.run_sync(path.exists):
            raise OwnError

    with pytest.raises(OwnError):
        await download(bucket, "key", path, progress_callback=fail, **SMALL)
    assert same_bytes(path, stored.content)


@pytest.mark.parametrize("error", [KeyError("k"), OSError(28, "full"), TimeoutError(), ValueError()])
async def test_callbacks_error_is_never_taken_for_one_of_ours(
    oss: LocalOSS, bucket: Any, path: Path, error: Exception
) -> None:
    oss.put("examplebucket", "key", size=SIZE)

    def fail(consumed: int, total: int | None) -> None:
        raise error

    with pytest.raises(type(error)) as caught:
        await download(bucket, "key", path, progress_callback=fail, **SMALL)
    assert caught.value is error


async def test_slow_callback_delays_nothing(oss: LocalOSS, bucket: Any, path: Path, same_bytes: Same) -> None:
    stored = oss.put("examplebucket", "key", size=SIZE)
    ends = asyncio.Event()

    async def slow(consumed: int, total: int | None) -> None:
        await ends.wait()

    task = asyncio.create_task(download(bucket, "key", path, progress_callback=slow, **SMALL))
    await anyio.to_thread.run_sync(oss.wait_for_bytes, SIZE)
    assert not task.done()
    ends.set()
    await task
    assert same_bytes(path, stored.content)


async def test_callback_may_cancel_its_own_download(oss: LocalOSS, bucket: Any, path: Path) -> None:
    oss.put("examplebucket", "key", size=SIZE)

    def stop(consumed: int, total: int | None) -> None:
        task.cancel()

    task = asyncio.create_task(download(bucket, "key", path, progress_callback=stop, **SMALL))
    await asyncio.wait([task])
    assert task.cancelled()
