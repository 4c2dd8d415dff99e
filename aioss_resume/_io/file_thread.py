"""Short calls of the file system in one thread, at a fifth of the cost of a call in a thread pool.

With small objects, thread calls are a third of the work, mostly because threads wake each other for the GIL. So one
thread makes the calls of all downloads in order. It is woken once for all calls of one iteration of the event loop, and
wakes the event loop once for all calls that are done.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from queue import SimpleQueue
from threading import Lock, Thread
from time import monotonic
from typing import Any, Final, TypeVar

from aioss_resume._io.cancellation import wait_uncancelled

T = TypeVar("T")

_THREADS_MOST: Final = 4
_STUCK_SECONDS: Final = 0.02  # after which a running call counts as stuck, and another thread makes the next ones
_TELL_SECONDS: Final = 0.002  # after which the loop is told of finished calls, even if more are queued


class _FileCall:
    """A call that is queued or running. Only do() is called outside the event loop's thread."""

    __slots__ = ("_call", "_error", "_result", "end", "is_over", "is_wanted")

    def __init__(self, call: Callable[[], Any], end: asyncio.Future[None]) -> None:  # Any: whatever it returns
        self._call = call
        self._result: Any = None
        self._error: BaseException | None = None
        self.end = end
        self.is_wanted = True
        self.is_over = False

    def do(self) -> None:
        if not self.is_wanted:
            return
        try:
            self._result = self._call()
        except BaseException as error:  # noqa: BLE001  # it is raised where the call is awaited
            self._error = error

    def outcome(self) -> Any:
        try:
            if self._error is not None:
                raise self._error
            return self._result
        finally:
            self._error = None  # its traceback refers to this frame, which would be a cycle


class FileThread:
    """The thread, started with the first call. If a call hangs, other threads execute the queued ones."""

    def __init__(self, threads_most: int = _THREADS_MOST) -> None:
        self._threads_most = threads_most
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[_FileCall] = deque()
        self._wakes: SimpleQueue[bool] = SimpleQueue()  # True: look for calls; False: end
        self._is_awake = False  # or will be woken soon; the thread sets it to False, then looks for calls once more
        self._done: list[_FileCall] = []
        self._lock = Lock()  # guards _done
        self._under_way = 0
        self._alarm: asyncio.TimerHandle | None = None
        self._began_at = 0.0  # when the last call was begun
        self.threads: list[Thread] = []

    async def run(self, call: Callable[[], T]) -> T:
        """Like Threads.run()."""
        file_call = self._send(call)
        try:
            await file_call.end
        except asyncio.CancelledError:
            file_call.is_wanted = False  # has no effect once the call has begun
            await self._until_over(file_call)
            raise
        return file_call.outcome()  # type: ignore[no-any-return]

    async def run_uncancelled(self, call: Callable[[], T]) -> T:
        """Like Threads.run_uncancelled()."""
        file_call = self._send(call)
        if cancelled := await self._until_over(file_call):
            raise cancelled
        return file_call.outcome()  # type: ignore[no-any-return]

    def start(self, call: Callable[[], object]) -> Callable[[], Awaitable[asyncio.CancelledError | None]]:
        """Queue a call. The returned function waits for its end, even if cancelled, and returns the cancellation."""
        return partial(self._until_over, self._send(call))

    def close(self) -> None:
        """Execute the queued calls, then end the threads."""
        if self._alarm is not None:
            self._alarm.cancel()
        if self.threads:
            self._wakes.put(False)

    def _send(self, call: Callable[[], Any]) -> _FileCall:
        if not self.threads:
            self._begin_thread(self._work)
        file_call = _FileCall(call, self._loop.create_future())
        self._waiting.append(file_call)
        self._under_way += 1
        if not self._is_awake:
            self._is_awake = True
            self._loop.call_soon(self._wakes.put, True)
        if self._alarm is None:
            self._alarm = self._loop.call_later(_STUCK_SECONDS, self._look)
        return file_call

    def _look(self) -> None:
        """While calls are queued, start another thread if the running call hangs."""
        self._take_note()  # of calls that ended before that one
        self.threads = [thread for thread in self.threads if thread.is_alive()]
        is_stuck = self._waiting and monotonic() - self._began_at > _STUCK_SECONDS
        if is_stuck and len(self.threads) < self._threads_most:
            with suppress(RuntimeError):  # the system grants no more threads
                self._begin_thread(self._help)
        self._alarm = self._loop.call_later(_STUCK_SECONDS, self._look) if self._under_way else None

    def _begin_thread(self, work: Callable[[], None]) -> None:
        self._began_at = monotonic()  # the new thread has not begun a call yet, so it is not stuck
        # A daemon, so that a program can end without closing it.
        thread = Thread(target=work, name=f"aioss-resume file_thread {len(self.threads)}", daemon=True)
        thread.start()
        self.threads.append(thread)

    async def _until_over(self, file_call: _FileCall) -> asyncio.CancelledError | None:
        """Wait for the end of the call, even if cancelled. Returns the cancellation."""

        async def wait() -> None:
            if file_call.end.cancelled():
                file_call.end = self._loop.create_future()
            await file_call.end

        return await wait_uncancelled(lambda: file_call.is_over, wait)

    def _work(self) -> None:
        while self._wakes.get():
            self._help()
            self._is_awake = False
            self._help()  # calls that were added before are not announced
        self._help()

    def _help(self) -> None:
        """Execute the queued calls."""
        told_at = monotonic()
        while self._waiting:
            with suppress(IndexError):  # another thread took it
                file_call = self._waiting.popleft()
                self._began_at = monotonic()
                file_call.do()
                with self._lock:
                    self._done.append(file_call)
                del file_call
            if monotonic() - told_at > _TELL_SECONDS:
                self._tell()
                told_at = monotonic()
        self._tell()

    def _tell(self) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            if self._done:
                self._loop.call_soon_threadsafe(self._take_note)

    def _take_note(self) -> None:
        with self._lock:
            done, self._done = self._done, []
        self._under_way -= len(done)
        for file_call in done:
            file_call.is_over = True
            if not file_call.end.done():
                file_call.end.set_result(None)
