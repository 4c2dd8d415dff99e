"""Batch: run work with bounded concurrency, and hand out each outcome when it is ready."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from contextlib import aclosing
from types import TracebackType
from typing import Any, Generic, Protocol, Self, TypeAlias, TypeVar

from aioss_resume._io.cancellation import wait_uncancelled
from aioss_resume._transfer.calls import Calls, closed_error
from aioss_resume.errors import ConfigError, ObjectName


class HasError(Protocol):
    """An outcome."""

    @property
    def error(self) -> Exception | None: ...


O = TypeVar("O", bound=HasError)  # noqa: E741

Work: TypeAlias = Callable[[], Coroutine[Any, Any, Sequence[O]]]  # Any: what a coroutine yields and receives
"""What makes outcomes. It raises nothing."""


class Batch(Generic[O]):
    """Outcomes in the order in which they become ready. Used with `async with` and `async for`.

    The source is consumed only as fast as the outcomes are read: at most `most` pieces of work run at the same time,
    and at most as many outcomes wait to be read. Leaving the block cancels running work and closes the source.

    Args:
        name: The bucket and prefix that error messages name.
        source: Yields work, or an outcome if there is nothing to do. Closed at the end.
        stop_on_error: End the batch at the first outcome with an error, and raise that error.
    """

    def __init__(
        self,
        name: ObjectName,
        source: AsyncGenerator[O | Work[O], None],
        calls: Calls,
        *,
        most: int,
        stop_on_error: bool,
    ) -> None:
        self._name = name
        self._source = source
        self._calls = calls
        self._most = most
        self._stop_on_error = stop_on_error
        self._feeder: asyncio.Task[None] | None = None
        self._running: set[asyncio.Task[None]] = set()
        self._outcomes: deque[O] = deque()
        self._error: BaseException | None = None  # raised once the outcomes before it were handed out
        self._is_open = False
        self._changed = asyncio.Event()  # for the reader: an outcome, or the end
        self._has_room = asyncio.Event()  # for the feeder

    async def __aenter__(self) -> Self:
        """Start the work."""
        if self._feeder is not None:
            raise ConfigError("this batch is in use already: make another one")
        self._is_open = True
        # Not in a task group: the `async with` block may end in another task than it began in.
        self._feeder = asyncio.create_task(self._feed(), name=f"aioss_resume: {self._name}")
        self._calls.add(self)
        self._feeder.add_done_callback(self._note_end_of_all)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._is_open = False
        self._cancel()
        feeder = self._feeder
        assert feeder is not None
        cancelled = await wait_uncancelled(feeder.done, lambda: asyncio.wait([feeder]))
        self._outcomes.clear()
        if cancelled is not None:
            raise cancelled

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> O:
        """The next outcome.

        Raises:
            AiossError: The listing failed, the Downloader was closed, or, with stop_on_error, a download failed.
            BaseException: What the caller's iterable raised.
        """
        while not self._outcomes:
            if not self._is_open:
                raise ConfigError("this batch is not open: use it within `async with`")
            if self._feeder is None or self._feeder.done():
                if self._error is not None:
                    raise self._error
                raise StopAsyncIteration
            self._changed.clear()
            await self._changed.wait()
        outcome = self._outcomes.popleft()
        self._has_room.set()
        return outcome

    def end(self) -> None:
        """End the batch because its Downloader was closed: readers get an error."""
        self._fail(closed_error(self._name))

    def _note(self, outcome: O) -> None:
        """Called with each outcome before it is handed out."""

    async def _finish(self) -> None:
        """Called when all work has ended, even if the batch was cancelled."""

    async def _feed(self) -> None:
        """Start all work, and wait for its end."""
        try:
            async with aclosing(self._source) as source:
                async for work in source:
                    if callable(work):
                        task = asyncio.create_task(self._run(work), name=f"aioss_resume: {self._name}")
                        self._running.add(task)
                        task.add_done_callback(self._note_end)
                    else:
                        self._add(work)
                    if self._error is not None:
                        return  # at once: more work would be started before the cancellation arrives
                    while len(self._running) >= self._most or len(self._outcomes) >= self._most:
                        self._has_room.clear()
                        await self._has_room.wait()
        except Exception as error:  # noqa: BLE001  # the caller's iterable may raise anything; it is raised to the reader
            self._fail(error)
        finally:
            cancelled = await wait_uncancelled(lambda: not self._running, lambda: asyncio.wait(self._running))
            await self._finish()
        if cancelled is not None:
            raise cancelled

    async def _run(self, work: Work[O]) -> None:
        for outcome in await work():
            self._add(outcome)

    def _add(self, outcome: O) -> None:
        self._note(outcome)
        if self._stop_on_error and outcome.error is not None:
            self._fail(outcome.error)
        else:
            self._outcomes.append(outcome)
            self._changed.set()

    def _note_end(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fail(error)
        self._has_room.set()
        self._changed.set()

    def _note_end_of_all(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fail(error)
        self._calls.remove(self)
        self._changed.set()

    def _fail(self, error: BaseException) -> None:
        """End the batch with that error, unless it already ended with another one."""
        if self._error is None:
            self._error = error
        self._cancel()

    def _cancel(self) -> None:
        for task in (self._feeder, *self._running):
            if task is not None:
                task.cancel()  # has no effect once it has ended
