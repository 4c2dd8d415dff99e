"""Delivery of events to the caller's hook: in order, by one task, outside the data path."""

import asyncio
import inspect
import logging
from collections.abc import Awaitable
from contextvars import copy_context
from dataclasses import replace
from typing import Final

from aioss_resume._core.event_queue import EventQueue
from aioss_resume.events import Event, EventHook

logger = logging.getLogger("aioss_resume")

_CLOSE_SECONDS: Final = 5.0  # close() waits so long for a slow hook


class Deliveries:
    """The queue of events for one hook, and the task that calls it.

    Args:
        hook: The caller's function.
    """

    def __init__(self, hook: EventHook) -> None:
        self._hook: EventHook | None = hook  # None: it has raised, and is not called again
        self._queue = EventQueue()
        self._task: asyncio.Task[None] | None = None

    def send(self, event: Event) -> None:
        """Queue an event. The hook is called later, with the context variables of the caller of this method.

        So a hook that traces finds the span of the request that the download is part of, and not of another one.
        """
        if self._hook is None:
            return
        self._queue.add(event, copy_context())
        if self._task is None:
            # Not in a task group: it begins with the first event and ends with the last, whoever sends them. close()
            # waits for it.
            self._task = asyncio.get_running_loop().create_task(self._deliver(), name="aioss_resume: events")

    async def close(self) -> None:
        """Wait until all queued events are delivered, for at most a few seconds."""
        if self._task is None:
            return
        task = self._task
        await asyncio.wait([task], timeout=_CLOSE_SECONDS)
        if not task.done():
            logger.warning("on_event is still busy: %d events are dropped", len(self._queue))
            self._hook = None
            task.cancel()
            await asyncio.wait([task])

    async def _deliver(self) -> None:
        # Otherwise an eager task factory calls the hook in the data path, and later events are lost.
        await asyncio.sleep(0)
        try:
            while self._queue and self._hook is not None:
                event, context, dropped = self._queue.take()
                returned = context.run(self._hook, replace(event, dropped=dropped) if dropped else event)
                if inspect.isawaitable(returned):
                    # Awaited here; it is a task because only a task can run in another context.
                    await asyncio.create_task(_result_of(returned), context=context)
        except Exception:  # a stranger's code: the download must not end because of it
            logger.exception("on_event raised an exception; it is not called again")
            self._hook = None
        finally:
            self._task = None


async def _result_of(awaitable: Awaitable[None]) -> None:
    await awaitable
