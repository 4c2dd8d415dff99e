"""One transfer for all tasks of a process that want the same object at the same path.

A caller that joins a transfer still gets what it asked for: what the first caller did not request is done or checked
for it. An error that is due to the first caller's options is only raised for the first caller.
"""

import asyncio
import copy
import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final
from weakref import WeakKeyDictionary

from aioss_resume._file.disk import on_disk
from aioss_resume._file.download import Download, file_exists_error
from aioss_resume._file.sync import sync
from aioss_resume._io.cancellation import run_in_time, wait_uncancelled
from aioss_resume._io.storage import Storage, exists
from aioss_resume._transfer.client import Client
from aioss_resume.errors import AiossError, DownloadInProgressError, IntegrityError, ObjectName, deadline_error
from aioss_resume.events import DownloadResult
from aioss_resume.options import PROGRESS_SECONDS, DownloadOptions, ProgressCallback


@dataclass(frozen=True, slots=True)
class DownloadRequest:
    """The request of one caller.

    Attributes:
        storage: The file system, or the part of it that may be accessed.
        endpoint: The bucket's endpoint. Together with name, version, params and headers, it identifies a transfer.
        path: The absolute path of the destination.
    """

    client: Client
    storage: Storage
    endpoint: str
    name: ObjectName
    path: str
    options: DownloadOptions

    @property
    def identity(self) -> tuple[object, ...]:
        options = self.options
        return self.endpoint, self.name, options.version_id, options.params, options.headers

    @property
    def policy(self) -> tuple[object, ...]:
        """The options that determine which errors a transfer may end with."""
        options = self.options
        return options.overwrite, options.on_change, options.on_busy, options.integrity, options.retry, options.timeouts


@dataclass(eq=False, slots=True)
class _Shared:
    """A running transfer and the number of its callers. It ends when the last caller leaves."""

    request: DownloadRequest
    download: Download
    task: asyncio.Task[DownloadResult] = field(init=False)
    callers: int = 0
    is_leaving: bool = False
    is_error_taken: bool = False


_running: Final[WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, _Shared]]] = WeakKeyDictionary()
# By event loop, because tasks of other loops cannot be awaited. Downloads of other threads use the lock.


async def share(request: DownloadRequest, make: Callable[[], Download]) -> DownloadResult:
    """Join the transfer of this object to that path, or start it, and return its result.

    Raises:
        AiossError: The transfer failed, or this caller could not join it.
        BaseException: The caller's own progress_callback raised it; the caller leaves the transfer.
    """
    return await run_in_time(
        lambda: _take_part(request, make),
        request.options.retry.deadline,
        lambda deadline: deadline_error(request.name, deadline, hint="run again: what was written is kept"),
    )


async def _take_part(request: DownloadRequest, make: Callable[[], Download]) -> DownloadResult:
    while True:
        shared = await _join_or_begin(request, make)
        is_joined = shared.request is not request
        try:
            if is_joined and request.options.overwrite == "never":
                await _refuse_if_file_exists(request, shared.download)
            result = await _follow(shared, request)
        except AiossError:
            # An error of the transfer itself may come from options that this caller does not have.
            if is_joined and shared.task.done() and request.policy != shared.request.policy:
                continue
            raise
        finally:
            await _leave(shared)
        if is_joined:
            await _complete(request, shared, result)
        return result


async def _complete(request: DownloadRequest, shared: _Shared, result: DownloadResult) -> None:
    """Do and check what this caller requested and the first one did not."""
    if request.options.integrity == "require" and not result.verified:
        raise IntegrityError(
            f"{request.name}: OSS sends no CRC-64 to compare with, or it was not compared",
            name=request.name,
            hint='integrity="auto" downloads it all the same, and says verified=False',
        )
    if request.options.fsync and not shared.request.options.fsync:
        await sync(request.client, request.name.bucket, [result])


