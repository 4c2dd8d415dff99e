"""One transfer for all the tasks of a process that want the same object at the same path."""

import asyncio
import copy
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final
from weakref import WeakKeyDictionary

import anyio

from aioss_resume._file.download import Download
from aioss_resume._io.cancellation import wait_uncancelled
from aioss_resume._transfer.client import Client
from aioss_resume.errors import AiossError, DownloadInProgressError, IntegrityError, ObjectName, RequestError
from aioss_resume.events import DownloadResult
from aioss_resume.options import PROGRESS_SECONDS, DownloadOptions, ProgressCallback


@dataclass(eq=False, slots=True)
class _Shared:
    """A transfer under way, and how many callers wait for it. With the last of them it ends."""

    wanted: tuple[object, ...]
    download: Download
    task: asyncio.Task[DownloadResult]
    callers: int = 0
    is_leaving: bool = False
    is_error_taken: bool = False


_running: Final[WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, _Shared]]] = WeakKeyDictionary()
# By loop, since tasks of other loops cannot be awaited; downloads of other threads meet at the lock, as processes do.


async def share(
    client: Client, name: ObjectName, destination: str, options: DownloadOptions, make: Callable[[], Download]
) -> DownloadResult:
    """The result of the one transfer that brings this object to that path; begun here, or joined.

    Raises:
        AiossError: What ended the transfer, or kept this caller from it.
        BaseException: What the caller's own progress_callback raised: the caller leaves the transfer.
    """

    async def take_part() -> DownloadResult:
        shared = await _join_or_begin(client, name, destination, options, make)
        try:
            result = await _follow(shared, options.progress_callback)
        finally:
            await _leave(shared)
        if options.integrity == "require" and not result.verified:  # whoever began the transfer did not ask for it
            raise IntegrityError(f"{name}: OSS sends no CRC-64 to compare with, or it was not compared", name=name)
        return result

    deadline = options.retry.deadline
    if deadline is None:
        return await take_part()
    with anyio.move_on_after(deadline):
        return await take_part()
    raise RequestError(
        f"{name}: not there after the deadline of {deadline:g} s",
        name=name,
        hint="run again: what was written is kept",
    )


async def _join_or_begin(
    client: Client, name: ObjectName, destination: str, options: DownloadOptions, make: Callable[[], Download]
) -> _Shared:
    """The transfer to that path, this caller counted in."""
    running = _running.setdefault(asyncio.get_running_loop(), {})
    wanted = (client.bucket.endpoint, name, options.version_id, options.params, options.headers)
    while (shared := running.get(destination)) is not None:
        if shared.wanted == wanted and not shared.is_leaving:
            shared.callers += 1
            return shared
        if options.on_busy == "fail" and not shared.is_leaving:
            raise DownloadInProgressError(
                f"{name}: another object is on its way to {destination!r}",
                name=name,
                hint='wait for it with on_busy="wait"',
            )
        await asyncio.wait([shared.task])
    # No task group can hold this task: its callers come and go, each with a life of its own. It cannot leak either:
    # the last caller that leaves cancels it and waits for its end.
    client.lease()
    download = make()
    task = asyncio.create_task(_run(client, download, running, destination), name=f"aioss_resume: {name}")
    shared = running[destination] = _Shared(wanted, download, task, callers=1)
    return shared


async def _run(client: Client, download: Download, running: dict[str, _Shared], destination: str) -> DownloadResult:
    try:
        return await download.run()
    finally:
        del running[destination]
        await client.end_lease()


async def _follow(shared: _Shared, callback: ProgressCallback | None) -> DownloadResult:
    """Wait for the transfer's end, and tell the callback meanwhile how far it is."""
    task, download = shared.task, shared.download
    if callback is None:
        ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()  # a third of asyncio.wait()'s price
        task.add_done_callback(lambda _: None if ended.done() else ended.set_result(None))
        await ended
        return _outcome(shared)
    first: list[asyncio.Future[Any]] = [task, download.begun]  # Any: what they bring does not matter here
    await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
    while not task.done():
        await _tell(callback, download.consumed, download.total)
        await asyncio.wait([task], timeout=PROGRESS_SECONDS)
    result = _outcome(shared)
    is_known = download.total is not None or result.skipped
    await _tell(callback, result.size, result.size if is_known else None)
    return result


async def _tell(callback: ProgressCallback, consumed: int, total: int | None) -> None:
    response = callback(consumed, total)
    if inspect.isawaitable(response):
        await response


def _outcome(shared: _Shared) -> DownloadResult:
    """The transfer's result, or its error raised: to each caller one of its own, for its traceback's sake."""
    error = None if shared.task.cancelled() else shared.task.exception()
    if error is None:
        return shared.task.result()
    if shared.is_error_taken and isinstance(error, AiossError):
        error = copy.copy(error)
    shared.is_error_taken = True
    raise error


async def _leave(shared: _Shared) -> None:
    """This caller waits no more. The last one ends the transfer and waits for its end, however often cancelled."""
    shared.callers -= 1
    if shared.callers:
        return
    shared.is_leaving = True
    shared.task.cancel()  # does nothing once it has ended
    is_over = shared.task.done
    cancelled = None if is_over() else await wait_uncancelled(is_over, lambda: asyncio.wait([shared.task]))
    if not shared.task.cancelled():
        shared.task.exception()  # seen, so that nobody warns of it: it may have come while we were leaving
    if cancelled:
        raise cancelled
