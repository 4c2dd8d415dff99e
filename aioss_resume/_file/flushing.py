"""Flushing of the checkpoint after so many bytes or seconds. Writes wait if flushes fall behind."""

import asyncio
from collections.abc import Awaitable, Callable

from aioss_resume._io.cancellation import wait_for_event
from aioss_resume._io.clock import Clock
from aioss_resume._transfer.scheduler import SpanScheduler
from aioss_resume.errors import LocalFileError
from aioss_resume.options import (
    FLUSH_BYTES,
    FLUSH_BYTES_AT_ONCE,
    FLUSH_PAUSE,
    FLUSH_SECONDS,
    UNFLUSHED_MOST,
)


class Flusher:
    """Flushes one checkpoint while its transfer runs.

    Args:
        flush: Writes the current checkpoint.
    """

    def __init__(self, flush: Callable[[], Awaitable[None]], clock: Clock) -> None:
        self._flush = flush
        self._clock = clock
        self._unflushed = 0
        self._flush_at = FLUSH_BYTES
        self._is_due = asyncio.Event()
        self._was_flushed = asyncio.Event()

    async def count(self, length: int) -> None:
        """Count written bytes. Waits if flushes do not keep up."""
        self._unflushed += length
        if self._unflushed >= self._flush_at:
            self._is_due.set()
        while self._unflushed > UNFLUSHED_MOST:
            self._was_flushed.clear()
            await self._was_flushed.wait()

    async def run(self, scheduler: SpanScheduler) -> None:
        """Flush repeatedly until cancelled: a background task of the scheduler."""
        while True:
            await self._wait_until_due(FLUSH_BYTES, FLUSH_SECONDS)
            if not self._unflushed:
                continue
            counted, began = self._unflushed, self._clock.now()
            try:
                await self._flush()
            except LocalFileError as error:
                # A span that waits in count() does not release its descriptors.
                if self._unflushed > UNFLUSHED_MOST or not scheduler.reduce_concurrency(error):
                    raise
            else:
                self._unflushed -= counted
                self._was_flushed.set()
            pause = max(FLUSH_PAUSE, 9 * (self._clock.now() - began))
            await self._wait_until_due(FLUSH_BYTES_AT_ONCE, min(pause, FLUSH_SECONDS))

    async def _wait_until_due(self, length: int, seconds: float) -> None:
        """Wait until enough bytes were written since the last flush, or enough time has passed."""
        self._flush_at = length
        if self._unflushed < length:
            self._is_due.clear()
            await wait_for_event(self._is_due, seconds)
