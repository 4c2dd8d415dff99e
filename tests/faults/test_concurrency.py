"""Rows X of the catalogue: cancellation, other tasks, other processes, the event loop."""
# ruff: noqa: N802

import asyncio
import os
import signal
import sys
import textwrap
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import anyio
import anyio.to_thread
import pytest
from bad_disk import BadDisk, BusyDisk, LocklessDisk, WaitingDisk, onto
from flow.canary import Watch
from flow.ranged import PART, QUICK, RANGED, SIZE, begins_at, interrupt, names, whole
from over_old import HASTY, OLD, THRICE, brings, fails, is_there, put, with_session
from test_network import Resolver, named

import aioss_resume
from aioss_resume import AccessDeniedError, ConfigError, Downloader, DownloadInProgressError, RequestError
from aioss_resume._core.paths import lock_name
from aioss_resume._file.locking import LOCK_SECONDS
from aioss_resume._io.lock import PathLock
from aioss_resume.testing import LocalOSS, MiB

pytestmark = pytest.mark.anyio

CHILD = textwrap.dedent(
    """
    import asyncio, os, sys, oss2, aioss_resume
    from aioss_resume import Downloader, RetryPolicy
    from aioss_resume._io.storage import Storage

    class LocklessDisk(Storage):
        def lock(self, descriptor):
            return True

    endpoint, path, how = sys.argv[1:]
    auth = oss2.AuthV4("local-access-key-id", "local-access-key-secret")
    bucket = oss2.Bucket(auth, endpoint, "examplebucket", region="cn-hangzhou")
    options = dict(part_size=102400, multiget_threshold=102400, fsync=False, retry=RetryPolicy(wait_initial=0.0))

    async def main():
        if how == "pending":  # the loop ends, and nobody has ended the download
            reached = asyncio.Event()
            options["progress_callback"] = lambda consumed, total: consumed >= 5 * 102400 and reached.set()
            options["concurrency"] = 1
            main.task = asyncio.create_task(aioss_resume.download(bucket, "key", path, **options))
            await reached.wait()
            return
        downloader = Downloader(bucket)
        if how == "lockless":
            downloader._storage = LocklessDisk()
        async with downloader:
            if how == "fail":
                options["on_busy"] = "fail"
            if how == "fork":
                children = []
                def fork(consumed, total):
                    if not children:
                        children.append(os.fork())
                        if not children[0]:
                            code = 1
                            try:
                                child = oss2.Bucket(auth, endpoint, "examplebucket", region="cn-hangzhou")
                                asyncio.run(aioss_resume.download(child, "key", path + ".child"))
                                code = 0
                            finally:
                                os._exit(code)
                options["progress_callback"] = fork
            await downloader.download("key", path, **options)
            if how == "fork":
                print(os.waitstatus_to_exitcode(os.waitpid(children[0], 0)[1]))

    asyncio.run(main())
    """
)


async def start(oss: LocalOSS, path: Path, how: str = "") -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-W", "ignore::DeprecationWarning", "-c", CHILD, oss.endpoint, str(path), how,
        stdout=-1, stderr=-1,
    )  # fmt: skip


def lock_of_another_process(path: Path) -> PathLock:
    """Held, it is to this process as if another one held it: claims go by the path as it is spelt."""
    return PathLock(f"{path.parent}/./{lock_name(path.name)}")


async def ends_well(process: asyncio.subprocess.Process) -> str:
    said, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    assert not any(word in errors for word in (b"Traceback", b"destroyed", b"never retrieved")), errors.decode()
    return said.decode()


@asynccontextmanager
async def held_process(oss: LocalOSS, path: Path, gate: Any, how: str = "") -> AsyncIterator[Any]:
    """A process that downloads to the path, and waits for its last part."""
    gate.close(10 * PART)
    process = await start(oss, path, how)
    try:
        await gate.is_reached()
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


@pytest.mark.parametrize("what", ["download", "small", "head", "downloader"])
async def test_X01_download_cancelled_after_any_loop_iteration_leaves_nothing_and_can_be_resumed(
    oss: LocalOSS, bucket: Any, path: Path, what: str
) -> None:
    put(oss, 1000 if what == "small" else SIZE)

    async def run() -> None:
        if what == "head":
            async with Downloader(bucket) as downloader:
                await downloader.head("key")
        elif what == "downloader":
            async with Downloader(bucket) as downloader:
                await downloader.download("key", path, **RANGED)
        else:
            await aioss_resume.download(bucket, "key", path, **RANGED)

    expected = whole(1000 if what == "small" else SIZE)
    for count in [*range(0, 30, 2), *range(30, 150, 17)]:
        task = asyncio.create_task(run())
        await turns(count)
        was_done = task.done()
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled() or was_done
        assert not [thread for thread in threading.enumerate() if thread.name.startswith("aioss-resume")]
        assert path.read_bytes() in (OLD, expected)
    if what != "head":
        await brings(bucket, path, expected)


