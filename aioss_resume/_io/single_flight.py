"""One call of a coroutine function for all tasks that need its result at the same time."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from aioss_resume._io.cancellation import wait_uncancelled

T = TypeVar("T")


@dataclass(slots=True)
class _Flight(Generic[T]):
    """One call, and the number of tasks that wait for it. Without any, it is being cancelled."""

    task: asyncio.Task[T]
    waiting: int = 0


class SingleFlight(Generic[T]):
    """Calls a function once for all tasks that wait, and returns the result to each of them.

    The call goes on as long as any task waits for it, whichever of them are cancelled.

    Args:
        call: The function. It returns errors instead of raising them: an exception must not be raised in many tasks.
    """

    def __init__(self, call: Callable[[], Coroutine[Any, Any, T]]) -> None:  # Any: what a coroutine yields and receives
        self._call = call
        self._flight: _Flight[T] | None = None

    @property
    def is_running(self) -> bool:
        """Whether a call has begun and not ended."""
        return self._flight is not None and not self._flight.task.done()

    async def join(self) -> T:
        """Return the result of the call that is running, or else of a new one."""
        while (flight := self._flight) is not None and not flight.waiting and not flight.task.done():
            await asyncio.wait([flight.task])  # its end is not that of this task, and there is one call at a time
        if flight is None or flight.task.done():
            # Not in a task group: it belongs to all tasks that wait for it, and the last one ends it.
            flight = self._flight = _Flight(asyncio.create_task(self._call(), name="aioss_resume: single flight"))
        flight.waiting += 1
        try:
            await asyncio.wait([flight.task])
        finally:
            flight.waiting -= 1
            if not flight.waiting and not flight.task.done():
                flight.task.cancel()
                await wait_uncancelled(flight.task.done, lambda: asyncio.wait([flight.task]))
        return flight.task.result()
