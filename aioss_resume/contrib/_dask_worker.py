"""The code that runs on the workers of a cluster. Each process has one event loop, and one Downloader for each job."""

import asyncio
import os
import pickle
import threading
from collections import Counter, deque
from collections.abc import Sequence
from concurrent.futures import CancelledError as FutureCancelledError
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from typing import Any, Final, TypeAlias

import anyio

from aioss_resume._core.crc64 import EMPTY, crc64
from aioss_resume._core.grouping import Allowance
from aioss_resume._core.manifest import FileState
from aioss_resume._core.objects import ObjectMeta
from aioss_resume._io.storage import UPDATE, Storage
from aioss_resume._io.tree import Tree, state_of
from aioss_resume._io.write import written_parts
from aioss_resume.contrib._buckets import BucketConfig
from aioss_resume.downloader import Downloader
from aioss_resume.errors import AiossError, ConfigError, RequestError, local_file_error
from aioss_resume.events import DownloadResult
from aioss_resume.options import CONCURRENCY_OF_ALL, DownloadOptions, MiB

_ENDED_MOST: Final = 1000  # jobs that are known to have ended
_WINDOW: Final = 16 * MiB  # bytes in memory of a range that goes to a file

Found: TypeAlias = tuple[DownloadResult | None, FileState | None, Exception | None]
"""How one object ended: the result and how the file looks, or the error."""

RELEASE: Final = version("aioss-resume")


@dataclass(frozen=True, slots=True)
class Job:
    """The settings that all groups of one download share. They are pickled and contain no secrets.

    Attributes:
        token: Identifies the job.
        version: The release of the sender.
        options: Keywords of download().
    """

    token: str
    version: str
    config: BucketConfig
    directory: str
    options: dict[str, Any]  # Any: the keywords are of many types


def download_group(job: Job, allowance: Allowance, items: Sequence[tuple[str, str]]) -> list[Found]:
    """Download objects to paths below the job's directory.

    Args:
        items: Pairs of a key and a relative path.

    Raises:
        ConfigError: This worker cannot open the bucket.
        LocalFileError: It cannot use the directory.
    """
    found: list[Found] = _process().run(job, allowance, partial(_group, job, allowance, items))
    return found


def download_range(job: Job, allowance: Allowance, wanted: tuple[ObjectMeta, str, int | None, tuple[int, int]]) -> int:
    """Write a range of an object into its part file, and sync it; returns the range's CRC-64.

    Args:
        wanted: The object, the part file's relative path, its inode (None if unknown), and the range.

    Raises:
        AiossError: As `Downloader.stream()`; LocalFileError: the part file is another one, or cannot be written.
    """
    found: int = _process().run(job, allowance, partial(_range, job, *wanted))
    return found


async def end_job(token: str) -> None:
    """End everything that still runs for a job on this worker, and close its Downloader, before this returns."""
    await _process().end(token)


