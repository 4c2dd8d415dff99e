"""The calls that run through a Downloader. They end when it is closed."""

import asyncio
from types import TracebackType
from typing import Protocol

from aioss_resume._io.cancellation import wait_uncancelled
from aioss_resume.errors import ObjectName, RequestError


class Running(Protocol):
    """What runs through a Downloader."""

    def end(self) -> None:
        """End it soon."""


class Calls:
    """The calls that are running, and the streams that are open."""

    def __init__(self) -> None:
        self._running: set[Running] = set()
        self._all_ended = asyncio.Event()

    def call(self) -> "_Call":
        """Run the `with` block as one call. It ends early, without an exception, if end_all() ends it.

        The caller raises closed_error() after the block: raised within, it would have the cancellation as its context.
        """
        return _Call(self)

    def add(self, call: Running) -> None:
        self._running.add(call)

    def remove(self, call: Running) -> None:
        self._running.remove(call)
        if not self._running:
            self._all_ended.set()

    async def end_all(self) -> asyncio.CancelledError | None:
        """End all calls, and wait until they have ended. Returns a cancellation that arrived meanwhile."""
        self._all_ended.clear()
        for call in tuple(self._running):
            call.end()
        return await wait_uncancelled(lambda: not self._running, self._all_ended.wait)


class _Call:
    """One call. It cancels its task and takes the cancellation back, as asyncio.timeout() does.

    anyio's CancelScope would do, but costs a fortieth of a small object.
    """

    __slots__ = ("_calls", "_cancelling", "_is_ended", "_task")

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._is_ended = False
        self._cancelling = 0
        self._task: asyncio.Task[object] | None = None

    def end(self) -> None:
        assert self._task is not None
        self._is_ended = True
        self._task.cancel()

    def __enter__(self) -> None:
        self._task = asyncio.current_task()
        assert self._task is not None
        self._cancelling = self._task.cancelling()
        self._calls.add(self)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        self._calls.remove(self)
        if not self._is_ended:
            return False
        assert self._task is not None
        return self._task.uncancel() <= self._cancelling and isinstance(error, asyncio.CancelledError)


def closed_error(name: ObjectName) -> RequestError:
    """The error for a call that ended because its Downloader was closed."""
    return RequestError(
        f"{name}: the Downloader was closed",
        name=name,
        hint="keep its `async with` block open until its calls have ended; what was written is kept",
    )
