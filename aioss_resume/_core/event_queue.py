"""Events that wait for their delivery: in order, and never more than a fixed number."""

from collections import deque
from contextvars import Context
from typing import Final

from aioss_resume.events import CheckpointFlushed, Event, SpanFetched

MOST: Final = 1000
"""Events that wait. A hook that is slower than its events would otherwise fill the memory."""

_DISPENSABLE: Final = (SpanFetched, CheckpointFlushed)
# They are dropped first: a download has many of them, and a later one says more.


class EventQueue:
    """A queue that drops the oldest dispensable event when it is full, or the oldest of all if there is none."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._events: deque[tuple[Event, Context]] = deque()
        self._dispensable = 0
        self._dropped = 0

    def __len__(self) -> int:
        return len(self._events)

    def add(self, event: Event, context: Context) -> None:
        """Add an event and the context in which it happened; the queue may drop another event, or this one."""
        is_dispensable = isinstance(event, _DISPENSABLE)
        if len(self._events) == self._most:
            self._dropped += 1
            if not self._dispensable and is_dispensable:
                return
            self._drop_one()
        self._events.append((event, context))
        self._dispensable += is_dispensable

    def take(self) -> tuple[Event, Context, int]:
        """The next event, its context, and how many were dropped since the last call. The queue must not be empty."""
        event, context = self._events.popleft()
        self._dispensable -= isinstance(event, _DISPENSABLE)
        dropped, self._dropped = self._dropped, 0
        return event, context, dropped

    def _drop_one(self) -> None:
        if not self._dispensable:
            self._events.popleft()
            return
        at = next(at for at, (event, _) in enumerate(self._events) if isinstance(event, _DISPENSABLE))
        del self._events[at]
        self._dispensable -= 1
