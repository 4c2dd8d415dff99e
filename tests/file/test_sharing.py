"""One path, many callers: tasks of this process share a transfer, other processes wait for it."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from aioss_resume import (
    AccessDeniedError,
    Downloader,
    DownloadInProgressError,
    IntegrityError,
    NoSuchKeyError,
    RetryPolicy,
    download,
)
from aioss_resume.testing import GeneratedContent, KiB, LocalOSS

pytestmark = pytest.mark.anyio

PART = 128 * KiB
THRESHOLD = 512 * KiB
SMALL: dict[str, Any] = {
    "part_size": PART,
    "multiget_threshold": THRESHOLD,
    "retry": RetryPolicy(wait_initial=0),
}
SIZE = THRESHOLD + 9 * PART
Same = Callable[[Path, GeneratedContent], bool]

CHILD = """
import asyncio, sys
import oss2
import aioss_resume

endpoint, path, key_id, secret = sys.argv[1:]
bucket = oss2.Bucket(oss2.AuthV4(key_id, secret), endpoint, "examplebucket", region="cn-hangzhou")
retry = aioss_resume.RetryPolicy(wait_initial=0)
sizes = {"multiget_threshold": 512 * 1024, "part_size": 128 * 1024}
asyncio.run(aioss_resume.download(bucket, "key", path, retry=retry, **sizes))
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "file"


def start(bucket: Any, path: Path, key: str = "key", **keywords: Any) -> asyncio.Task[Any]:
    return asyncio.create_task(download(bucket, key, path, **{**SMALL, **keywords}))


async def callers_have_joined() -> None:
    """A few turns of the loop: a caller joins in its first step, with nothing to wait for on the way."""
    for _ in range(5):
        await asyncio.sleep(0)


@asynccontextmanager
async def another_process(oss: LocalOSS, path: Path, gate: Any) -> AsyncIterator[asyncio.subprocess.Process]:
    """A process that downloads to the path, and hangs before its last part until the gate is opened."""
    gate.close(SIZE - PART)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", CHILD, oss.endpoint, str(path), oss.access_key_id, oss.access_key_secret
    )
    try:
        await gate.is_reached()
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def until_it_waits_for_the_lock(task: asyncio.Task[Any]) -> None:
    """Until the transfer of that caller sleeps between two tries to hold the lock."""

    def awaited(coroutine: Any) -> list[str]:
        names = []
        while coroutine is not None:
            names.append(getattr(coroutine, "__qualname__", ""))
            coroutine = getattr(coroutine, "cr_await", None)
        return names

    while not task.done():
        transfers = [task for task in asyncio.all_tasks() if task.get_name().startswith("aioss_resume")]
        if any({"DestinationLock.wait_and_lock", "Clock.sleep"} <= set(awaited(task.get_coro())) for task in transfers):
            return
        await asyncio.sleep(0)
    pytest.fail("it did not wait")


@pytest.mark.parametrize("size", [1000, SIZE])
async def test_tasks_that_want_the_same_share_one_transfer(
    oss: LocalOSS, bucket: Any, path: Path, same_bytes: Same, size: int
) -> None:
    stored = oss.put("examplebucket", "key", size=size)
    oss.faults.delay(0.05)
    results = await asyncio.gather(*(start(bucket, path) for _ in range(5)))
    assert results == [results[0]] * 5
    assert same_bytes(path, stored.content)
    assert sum(request.bytes_sent for request in oss.requests) == size
    assert len({request.range for request in oss.requests}) == len(oss.requests)


async def test_downloaders_share_a_transfer_too(oss: LocalOSS, bucket: Any, path: Path) -> None:
    oss.put("examplebucket", "key", size=SIZE)
    oss.faults.delay(0.05)
    async with Downloader(bucket) as one, Downloader(oss.bucket("examplebucket")) as other:
        results = await asyncio.gather(one.download("key", path, **SMALL), other.download("key", path, **SMALL))
    assert results[0] == results[1]
    assert sum(request.bytes_sent for request in oss.requests) == SIZE