async def _group(
    job: Job, allowance: Allowance, items: Sequence[tuple[str, str]], downloader: Downloader, tree: Tree
) -> list[Found]:
    at_once = max(1, min(allowance.requests, len(items)))
    options = DownloadOptions(**{**job.options, "concurrency": max(1, allowance.requests // at_once)})
    found: list[Found] = [(None, None, None)] * len(items)
    left = iter(enumerate(items))

    async def work() -> None:
        for number, (key, path) in left:
            found[number] = await _one(downloader, tree, f"{job.directory}/{path}", key, options)

    async with anyio.create_task_group() as tasks:
        for _ in range(at_once):
            tasks.start_soon(work)
    return found


async def _one(downloader: Downloader, tree: Tree, path: str, key: str, options: DownloadOptions) -> Found:
    client = downloader._open_client()
    relative = [path.removeprefix(f"{tree.root}/")]
    try:
        (before,) = await client.threads.run(tree.states, relative)
        with tree.storage() as storage:
            result, committed = await downloader._download_into(client, key, path, options, storage)
        if committed is not None:
            return result, state_of(committed), None
        (after,) = await client.threads.run(tree.states, relative)
    except Exception as error:  # noqa: BLE001  # whatever it is, it is the outcome
        return None, None, _travelling(error)
    return result, after if after == before else None, None  # it was compared with the object in between


async def _range(
    job: Job,
    meta: ObjectMeta,
    part: str,
    inode: int | None,
    wanted: tuple[int, int],
    downloader: Downloader,
    tree: Tree,
) -> int:
    path, (start, stop) = f"{job.directory}/{part}", wanted
    run = downloader._open_client().threads.run
    options = {name: job.options[name] for name in ("headers", "params", "retry", "timeouts")}
    with tree.storage() as storage:
        try:
            descriptor = await run(storage.open, path, UPDATE)
            try:
                if inode is not None and (await run(storage.fstat, descriptor)).st_ino != inode:
                    raise FileNotFoundError(2, "the part file was replaced", path)
                found = EMPTY
                async with downloader.stream(meta, start, stop, window=_WINDOW, **options) as stream:
                    offset = start
                    async for chunk in stream:
                        found = await run(_write, storage, descriptor, chunk, offset, found)
                        offset += len(chunk)
                await run(storage.fsync, descriptor)
            finally:
                await run(storage.close, descriptor)
        except OSError as error:
            problem = local_file_error("write a range of the part file", error, path)
        else:
            return found
    raise problem


def _write(storage: Storage, descriptor: int, chunk: bytes, offset: int, found: int) -> int:
    for part in written_parts(storage, descriptor, [chunk], offset):
        found = crc64(part, found)
    return found


class _Process:
    """The event loop of this process, in a thread of its own, and the open jobs."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="aioss-resume worker", daemon=True)
        self._thread.start()
        self._jobs: dict[str, _OpenJob] = {}
        self._ended: deque[str] = deque(maxlen=_ENDED_MOST)

    def run(self, job: Job, allowance: Allowance, work: Any) -> Any:
        """Run a coroutine function with the Downloader and the directory, and wait for its result. Blocks."""
        if job.version != RELEASE:
            raise _named(
                ConfigError(
                    f"this worker has aioss-resume {RELEASE}, and the job is of {job.version}",
                    hint="install the same release everywhere",
                )
            )
        future = asyncio.run_coroutine_threadsafe(self._run(job, allowance, work), self._loop)
        try:
            return future.result()
        except AiossError as error:
            raise _named(error) from None
        except FutureCancelledError:
            pass
        raise _named(RequestError("the download was cancelled"))

    async def end(self, token: str) -> None:
        """Called in the worker's own event loop, which goes on meanwhile."""
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self._end(token), self._loop))

    async def _run(self, job: Job, allowance: Allowance, work: Any) -> Any:
        opened = self._jobs.get(job.token)
        if job.token in self._ended:  # it was queued here when the job ended
            raise asyncio.CancelledError
        if opened is None:
            opened = self._jobs[job.token] = _OpenJob(job)
        return await opened.run(allowance, work)

    async def _end(self, token: str) -> None:
        self._ended.append(token)
        opened = self._jobs.pop(token, None)
        if opened is not None:
            await opened.close()


class _OpenJob:
    """One job in this process: its Downloader and directory, opened with the first group."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._opening = asyncio.Lock()  # guards _downloader and _tree
        self._downloader: Downloader | None = None
        self._tree: Tree | None = None
        self._rates: Counter[float] = Counter()
        self._tasks: set[asyncio.Task[Any]] = set()

    async def run(self, allowance: Allowance, work: Any) -> Any:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        rate = allowance.bytes_per_second
        try:
            async with self._opening:
                downloader, tree = await self._open()
            self._allow(downloader, rate, 1)
            try:
                return await work(downloader=downloader, tree=tree)
            finally:
                self._allow(downloader, rate, -1)
        finally:
            self._tasks.discard(task)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        if self._downloader is not None:
            await self._downloader.__aexit__(None, None, None)
        if self._tree is not None:
            self._tree.close()

    async def _open(self) -> tuple[Downloader, Tree]:
        if self._downloader is None:
            downloader = Downloader(self._job.config.open(), concurrency=32 * CONCURRENCY_OF_ALL)
            self._downloader = await downloader.__aenter__()
        if self._tree is None:
            client = self._downloader._open_client()
            fsync = bool(self._job.options["fsync"])
            make = partial(Tree, self._job.directory, dry_run=False, fsync=fsync, token=client.clock.token())
            try:
                self._tree = await client.threads.run(make)
            except OSError as error:
                problem = local_file_error("use the directory", error, self._job.directory)
            else:
                return self._downloader, self._tree
            raise problem
        return self._downloader, self._tree

    def _allow(self, downloader: Downloader, rate: float | None, change: int) -> None:
        """Set the limits to the sum of the parts of the groups that run here."""
        if rate is None:
            return
        self._rates[rate] += change
        total = sum(each * count for each, count in self._rates.items())
        if total > 0:
            downloader.max_bytes_per_second = total


_processes: Final[dict[int, _Process]] = {}  # by process id, because a forked process has none of its parent's threads
_making: Final = threading.Lock()  # guards _processes


def _process() -> _Process:
    with _making:
        pid = os.getpid()
        if pid not in _processes:
            _processes[pid] = _Process()
        return _processes[pid]


def _named(error: AiossError) -> AiossError:
    """Add the name of the worker to an error, if this runs on one."""
    with suppress(ImportError, ValueError):
        from distributed import get_worker

        error.add_note(f"on worker {get_worker().address}")
    return error


def _travelling(error: Exception) -> Exception:
    """Make an error that can be pickled."""
    try:
        pickle.dumps(error)
    except Exception:  # noqa: BLE001  # a stranger's exception
        return RequestError(f"a download on a worker raised {type(error).__name__}")
    return error