async def _refuse_if_file_exists(request: DownloadRequest, download: Download) -> None:
    """Raise FileExistsError if the destination existed before this call, and not only since it was published."""
    was_publishing = download.is_publishing
    client = request.client
    call = partial(exists, request.storage, request.path, follow_symlinks=False)
    has_file = await on_disk(client.threads, "look for the destination", call, request.path, request.name)
    if download.is_publishing and not was_publishing:  # the file that exists may be the new one
        has_file = bool(download.found_file)
    if has_file:
        raise file_exists_error(request.name, request.path)


async def _join_or_begin(request: DownloadRequest, make: Callable[[], Download]) -> _Shared:
    """Join or start the transfer to that path, and count this caller."""
    running = _running.setdefault(asyncio.get_running_loop(), {})
    while (shared := running.get(request.path)) is not None:
        if shared.request.identity == request.identity and not shared.is_leaving:
            shared.callers += 1
            return shared
        if request.options.on_busy == "fail" and not shared.is_leaving:
            raise DownloadInProgressError(
                f"{request.name}: another object is on its way to {request.path!r}",
                name=request.name,
                hint='wait for it with on_busy="wait"',
            )
        await asyncio.wait([shared.task])
    download = make()
    request.client.lease()
    shared = running[request.path] = _Shared(request, download, callers=1)
    # Not in a task group, because its callers come and go independently. It cannot leak: the last caller that leaves
    # cancels it and waits for its end. With an eager task factory it may have ended before it is assigned.
    shared.task = asyncio.create_task(_run(shared, running), name=f"aioss_resume: {request.name}")
    return shared


async def _run(shared: _Shared, running: dict[str, _Shared]) -> DownloadResult:
    request = shared.request
    try:
        return await shared.download.run()
    finally:
        del running[request.path]
        await request.client.end_lease()


async def _follow(shared: _Shared, request: DownloadRequest) -> DownloadResult:
    """Wait for the end of the transfer, and report its progress to the caller's callback."""
    task, progress, callback = shared.task, shared.download.progress, request.options.progress_callback
    may_not_wait = request.options.on_busy == "fail" and shared.request.options.on_busy == "wait"
    if callback is None and not may_not_wait:
        # Waiting for this future costs a third of asyncio.wait().
        ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        task.add_done_callback(lambda _: None if ended.done() else ended.set_result(None))
        await ended
        return _outcome(shared)
    is_first = True
    while not task.done():
        if may_not_wait and shared.download.is_waiting_for_lock:
            raise shared.download.taken_error()
        if callback is not None and progress.known.done():
            await tell_progress(callback, progress.begun_at if is_first else progress.consumed, progress.total)
            is_first = False
        first: list[asyncio.Future[Any]] = [task]  # Any: the results do not matter here
        if not progress.known.done():
            first.append(progress.known)
        await asyncio.wait(first, timeout=PROGRESS_SECONDS, return_when=asyncio.FIRST_COMPLETED)
    result = _outcome(shared)
    if callback is not None:
        is_known = progress.total is not None or result.skipped
        await tell_progress(callback, result.size, result.size if is_known else None)
    return result


async def tell_progress(callback: ProgressCallback, consumed: int, total: int | None) -> None:
    """Call a progress callback, plain or async."""
    answer = callback(consumed, total)
    if inspect.isawaitable(answer):
        await answer


def _outcome(shared: _Shared) -> DownloadResult:
    """Return the transfer's result or raise its error, copied for each caller because each extends the traceback."""
    error = None if shared.task.cancelled() else shared.task.exception()
    if error is None:
        return shared.task.result()
    if shared.is_error_taken and isinstance(error, AiossError):
        error = copy.copy(error)
    shared.is_error_taken = True
    raise error


async def _leave(shared: _Shared) -> None:
    """Leave the transfer. The last caller cancels it and waits for its end, even if it is cancelled itself."""
    shared.callers -= 1
    if shared.callers:
        return
    shared.is_leaving = True
    shared.task.cancel()  # has no effect once it has ended
    is_over = shared.task.done
    cancelled = None if is_over() else await wait_uncancelled(is_over, lambda: asyncio.wait([shared.task]))
    if not shared.task.cancelled():
        shared.task.exception()  # retrieved, so that asyncio does not log it
    if cancelled:
        raise cancelled