@pytest.mark.parametrize("times", [1, 2, 5])
async def test_X02_cancelled_write_has_ended_before_its_file_is_closed(
    oss: LocalOSS, bucket: Any, path: Path, times: int
) -> None:
    put(oss)
    disk = WaitingDisk()
    task = asyncio.create_task(onto(disk, bucket, path))
    assert await anyio.to_thread.run_sync(disk.begun.wait, 20)
    for _ in range(times):
        task.cancel()
        await turns(50)
        assert not task.done()  # the thread is still writing, so the descriptor must not be closed
    disk.may_end.set()
    await asyncio.wait([task])
    assert task.cancelled()
    assert path.read_bytes() == OLD
    await brings(bucket, path)


async def test_X03_download_ended_by_a_timeout_can_be_resumed(oss: LocalOSS, bucket: Any, path: Path) -> None:
    put(oss)
    hold = oss.faults.stall(range=begins_at(5 * PART), times=None)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5):
            await aioss_resume.download(bucket, "key", path, **RANGED)
    assert path.read_bytes() == OLD
    hold.cancel()
    assert (await brings(bucket, path)).resumed_bytes == 5 * PART


@pytest.mark.parametrize("apart", [0, 1, 3, 8])
async def test_X04_second_cancellation_does_not_stop_the_cleanup(
    oss: LocalOSS, bucket: Any, path: Path, apart: int
) -> None:
    put(oss)
    hold = oss.faults.stall(range=begins_at(5 * PART), times=None)
    reached = anyio.Event()

    def progress(consumed: int, _total: int | None) -> None:
        if consumed >= 5 * PART:
            reached.set()

    task = asyncio.create_task(aioss_resume.download(bucket, "key", path, **RANGED, progress_callback=progress))
    await reached.wait()
    for _ in range(3):
        task.cancel()
        await turns(apart)
    await asyncio.wait([task])
    assert task.cancelled()
    hold.cancel()
    assert (await brings(bucket, path)).resumed_bytes == 5 * PART


async def test_X05_of_many_failures_one_plain_error_is_raised(
    oss: LocalOSS, bucket: Any, path: Path, watch: Watch
) -> None:
    put(oss)
    oss.faults.status(403, range=begins_at(PART), times=None)
    error = await fails(watch, AccessDeniedError, bucket, path, concurrency=8)
    assert not isinstance(error, BaseExceptionGroup)
    assert error.__cause__ is error.__context__ is None


async def test_X06_download_whose_loop_ends_midway_logs_nothing_and_can_be_resumed(
    oss: LocalOSS, bucket: Any, path: Path
) -> None:
    put(oss)
    hold = oss.faults.stall(range=begins_at(5 * PART), times=None)
    await ends_well(await start(oss, path, "pending"))
    assert path.read_bytes() == OLD
    hold.cancel()
    assert (await brings(bucket, path)).resumed_bytes == 5 * PART


async def test_X07_downloader_of_another_loop_is_a_config_error(oss: LocalOSS, bucket: Any, path: Path) -> None:
    async with Downloader(bucket) as downloader:

        def elsewhere() -> None:
            with pytest.raises(ConfigError, match="event loop"):
                asyncio.run(downloader.download("key", path))

        await anyio.to_thread.run_sync(elsewhere)
    assert oss.requests == []


@pytest.mark.parametrize("after", [0, 3 * PART])
@pytest.mark.parametrize("error", [ZeroDivisionError, asyncio.CancelledError])
async def test_X08_callback_that_raises_ends_the_download_with_few_more_requests(
    oss: LocalOSS, bucket: Any, path: Path, after: int, error: type[BaseException]
) -> None:
    size = 40 * PART
    put(oss, size)
    oss.faults.delay(0.02, times=None)
    at_raise = 0

    def callback(consumed: int, _total: int | None) -> None:
        nonlocal at_raise
        if consumed >= after:
            at_raise = len(oss.requests)
            raise error

    with pytest.raises(error):
        await aioss_resume.download(bucket, "key", path, **RANGED, progress_callback=callback, concurrency=4)
    assert 0 < at_raise <= len(oss.requests) <= at_raise + 5
    assert path.read_bytes() == OLD
    await brings(bucket, path, whole(size))


