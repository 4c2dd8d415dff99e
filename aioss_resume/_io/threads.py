"""Our own threads. Calls in them never outlive the task that made them.

The event loop's default executor is left to the host program, which also resolves host names in it.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from threading import Lock
from typing import Any, Final, ParamSpec, TypeVar

from aioss_resume._io.cancellation import wait_uncancelled
from aioss_resume._io.file_thread import FileThread

P = ParamSpec("P")
T = TypeVar("T")

_WORKERS: Final = 4
# Two write as fast as eight, because of the GIL. A third reads back while they write. The fourth is for a call that
# hangs, such as a provider of keys that waits for the network.

_QUEUE_TURN: Final = 8  # calls of one queue before others have their turn


class Threads:
    """A small thread pool, started with the first call. close() waits for its threads to end."""

    def __init__(self) -> None:
        self._pool: ThreadPoolExecutor | None = None
        self._file_thread: FileThread | None = None

    @property
    def file_thread(self) -> FileThread:
        """The thread for short calls, which are executed one after the other."""
        if self._file_thread is None:
            self._file_thread = FileThread()
        return self._file_thread

    def submit(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Start a call in a thread. The caller must wait for its end."""
        if self._pool is None:
            self._pool = ThreadPoolExecutor(_WORKERS, thread_name_prefix="aioss-resume")
        return self._pool.submit(call, *args, **kwargs)

    def submit_again(self, call: Callable[[], object]) -> None:
        """Start a call from a thread of the pool. Does nothing if the pool was closed."""
        pool = self._pool
        if pool is not None:
            with suppress(RuntimeError):
                pool.submit(call)

    async def run(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run call(*args, **kwargs) in a thread. If cancelled, wait for the end of a running call, then raise."""
        work = self.submit(call, *args, **kwargs)
        try:
            return await asyncio.wrap_future(work)
        except asyncio.CancelledError:
            work.cancel()  # has no effect once the call has begun
            await _end_of(work)
            raise

    async def run_uncancelled(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Like run(), but the call is made even if this task is cancelled. For clean-up."""
        work = self.submit(call, *args, **kwargs)
        if cancelled := await _end_of(work):
            raise cancelled
        return work.result()

    async def close(self) -> None:
        """End the threads. There are no calls left then, so this is quick."""
        pool, self._pool = self._pool, None
        file_thread, self._file_thread = self._file_thread, None
        threads = list(file_thread.threads) if file_thread is not None else []
        if file_thread is not None:
            file_thread.close()
        if pool is not None:
            pool.shutdown(wait=False)
            threads += pool._threads  # the pool's own way to wait for them blocks

        def have_ended() -> bool:
            return not any(thread.is_alive() for thread in threads)

        if cancelled := await wait_uncancelled(
            have_ended, lambda: asyncio.sleep(0.0005)
        ):  # a thread's end sets no event
            raise cancelled


class SerialQueue:
    """Executes calls one after the other, each in any free thread of the pool.

    The kernel lets one thread write to a file at a time; others would spin and block the pool. 1 GiB in four spans over
    loopback took 0.91 s without a queue and 0.83 s with one.
    """

    def __init__(self, threads: Threads) -> None:
        self._threads = threads
        self._waiting: deque[tuple[Future[Any], Callable[[], Any]]] = deque()  # Any: whatever the calls return
        self._is_moving = False
        self._lock = Lock()  # guards both

    def submit(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Like Threads.submit(), but the call starts after the earlier ones."""
        work: Future[T] = Future()
        with self._lock:
            self._waiting.append((work, partial(call, *args, **kwargs)))
            begins, self._is_moving = not self._is_moving, True
        if begins:
            try:
                self._threads.submit(self._move)
            except RuntimeError:  # the system grants no thread
                work.cancel()
                self._is_moving = False
                raise
        return work

    def _move(self) -> None:
        for _ in range(_QUEUE_TURN):
            with self._lock:
                if not self._waiting:
                    self._is_moving = False
                    return
                work, call = self._waiting.popleft()
            if work.set_running_or_notify_cancel():
                try:
                    result = call()
                except BaseException as error:  # noqa: BLE001  # it is raised where the call is awaited
                    work.set_exception(error)
                else:
                    work.set_result(result)
                    del result
            del work, call  # a traceback may refer to this frame, which would be a cycle
        with self._lock:
            self._is_moving = goes_on = bool(self._waiting)
        if goes_on:
            self._threads.submit_again(self._move)


class FileExecutor(Executor):
    """An executor for one file handle. drain() waits for its last call.

    Args:
        queue: The queue of the file.
    """

    def __init__(self, threads: Threads, queue: SerialQueue) -> None:
        self._threads = threads
        self._queue = queue
        self._last: Future[Any] | None = None  # Any: whatever the call returns

    def submit(self, call: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:  # Any: Executor's signature
        work = self._queue.submit(call, *args, **kwargs)
        self._last = work
        return work

    async def run_uncancelled(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Like Threads.run_uncancelled()."""
        return await self._threads.run_uncancelled(call, *args, **kwargs)

    async def drain(self) -> None:
        """Wait until the last call has ended, even if this task is cancelled."""
        if self._last is not None:
            await _end_of(self._last)


async def _end_of(work: Future[Any]) -> asyncio.CancelledError | None:
    """Wait until `work` has ended, even if cancelled. Returns the cancellation.

    A thread that still writes after its handle was closed would write to whichever file got the descriptor's number.
    """

    async def wait() -> None:
        end = asyncio.wrap_future(work)
        end.add_done_callback(_retrieve_exception)
        await asyncio.wait([end])

    return await wait_uncancelled(work.done, wait)


def _retrieve_exception(end: asyncio.Future[Any]) -> None:
    """Retrieve an exception, so that asyncio does not log it. Any: as above."""
    if not end.cancelled():
        end.exception()