async def test_transfer_outlives_the_downloader_that_began_it(
    oss: LocalOSS, bucket: Any, path: Path, same_bytes: Same, gate: Any
) -> None:
    stored = oss.put("examplebucket", "key", size=SIZE)
    gate.close(SIZE - PART)
    async with Downloader(bucket) as other:
        async with Downloader(bucket) as first:
            began = asyncio.create_task(first.download("key", path, **SMALL))
            await gate.is_reached()
            joined = asyncio.create_task(other.download("key", path, **SMALL))
            await callers_have_joined()
            began.cancel()
            await asyncio.wait([began])
        gate.open()
        assert (await joined).size == SIZE
    assert began.cancelled()
    assert same_bytes(path, stored.content)


@pytest.mark.parametrize("which", [0, 1])
async def test_cancelling_one_caller_does_not_stop_the_other(
    oss: LocalOSS, bucket: Any, path: Path, same_bytes: Same, which: int, gate: Any
) -> None:
    stored = oss.put("examplebucket", "key", size=SIZE)
    gate.close(SIZE - PART)
    callers = [start(bucket, path)]
    await gate.is_reached()
    callers.append(start(bucket, path))
    await callers_have_joined()
    callers[which].cancel()
    await asyncio.wait([callers[which]])
    assert callers[which].cancelled()
    assert not callers[1 - which].done()
    sent = len(oss.requests)
    gate.open()
    result = await callers[1 - which]
    assert all(request.range[0] >= SIZE - PART for request in oss.requests[sent:])
    assert same_bytes(path, stored.content)
    assert result.fetched_bytes == SIZE


async def test_cancelling_every_caller_stops_the_transfer_which_can_be_resumed(
    oss: LocalOSS, bucket: Any, path: Path, same_bytes: Same, gate: Any
) -> None:
    stored = oss.put("examplebucket", "key", size=SIZE)
    gate.close(SIZE - PART)
    written = asyncio.Event()

    def watch(consumed: int, total: int | None) -> None:
        if consumed >= SIZE - PART:
            written.set()

    callers = [start(bucket, path, progress_callback=watch), start(bucket, path)]
    await written.wait()
    for caller in callers:
        caller.cancel()
    await asyncio.wait(callers)
    assert all(caller.cancelled() for caller in callers)
    assert sorted(entry.suffix for entry in path.parent.iterdir()) == [".checkpoint", ".part"]
    gate.open()
    result = await start(bucket, path)
    assert result.resumed_bytes >= SIZE - PART
    assert result.fetched_bytes == SIZE - result.resumed_bytes
    assert same_bytes(path, stored.content)


async def test_caller_that_arrives_while_the_last_one_leaves_starts_a_new_transfer(
    oss: LocalOSS, bucket: Any, path: Path, same_bytes: Same, gate: Any
) -> None:
    stored = oss.put("examplebucket", "key", size=SIZE)
    gate.close(SIZE - PART)
    first = start(bucket, path)
    await gate.is_reached()
    first.cancel()
    await asyncio.sleep(0)  # the cancelled caller waits for the end of its transfer
    assert not first.done()
    gate.open()
    result = await start(bucket, path, on_busy="fail")
    assert first.cancelled()
    assert result.size == SIZE
    assert same_bytes(path, stored.content)


async def test_another_object_to_the_same_path_waits_its_turn(
    oss: LocalOSS, bucket: Any, path: Path, same_bytes: Same, gate: Any
) -> None:
    oss.put("examplebucket", "key", size=SIZE)
    other = oss.put("examplebucket", "other", size=SIZE, seed=2)
    gate.close(SIZE - PART)
    first = start(bucket, path)
    await gate.is_reached()
    second = start(bucket, path, "other")
    await callers_have_joined()
    assert {request.key for request in oss.requests} == {"key"}
    gate.open()
    assert (await first).key == "key"
    assert (await second).key == "other"
    assert not (await second).skipped
    assert same_bytes(path, other.content)