async def test_X08_waiting_callback_delays_no_byte(oss: LocalOSS, bucket: Any, path: Path) -> None:
    put(oss)
    may_end = asyncio.Event()

    async def callback(_consumed: int, _total: int | None) -> None:
        await may_end.wait()

    task = asyncio.create_task(aioss_resume.download(bucket, "key", path, **RANGED, progress_callback=callback))
    await anyio.to_thread.run_sync(oss.wait_for_bytes, SIZE)
    assert not task.done()
    may_end.set()
    assert (await task).verified
    is_there(path)


async def test_X09_tasks_that_want_the_same_share_one_transfer(oss: LocalOSS, bucket: Any, path: Path) -> None:
    put(oss)
    oss.faults.delay(0.02)
    results = await asyncio.gather(*(brings(bucket, path) for _ in range(5)))
    assert len({id(result) for result in results}) == 1
    assert sum(record.bytes_sent for record in oss.requests) == SIZE


@pytest.mark.parametrize("on_busy", ["wait", "fail"])
async def test_X09_another_object_to_the_same_path_never_mixes(
    oss: LocalOSS, bucket: Any, path: Path, gate: Any, on_busy: Any
) -> None:
    put(oss)
    other = whole(SIZE, 9)
    oss.put("examplebucket", "other", other)
    gate.close(10 * PART)
    task = asyncio.create_task(aioss_resume.download(bucket, "key", path, **RANGED))
    await gate.is_reached()
    second = asyncio.create_task(aioss_resume.download(bucket, "other", path, **RANGED, on_busy=on_busy))
    await turns(20)
    gate.open()
    await task
    if on_busy == "fail":
        with pytest.raises(DownloadInProgressError):
            await second
        is_there(path)
    else:
        await second
        is_there(path, other)


@pytest.mark.parametrize("on_busy", ["wait", "fail"])
async def test_X10_two_processes_download_the_object_once(
    oss: LocalOSS, bucket: Any, path: Path, gate: Any, watch: Watch, on_busy: Any
) -> None:
    put(oss)
    async with held_process(oss, path, gate) as process:
        if on_busy == "fail":
            await fails(watch, DownloadInProgressError, bucket, path, on_busy="fail")
            gate.open()
            await ends_well(process)
            return
        task = asyncio.create_task(aioss_resume.download(bucket, "key", path, **RANGED))
        await turns(20)
        gate.open()
        await ends_well(process)
        assert (await task).skipped
    is_there(path)
    assert len({record.range for record in oss.requests if record.range != (0, 1) and not record.faults}) >= 10


async def test_X10_small_object_has_neither_lock_nor_checkpoint(oss: LocalOSS, bucket: Any, path: Path) -> None:
    put(oss, 1000)
    disk = BadDisk()
    await onto(disk, bucket, path)
    is_there(path, whole(1000))
    assert [call for call, _ in disk.done] == ["open", "write_at", "close", "replace"]


async def test_X10_small_object_that_takes_long_has_a_lock(oss: LocalOSS, bucket: Any, path: Path) -> None:
    put(oss, 1000)
    hold = oss.faults.never_answer(times=None)
    task = asyncio.create_task(aioss_resume.download(bucket, "key", path, **RANGED))
    with anyio.fail_after(20):
        while not list(path.parent.glob(".*.lock")):  # noqa: ASYNC110  # the creation of a file sets no event
            await asyncio.sleep(0.01)
    process = await start(oss, path, "fail")
    _, errors = await process.communicate()
    assert b"DownloadInProgressError" in errors
    assert len(oss.requests) == 1
    hold.cancel()
    oss.drop_connections()
    await task
    is_there(path, whole(1000))


async def test_X10_small_object_takes_no_lock_after_it_is_published(oss: LocalOSS, bucket: Any, path: Path) -> None:
    put(oss, 1000)
    disk = BadDisk()
    downloader = Downloader(bucket)
    downloader._storage = disk
    async with downloader:
        await downloader.download("key", path, **RANGED)
        await asyncio.sleep(2 * LOCK_SECONDS)
    is_there(path, whole(1000))
    assert not [name for _, name in disk.done if name.endswith(".lock")]


@pytest.mark.parametrize("times", [1, 3])
async def test_X01_cancellation_during_late_locking_leaves_no_lock(
    oss: LocalOSS, bucket: Any, path: Path, times: int
) -> None:
    put(oss, 1000)
    hold = oss.faults.never_answer(times=None)
    disk = WaitingDisk("lock")
    task = asyncio.create_task(onto(disk, bucket, path))
    assert await anyio.to_thread.run_sync(disk.begun.wait, 20)
    for _ in range(times):
        task.cancel()
        await turns(10)
    assert not task.done()
    disk.may_end.set()
    await asyncio.wait([task])
    assert task.cancelled()
    assert names(path.parent) == [path.name]
    hold.cancel()
    await brings(bucket, path, whole(1000), on_busy="fail")


