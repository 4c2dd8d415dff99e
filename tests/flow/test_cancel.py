"""Cancelled anywhere: nothing is left running, and the next run brings the file."""

import asyncio
import gc
import itertools
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import anyio
import anyio.to_thread
import pytest

from aioss_resume import RequestError, RetryPolicy, download
from aioss_resume._file import sharing
from aioss_resume.testing import GeneratedContent, KiB, LocalOSS

pytestmark = pytest.mark.anyio

PART = 128 * KiB
THRESHOLD = 256 * KiB
SMALL: dict[str, Any] = {"part_size": PART, "multiget_threshold": THRESHOLD, "fsync": False}
SIZE = THRESHOLD + 3 * PART
Same = Callable[[Path, GeneratedContent], bool]

TURNS = [*range(40), *range(40, 200, 20), *range(200, 600, 100)]
"""How many turns of the event loop a download lives before it is cancelled."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "file"


def files(directory: Path) -> list[str]:
    return sorted(entry.suffix or entry.name for entry in directory.iterdir())


def start(bucket: Any, path: Path, **keywords: Any) -> asyncio.Task[Any]:
    return asyncio.create_task(download(bucket, "key", path, **{**SMALL, **keywords}))


async def turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


@pytest.fixture
async def stalled(oss: LocalOSS, bucket: Any, gate: Any) -> Any:
    """A function that waits until a download of the key hangs before its last part, and has written all others."""
    oss.put("examplebucket", "key", size=SIZE)
    gate.close(SIZE - PART)

    async def is_reached() -> None:
        await gate.is_reached()
        running = sharing._running[asyncio.get_running_loop()].values()
        while any(shared.download.progress.consumed < SIZE - PART for shared in running):  # noqa: ASYNC110
            await asyncio.sleep(0.001)

    return is_reached


class FileCalls:
    """Cancels a task just before the nth call of the file system that the library's threads make.

    The call itself waits until the loop has turned a few times (at each of which the task may be cancelled again), so
    that what the cancelled task does next happens while the call is under way.
    """

    watching: "FileCalls | None" = None
    kinds: Final = {"open", "os.mkdir", "os.rmdir", "os.remove", "os.rename", "os.truncate", "fcntl.flock"}

    def __init__(self, nth: int, task: asyncio.Task[Any], times: int = 1, kind: str | None = None) -> None:
        self.left = nth
        self.kind = kind  # what is counted; None: all kinds
        self.task = task
        self.times = times
        self.loop = asyncio.get_running_loop()
        self.lock = threading.Lock()  # guards left
        self.happened: str | None = None

    def __enter__(self) -> "FileCalls":
        FileCalls.watching = self
        return self

    def __exit__(self, *_: object) -> None:
        FileCalls.watching = None

    def meet(self, kind: str) -> None:
        if self.kind not in (None, kind):
            return
        with self.lock:
            self.left -= 1
            if self.left:
                return
        self.happened = kind
        done = threading.Event()

        def turn(number: int) -> None:
            if number < self.times:
                self.task.cancel()
            if number < 8:
                self.loop.call_soon(turn, number + 1)
            else:
                done.set()

        self.loop.call_soon_threadsafe(turn, 0)
        done.wait(10)


def _audit(kind: str, _args: tuple[Any, ...]) -> None:
    watching = FileCalls.watching
    if watching and kind in FileCalls.kinds and threading.current_thread().name.startswith("aioss-resume"):
        watching.meet(kind)


sys.addaudithook(_audit)  # a hook cannot be removed; without a watch it does nothing


@pytest.mark.parametrize("times", [1, 4])
@pytest.mark.parametrize("size", [0, THRESHOLD - 1, SIZE])
async def test_download_cancelled_at_any_file_call_leaves_nothing_running_and_can_be_resumed(
    oss: LocalOSS, bucket: Any, tmp_path: Path, same_bytes: Same, size: int, times: int
) -> None:
    stored = oss.put("examplebucket", "key", size=size)
    seen = set()
    # One kind of call at a time, because the number and order of the other calls may differ between runs.
    for kind in sorted(FileCalls.kinds):
        for nth in itertools.count(1):
            directory = tmp_path / f"{kind}{nth}" / "made"
            task = start(bucket, directory / "file")
            with FileCalls(nth, task, times, kind) as calls:
                await asyncio.wait([task])
            if calls.happened is None:
                assert task.result().size == size
                break
            seen.add(kind)
            left = check_what_is_left(directory)
            assert left or not directory.parent.exists()
            result = await start(bucket, directory / "file")
            assert result.resumed_bytes + result.fetched_bytes == size
            assert same_bytes(directory / "file", stored.content)
            assert files(directory) == ["file"]
    of_the_lock = {"os.remove", "fcntl.flock"} if size == SIZE else set()  # a small object is not locked
    assert seen >= {"open", "os.mkdir", "os.rename"} | of_the_lock


@pytest.mark.parametrize("times", [1, 4])
async def test_resumed_download_cancelled_at_any_file_call_can_be_resumed_again(
    oss: LocalOSS, bucket: Any, tmp_path: Path, same_bytes: Same, times: int
) -> None:
    stored = oss.put("examplebucket", "key", size=SIZE)
    for nth in itertools.count(1):
        path = tmp_path / str(nth) / "file"
        fault = oss.faults.status(403, times=None, range=lambda asked: asked is not None and asked[0] > THRESHOLD)
        with pytest.raises(Exception, match="AccessDenied"):
            # One request at a time, so that the first part is written before the next is refused.
            await start(bucket, path, concurrency=1)
        fault.cancel()
        assert files(path.parent) == [".checkpoint", ".part"]
        task = start(bucket, path)
        with FileCalls(nth, task, times) as calls:
            await asyncio.wait([task])
        left = check_what_is_left(path.parent)
        assert left
        if calls.happened is None:
            break
        result = await start(bucket, path)
        assert result.resumed_bytes >= (0 if left == ["file"] else THRESHOLD)
        assert same_bytes(path, stored.content)
        assert files(path.parent) == ["file"]
    assert task.result().resumed_bytes >= THRESHOLD


@pytest.mark.parametrize("times", [1, 4])
async def test_restart_cancelled_at_any_file_call_leaves_no_part_file_without_a_checkpoint(
    oss: LocalOSS, bucket: Any, tmp_path: Path, same_bytes: Same, times: int
) -> None:
    """The object was replaced between the runs: what was written of the old one goes, as a whole or not at all."""
    for nth in itertools.count(1):
        path = tmp_path / str(nth) / "file"
        oss.put("examplebucket", "key", size=SIZE, seed=1)
        fault = oss.faults.status(403, times=None, range=lambda asked: asked is not None and asked[0] > THRESHOLD)
        with pytest.raises(Exception, match="AccessDenied"):
            await start(bucket, path)
        fault.cancel()
        stored = oss.put("examplebucket", "key", size=SIZE, seed=2)
        task = start(bucket, path)
        with FileCalls(nth, task, times) as calls:
            await asyncio.wait([task])
        check_what_is_left(path.parent)
        if calls.happened is None:
            break
        await start(bucket, path)
        assert same_bytes(path, stored.content)
        assert files(path.parent) == ["file"]


def check_what_is_left(directory: Path) -> list[str]:
    """Committed a moment before it was cancelled; or something to go on from; or nothing at all."""
    assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("aioss_resume")]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("aioss-resume")]
    left = files(directory) if directory.exists() else []
    assert left in ([], ["file"], [".checkpoint", ".part"])
    return left


@pytest.mark.parametrize("size", [0, THRESHOLD - 1, SIZE])
async def test_download_cancelled_after_any_loop_iteration_leaves_nothing_running_and_can_be_resumed(
    oss: LocalOSS, bucket: Any, tmp_path: Path, same_bytes: Same, size: int
) -> None:
    stored = oss.put("examplebucket", "key", size=size)
    cancelled = 0
    for count in TURNS:
        directory = tmp_path / str(count) / "made"
        task = start(bucket, directory / "file")
        await turns(count)
        task.cancel()
        await asyncio.wait([task])
        if task.cancelled():
            cancelled += 1
            left = check_what_is_left(directory)
            assert left or not directory.parent.exists()
        else:
            assert task.result().size == size
        result = await start(bucket, directory / "file")
        assert result.resumed_bytes + result.fetched_bytes == size
        assert same_bytes(directory / "file", stored.content)
        assert files(directory) == ["file"]
    assert cancelled > 20


async def test_second_run_fetches_only_what_the_cancelled_one_had_not_written(
    oss: LocalOSS, bucket: Any, path: Path, stalled: Any, same_bytes: Same
) -> None:
    written = asyncio.Event()

    def watch(consumed: int, total: int | None) -> None:
        if consumed >= SIZE - PART:
            written.set()

    task = start(bucket, path, progress_callback=watch)
    await written.wait()
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    oss.faults.clear()
    oss.clear_requests()
    result = await start(bucket, path)
    assert result.resumed_bytes >= SIZE - PART
    assert sum(request.bytes_sent for request in oss.requests) == result.fetched_bytes == SIZE - result.resumed_bytes
    assert same_bytes(path, GeneratedContent(SIZE))


@pytest.mark.parametrize("between", [*range(20), 30, 50])
async def test_download_cancelled_twice_still_cleans_up(
    oss: LocalOSS, bucket: Any, path: Path, stalled: Any, same_bytes: Same, between: int
) -> None:
    task = start(bucket, path, fsync=True)
    await stalled()
    for _ in range(4):
        task.cancel()
        await turns(between)
    await asyncio.wait([task])
    assert task.cancelled()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("aioss-resume")]
    assert files(path.parent) == [".checkpoint", ".part"]
    oss.faults.clear()
    await start(bucket, path)
    assert same_bytes(path, GeneratedContent(SIZE))


async def test_cancelled_task_knows_how_often_it_was_cancelled(bucket: Any, path: Path, stalled: Any) -> None:
    counts = []

    async def caller() -> None:
        task = asyncio.current_task()
        assert task is not None
        try:
            await download(bucket, "key", path, **SMALL)
        except asyncio.CancelledError:
            counts.append(task.cancelling())
            raise

    task = asyncio.create_task(caller())
    await stalled()
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert counts == [1]


async def test_caller_that_withdraws_its_cancellation_can_continue(
    oss: LocalOSS, bucket: Any, path: Path, stalled: Any, same_bytes: Same
) -> None:
    async def caller() -> Any:
        task = asyncio.current_task()
        assert task is not None
        try:
            await download(bucket, "key", path, **SMALL)
        except asyncio.CancelledError:
            assert task.uncancel() == 0
        oss.faults.clear()
        return await download(bucket, "key", path, **SMALL)

    task = asyncio.create_task(caller())
    await stalled()
    task.cancel()
    assert (await task).size == SIZE
    assert same_bytes(path, GeneratedContent(SIZE))


async def test_asyncio_timeout_around_a_download_raises_timeout_error(
    oss: LocalOSS, bucket: Any, path: Path, stalled: Any
) -> None:
    task = asyncio.current_task()
    assert task is not None
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(None) as timeout:
            async with anyio.create_task_group() as group:

                async def expire() -> None:
                    await stalled()
                    timeout.reschedule(0)

                group.start_soon(expire)
                await download(bucket, "key", path, **SMALL)
    assert task.cancelling() == 0
    await asyncio.sleep(0)
    assert files(path.parent) == [".checkpoint", ".part"]


@pytest.mark.parametrize("iterations", range(4))
async def test_download_cancelled_when_a_timer_of_the_scheduler_is_due_is_cancelled(
    oss: LocalOSS, bucket: Any, path: Path, stalled: Any, iterations: int
) -> None:
    task = start(bucket, path)
    await stalled()
    time.sleep(0.2)  # noqa: ASYNC251  # blocks the loop, so that the timer and the cancellation come together
    await turns(iterations)
    task.cancel()
    async with asyncio.timeout(20):
        await asyncio.wait([task])
    assert task.cancelled()


async def test_asyncio_wait_for_around_a_download_raises_timeout_error(bucket: Any, path: Path, stalled: Any) -> None:
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(download(bucket, "key", path, **SMALL), 0.3)
    assert ".lock" not in files(path.parent)


async def test_cancelled_scope_of_anyio_catches_its_own_cancellation(
    oss: LocalOSS, bucket: Any, path: Path, stalled: Any, same_bytes: Same
) -> None:
    task = asyncio.current_task()
    assert task is not None
    async with anyio.create_task_group() as group:
        with anyio.CancelScope() as scope:

            async def cancel() -> None:
                await stalled()
                scope.cancel()

            group.start_soon(cancel)
            await download(bucket, "key", path, **SMALL)
    assert scope.cancelled_caught
    assert task.cancelling() == 0
    assert files(path.parent) == [".checkpoint", ".part"]
    oss.faults.clear()
    await download(bucket, "key", path, **SMALL)
    assert same_bytes(path, GeneratedContent(SIZE))


@pytest.mark.parametrize("seconds", [0, 0.001, 0.3])
async def test_anyio_move_on_after_and_fail_after_are_obeyed(
    oss: LocalOSS, bucket: Any, path: Path, stalled: Any, seconds: float
) -> None:
    with anyio.move_on_after(seconds) as scope:
        await download(bucket, "key", path, **SMALL)
    assert scope.cancelled_caught
    with pytest.raises(TimeoutError), anyio.fail_after(seconds):
        await download(bucket, "key", path, **SMALL)
    assert asyncio.current_task().cancelling() == 0  # type: ignore[union-attr]
    assert files(path.parent) in ([], [".checkpoint", ".part"])


async def test_surrounding_task_group_gets_plain_errors(oss: LocalOSS, bucket: Any, tmp_path: Path) -> None:
    async def grouped() -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(3):
                group.create_task(download(bucket, f"none {number}", tmp_path / str(number)))

    with pytest.raises(ExceptionGroup) as caught:
        # In a task of its own: Python 3.11 leaves a group's task cancelled, and anyio before 4.7 runs all tests in one.
        await asyncio.create_task(grouped())
    assert not any(isinstance(error, ExceptionGroup) for error in caught.value.exceptions)
    assert files(tmp_path) == []


async def test_error_that_arrives_with_the_cancellation_is_not_logged_as_never_retrieved(
    oss: LocalOSS, bucket: Any, path: Path
) -> None:
    task = start(bucket, path)  # there is no such key
    await turns(1)
    transfer = next(task for task in asyncio.all_tasks() if task.get_name().startswith("aioss_resume"))
    transfer.add_done_callback(lambda _: task.cancel())
    await asyncio.wait([task])
    assert task.cancelled()
    del transfer
    gc.collect()  # anyio fails a test in whose loop an exception was never retrieved
    await turns(1)


@pytest.mark.parametrize("seconds", [0, 0.3])
async def test_passed_deadline_is_a_request_error_and_the_download_can_be_resumed(
    oss: LocalOSS, bucket: Any, path: Path, stalled: Any, same_bytes: Same, seconds: float
) -> None:
    with pytest.raises(RequestError, match="deadline") as caught:
        await download(bucket, "key", path, retry=RetryPolicy(deadline=seconds), **SMALL)
    assert (caught.value.bucket, caught.value.key) == ("examplebucket", "key")
    assert asyncio.current_task().cancelling() == 0  # type: ignore[union-attr]
    assert files(path.parent) == ([".checkpoint", ".part"] if seconds else [])
    oss.faults.clear()
    result = await download(bucket, "key", path, **SMALL)
    assert bool(result.resumed_bytes) == bool(seconds)
    assert same_bytes(path, GeneratedContent(SIZE))


async def test_deadline_ends_the_wait_before_another_attempt(oss: LocalOSS, bucket: Any, path: Path) -> None:
    oss.put("examplebucket", "key", b"bytes")
    oss.faults.status(503, retry_after=1000, times=None)
    with pytest.raises(RequestError, match="deadline"):
        await download(bucket, "key", path, retry=RetryPolicy(deadline=0.2, wait_max=1000))
    assert len(oss.requests) == 1
    assert files(path.parent) == []


async def test_download_whose_loop_ends_midway_can_be_resumed(
    oss: LocalOSS, bucket: Any, path: Path, stalled: Any, same_bytes: Same
) -> None:
    async def leave() -> None:
        asyncio.create_task(download(bucket, "key", path, **SMALL))  # noqa: RUF006 - nobody waits for it
        await stalled()

    await anyio.to_thread.run_sync(asyncio.run, leave())
    assert ".lock" not in files(path.parent)
    oss.faults.clear()
    await download(bucket, "key", path, **SMALL)
    assert same_bytes(path, GeneratedContent(SIZE))
    assert files(path.parent) == ["file"]