@pytest.mark.parametrize("differs", [{"key": "other"}, {"version_id": "null"}, {"params": {"response-expires": "0"}}])
async def test_another_object_to_the_same_path_fails_with_on_busy_fail(
    oss: LocalOSS, bucket: Any, path: Path, differs: dict[str, Any], gate: Any
) -> None:
    oss.put("examplebucket", "key", size=SIZE)
    gate.close(SIZE - PART)
    first = start(bucket, path)
    await gate.is_reached()
    with pytest.raises(DownloadInProgressError):
        await start(bucket, path, on_busy="fail", **differs)
    gate.open()
    assert (await first).size == SIZE
    assert {(request.key, request.version_id) for request in oss.requests} == {("key", None)}
    assert not any("response-expires" in request.query for request in oss.requests)


async def test_same_object_with_on_busy_fail_joins(oss: LocalOSS, bucket: Any, path: Path, gate: Any) -> None:
    oss.put("examplebucket", "key", size=SIZE)
    gate.close(SIZE - PART)
    first = start(bucket, path)
    await gate.is_reached()
    second = start(bucket, path, on_busy="fail")
    await callers_have_joined()
    gate.open()
    assert await first == await second


async def test_joining_caller_with_integrity_require_gets_no_unverified_file(
    oss: LocalOSS, bucket: Any, path: Path, same_bytes: Same, gate: Any
) -> None:
    stored = oss.put("examplebucket", "key", size=SIZE, no_crc=True)
    gate.close(SIZE - PART)
    first = start(bucket, path)
    await gate.is_reached()
    second = start(bucket, path, integrity="require")
    await callers_have_joined()
    gate.open()
    assert not (await first).verified
    with pytest.raises(IntegrityError, match="no CRC-64"):
        await second
    assert same_bytes(path, stored.content)


async def test_waiting_caller_may_be_cancelled(oss: LocalOSS, bucket: Any, path: Path, gate: Any) -> None:
    oss.put("examplebucket", "key", size=SIZE)
    gate.close(SIZE - PART)
    first = start(bucket, path)
    await gate.is_reached()
    second = start(bucket, path, "other")
    await callers_have_joined()
    second.cancel()
    await asyncio.wait([second])
    assert second.cancelled()
    gate.open()
    assert (await first).size == SIZE
    assert {request.key for request in oss.requests} == {"key"}


async def test_error_reaches_every_caller_as_its_own(oss: LocalOSS, bucket: Any, path: Path) -> None:
    callers = [start(bucket, path) for _ in range(3)]
    errors = await asyncio.gather(*callers, return_exceptions=True)
    assert [type(error) for error in errors] == [type(errors[0])] * 3
    assert all(isinstance(error, NoSuchKeyError) for error in errors)
    assert len({id(error) for error in errors}) == 3
    assert len({str(error) for error in errors}) == 1
    assert len(oss.requests) == 1


async def test_error_midway_reaches_every_caller(oss: LocalOSS, bucket: Any, path: Path) -> None:
    oss.put("examplebucket", "key", size=SIZE)
    oss.faults.status(403, times=None, after_requests=2)
    errors = await asyncio.gather(start(bucket, path), start(bucket, path), return_exceptions=True)
    assert all(isinstance(error, AccessDeniedError) for error in errors)


async def test_each_caller_has_its_own_progress(oss: LocalOSS, bucket: Any, path: Path) -> None:
    oss.put("examplebucket", "key", size=SIZE)
    seen: list[list[int]] = [[], []]

    def watch(which: int) -> Callable[[int, int | None], None]:
        def note(consumed: int, total: int | None) -> None:
            seen[which].append(consumed)

        return note

    await asyncio.gather(*(start(bucket, path, progress_callback=watch(which)) for which in range(2)))
    assert all(calls[-1] == SIZE and calls == sorted(calls) for calls in seen)


async def test_callback_that_raises_ends_its_own_caller_only(
    oss: LocalOSS, bucket: Any, path: Path, same_bytes: Same, gate: Any
) -> None:
    stored = oss.put("examplebucket", "key", size=SIZE)
    gate.close(SIZE - PART)

    def fail(consumed: int, total: int | None) -> None:
        raise ZeroDivisionError

    callers = [start(bucket, path, progress_callback=fail), start(bucket, path)]
    await gate.is_reached()
    with pytest.raises(ZeroDivisionError):
        await callers[0]
    gate.open()
    assert (await callers[1]).size == SIZE
    assert same_bytes(path, stored.content)