@pytest.mark.parametrize("what", ["brings it", "gives up"])
async def test_X10_process_that_begins_at_the_same_time_is_waited_for(
    oss: LocalOSS, bucket: Any, path: Path, what: str
) -> None:
    put(oss)
    other = lock_of_another_process(path)
    disk = BusyDisk(other.try_lock)
    task = asyncio.create_task(onto(disk, bucket, path))
    assert await anyio.to_thread.run_sync(disk.has_refused.wait, 20)
    assert len(oss.requests) == 1
    assert path.read_bytes() == OLD
    if what == "brings it":
        path.write_bytes(whole())
    await anyio.to_thread.run_sync(other.release)
    result = await task
    assert result.skipped == (what == "brings it")
    is_there(path)


async def test_X10_leftovers_of_a_process_that_began_at_the_same_time_are_continued(
    oss: LocalOSS, bucket: Any, path: Path, tmp_path: Path
) -> None:
    put(oss)
    await interrupt(bucket, oss, path)
    kept = tmp_path / "kept"
    kept.mkdir()
    left = [each for each in path.parent.iterdir() if each.name.startswith(".")]
    for each in left:
        each.rename(kept / each.name)

    def comes_back() -> None:
        for each in left:
            (kept / each.name).rename(each)

    result = await onto(BusyDisk(comes_back), bucket, path)
    assert result.resumed_bytes == 5 * PART
    is_there(path)


async def test_X11_four_processes_without_locks_publish_the_right_file(oss: LocalOSS, bucket: Any, path: Path) -> None:
    put(oss)
    oss.faults.delay(0.01, times=None)
    processes = [await start(oss, path, "lockless") for _ in range(4)]
    for process in processes:
        await process.communicate()
    assert path.read_bytes() == whole()
    assert 0 in [process.returncode for process in processes]
    await brings(bucket, path)


async def test_X11_two_objects_without_locks_never_mix(oss: LocalOSS, bucket: Any, path: Path) -> None:
    put(oss)
    other = whole(SIZE, 9)
    oss.put("examplebucket", "other", other)
    lockless = await start(oss, path, "lockless")
    async with Downloader(bucket) as unused:
        assert unused is not None
    downloader = Downloader(bucket)
    downloader._storage = LocklessDisk()
    async with downloader:
        await downloader.download("other", path, **RANGED)
    await lockless.communicate()
    assert path.read_bytes() in (whole(), other)


async def test_X12_killed_owner_blocks_no_other_process(oss: LocalOSS, bucket: Any, path: Path, gate: Any) -> None:
    put(oss)
    async with held_process(oss, path, gate) as process:
        process.kill()
        await process.wait()
    gate.open()
    await brings(bucket, path, on_busy="fail")


@pytest.mark.parametrize("replaced", [False, True])
async def test_X13_owner_that_wakes_up_after_another_has_published_harms_nothing(
    oss: LocalOSS, bucket: Any, path: Path, gate: Any, replaced: bool
) -> None:
    put(oss)
    new = whole(SIZE, 2)
    async with held_process(oss, path, gate, "lockless") as sleeper:
        sleeper.send_signal(signal.SIGSTOP)
        gate.open()
        if replaced:
            oss.put("examplebucket", "key", new)
        result = await onto(LocklessDisk(), bucket, path, retry=QUICK)
        assert result.verified
        assert path.read_bytes() == (new if replaced else whole())
        sleeper.send_signal(signal.SIGCONT)
        await sleeper.communicate()
    assert path.read_bytes() == (new if replaced else whole())
    is_there(path, (await brings(bucket, path, new if replaced else None)) and path.read_bytes())


async def test_X14_forked_child_downloads_for_itself_and_harms_nothing(oss: LocalOSS, bucket: Any, path: Path) -> None:
    put(oss)
    oss.faults.delay(0.01, times=None)
    assert await ends_well(await start(oss, path, "fork")) == "0\n"
    assert path.read_bytes() == whole()
    assert path.with_name("file.child").read_bytes() == whole()
    assert names(path.parent) == ["file", "file.child"]
    await brings(bucket, path, on_busy="fail")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
async def test_X15_signal_ends_the_command_and_keeps_the_written_bytes(
    oss: LocalOSS, bucket: Any, path: Path, number: signal.Signals, code: int
) -> None:
    put(oss)
    hold = oss.faults.stall(range=begins_at(5 * PART), times=None)
    environment = {**os.environ, "OSS_ACCESS_KEY_ID": oss.access_key_id}
    environment["OSS_ACCESS_KEY_SECRET"] = oss.access_key_secret
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "aioss_resume.cli.child", oss.endpoint, oss.region, "examplebucket", "key", str(path)),
        *(f"--part-size={PART}", f"--multiget-threshold={PART}", "--concurrency=2"),
        env=environment, stdout=-1,
    )  # fmt: skip
    assert process.stdout is not None
    async for line in process.stdout:
        if f'"consumed": {5 * PART},'.encode() in line:
            break
    process.send_signal(number)
    await process.communicate()
    assert process.returncode == code
    assert path.read_bytes() == OLD
    hold.cancel()
    assert (await brings(bucket, path)).resumed_bytes == 5 * PART


@asynccontextmanager
async def taken_executor() -> AsyncIterator[None]:
    """The loop's default executor has one thread, which is taken."""
    loop = asyncio.get_running_loop()
    may_end = threading.Event()
    taken = ThreadPoolExecutor(max_workers=1)
    loop.set_default_executor(taken)
    blocked = loop.run_in_executor(None, may_end.wait, 60)
    try:
        yield
    finally:
        may_end.set()
        await blocked
        await anyio.to_thread.run_sync(taken.shutdown)
    loop._default_executor = None  # type: ignore[attr-defined]  # later users of the loop get a new one


async def test_X17_busy_default_executor_blocks_no_file_call(oss: LocalOSS, bucket: Any, path: Path) -> None:
    put(oss)
    async with taken_executor(), asyncio.timeout(30):
        await brings(bucket, path)


async def test_X17_custom_resolver_works_while_the_default_executor_is_busy(oss: LocalOSS, path: Path) -> None:
    put(oss)
    resolver = Resolver("127.0.0.1")
    async with taken_executor(), asyncio.timeout(30), with_session(named(oss), resolver=resolver) as downloader:
        await downloader.download("key", path, **RANGED)
    is_there(path)


async def test_X17_name_lookup_that_never_runs_times_out(oss: LocalOSS, path: Path, watch: Watch) -> None:
    bucket = oss.bucket("examplebucket", endpoint=f"http://oss.localhost:{oss.port}")
    async with taken_executor(), asyncio.timeout(30):
        await fails(watch, RequestError, bucket, path, timeouts=HASTY)
    assert oss.requests == []


async def test_X18_exhausted_limiter_of_anyio_blocks_nothing(oss: LocalOSS, bucket: Any, path: Path) -> None:
    put(oss)
    limiter = anyio.to_thread.current_default_thread_limiter()
    takers = [object() for _ in range(int(limiter.total_tokens))]
    for taker in takers:
        limiter.acquire_on_behalf_of_nowait(taker)
    try:
        async with asyncio.timeout(30):
            await brings(bucket, path)
    finally:
        for taker in takers:
            limiter.release_on_behalf_of(taker)


async def test_X20_session_closed_midway_is_reported_and_can_be_resumed(
    oss: LocalOSS, bucket: Any, path: Path, watch: Watch
) -> None:
    put(oss)
    hold = oss.faults.stall(range=begins_at(5 * PART), times=None)
    reached = anyio.Event()

    def progress(consumed: int, _total: int | None) -> None:
        if consumed >= 5 * PART:
            reached.set()

    async with aiohttp.ClientSession() as session, Downloader(bucket, session=session) as downloader:
        options = {**RANGED, "retry": THRICE, "progress_callback": progress}
        task = asyncio.create_task(downloader.download("key", path, **options))
        await reached.wait()
        await session.close()
        with watch.raises(RequestError) as caught:
            await task
    assert "session was closed" in str(caught.error)
    assert path.read_bytes() == OLD
    hold.cancel()
    assert (await brings(bucket, path)).resumed_bytes == 5 * PART


@pytest.mark.parametrize("fsync", [False, True])
async def test_X21_nothing_blocks_the_loop(oss: LocalOSS, bucket: Any, path: Path, fsync: bool) -> None:
    """What watches is in the conftest, around every test: here it meets large files, proofs, fsync and commit."""
    put(oss, 20 * MiB)
    await interrupt(bucket, oss, path, at=20 * PART)
    result = await brings(bucket, path, whole(20 * MiB), fsync=fsync, overwrite="if_changed")
    assert result.resumed_bytes > 0
    assert (await brings(bucket, path, whole(20 * MiB), fsync=fsync, overwrite="if_changed")).skipped