async def test_different_paths_share_nothing(oss: LocalOSS, bucket: Any, tmp_path: Path) -> None:
    oss.put("examplebucket", "key", b"bytes")
    await asyncio.gather(start(bucket, tmp_path / "a"), start(bucket, tmp_path / "b"))
    assert len(oss.requests) == 2


async def test_path_that_another_process_has_fails_with_on_busy_fail(
    oss: LocalOSS, bucket: Any, path: Path, same_bytes: Same, gate: Any
) -> None:
    stored = oss.put("examplebucket", "key", size=SIZE)
    async with another_process(oss, path, gate) as process:
        sent = len(oss.requests)
        for key in ("key", "other"):
            with pytest.raises(DownloadInProgressError):
                await start(bucket, path, key, on_busy="fail")
        assert len(oss.requests) == sent
        gate.open()
        assert await process.wait() == 0
    assert same_bytes(path, stored.content)
    assert [entry.name for entry in path.parent.iterdir()] == ["file"]


@pytest.mark.parametrize("overwrite", ["always", "never"])
async def test_file_just_published_by_another_process_is_not_fetched_again(
    oss: LocalOSS, bucket: Any, path: Path, same_bytes: Same, overwrite: str, gate: Any
) -> None:
    stored = oss.put("examplebucket", "key", size=SIZE)
    async with another_process(oss, path, gate) as process:
        waiting = start(bucket, path, overwrite=overwrite)
        await until_it_waits_for_the_lock(waiting)
        gate.open()
        assert await process.wait() == 0
        result = await waiting
    assert result.skipped
    assert result.verified
    assert (result.resumed_bytes, result.fetched_bytes) == (SIZE, 0)
    assert [request.range for request in oss.requests].count((0, 1)) == 1
    assert sum(request.bytes_sent for request in oss.requests) <= SIZE + PART + 1
    assert same_bytes(path, stored.content)
    assert [entry.name for entry in path.parent.iterdir()] == ["file"]


async def test_own_object_is_fetched_after_another_process_published_another(
    oss: LocalOSS, bucket: Any, path: Path, same_bytes: Same, gate: Any
) -> None:
    oss.put("examplebucket", "key", size=SIZE)
    other = oss.put("examplebucket", "other", size=SIZE, seed=2)
    async with another_process(oss, path, gate) as process:
        waiting = start(bucket, path, "other")
        await until_it_waits_for_the_lock(waiting)
        gate.open()
        assert await process.wait() == 0
        result = await waiting
    assert not result.skipped
    assert same_bytes(path, other.content)


async def test_waiting_process_resumes_what_a_killed_one_left(
    oss: LocalOSS, bucket: Any, path: Path, same_bytes: Same, gate: Any
) -> None:
    stored = oss.put("examplebucket", "key", size=SIZE)
    async with another_process(oss, path, gate) as process:
        waiting = start(bucket, path)
        await until_it_waits_for_the_lock(waiting)
        process.kill()
        gate.open()
        result = await waiting
    assert not result.skipped
    assert result.size == SIZE
    assert same_bytes(path, stored.content)
    assert [entry.name for entry in path.parent.iterdir()] == ["file"]


async def test_waiting_for_another_process_may_be_cancelled(oss: LocalOSS, bucket: Any, path: Path, gate: Any) -> None:
    oss.put("examplebucket", "key", size=SIZE)
    async with another_process(oss, path, gate) as process:
        waiting = start(bucket, path)
        await until_it_waits_for_the_lock(waiting)
        waiting.cancel()
        await asyncio.wait([waiting])
        assert waiting.cancelled()
        gate.open()
        assert await process.wait() == 0
    assert [entry.name for entry in path.parent.iterdir()] == ["file"]


async def test_deadline_counts_the_wait_for_another_process(oss: LocalOSS, bucket: Any, path: Path, gate: Any) -> None:
    oss.put("examplebucket", "key", size=SIZE)
    async with another_process(oss, path, gate) as process:
        with pytest.raises(Exception, match="deadline") as caught:
            await start(bucket, path, retry=RetryPolicy(deadline=0.1))
        assert type(caught.value).__name__ == "RequestError"
        gate.open()
        assert await process.wait() == 0
