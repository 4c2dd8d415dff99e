"""A part file filled: spans fetched side by side, kept ones proven meanwhile, the checkpoint flushed now and then."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import anyio
from anyio.abc import TaskGroup

from aioss_resume._core.objects import ObjectMeta
from aioss_resume._core.slots import Slot
from aioss_resume._core.transfer import Done, Flight, Transfer
from aioss_resume._core.window import Window
from aioss_resume._io.fetch import AcceptedResponse, RequestCounts, Source
from aioss_resume._io.storage import OUT_OF
from aioss_resume._io.verify import span_matches_disk
from aioss_resume._io.write import PartFile
from aioss_resume._transfer.client import Client
from aioss_resume._transfer.span import SpanContext, SpanFetch
from aioss_resume.errors import LocalFileError, RequestError, plain
from aioss_resume.options import (
    FLUSH_BYTES,
    FLUSH_BYTES_AT_ONCE,
    FLUSH_PAUSE,
    FLUSH_SECONDS,
    UNFLUSHED_MOST,
    RetryPolicy,
)

logger = logging.getLogger("aioss_resume")

_LOOK_AGAIN_SECONDS = 0.1
# How often a free slot looks whether a flight has become slow enough to be helped, and the window is measured.


@dataclass(slots=True)
class SpanScheduler:
    """The filling of one part file.

    Attributes:
        proven_bytes: Of the kept spans, those that were found on the disk as they should be.

    `flush` writes the checkpoint, and is None where none is kept.
    """

    client: Client
    transfer: Transfer
    source: Source
    pinned: ObjectMeta
    part_file: PartFile
    window: Window
    policy: RetryPolicy
    counts: RequestCounts
    flush: Callable[[], Awaitable[None]] | None = None
    proven_bytes: int = 0
    _flying: int = 0
    _unflushed: int = 0
    _flush_at: int = FLUSH_BYTES
    _changed: asyncio.Event = field(default_factory=asyncio.Event)
    _flush_due: asyncio.Event = field(default_factory=asyncio.Event)
    _flushed: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self, first: Flight | None, response: AcceptedResponse | None, slot: Slot | None) -> None:
        """Fetch all that is missing.

        Args:
            first, response, slot: A flight that has its response and its slot already; both are taken over.

        Raises:
            AiossError: The one that ended it. What was written is in the transfer.
        """
        if first is not None and self._is_alone(first):
            assert slot is not None
            await self._fly(first, slot, response)  # no task is needed
            return
        problem: BaseException | None = None
        try:
            async with anyio.create_task_group() as group:
                if self.flush is not None:
                    group.start_soon(self._flush_now_and_then)
                if self.transfer.unproven:
                    group.start_soon(self._prove)
                if first is not None and slot is not None:
                    self._start(group, first, slot, response)
                await self._claim_until_complete(group)
                group.cancel_scope.cancel()  # the flusher
        except BaseExceptionGroup as errors:
            problem = plain(errors)
        if problem is not None:  # raised here, it carries no group as its context
            raise problem

    def _is_alone(self, first: Flight) -> bool:
        """Whether that flight is all there is to do."""
        return self.flush is None and first.start == 0 and first.stop == self.transfer.size

    async def _claim_until_complete(self, group: TaskGroup) -> None:
        """Start a flight whenever there is something to fetch and a slot for it: first the slot, then the task."""
        asked: Slot | None = None
        try:
            while not self.transfer.is_complete:
                self._changed.clear()
                self._tick()
                if asked is None and self._flying < self.window.limit and self._has_work():
                    asked = self.client.slots.request(self._changed.set)
                if asked is not None and asked.granted:
                    slot, asked = asked, None
                    flight = self.transfer.claim() or self.transfer.claim_share(self.client.clock.now())
                    if flight is None:
                        slot.release()
                    else:
                        self._start(group, flight, slot)
                        continue
                await self._wait_for_change()
        finally:
            if asked is not None:
                asked.release()

    def _has_work(self) -> bool:
        return self.transfer.has_waiting or self.transfer.can_share(self.client.clock.now())

    async def _wait_for_change(self) -> None:
        looks_again = self._flying < self.window.limit or self.window.needs_ticks
        with anyio.move_on_after(_LOOK_AGAIN_SECONDS if looks_again else None):
            await self._changed.wait()

    def _tick(self) -> None:
        if self.window.needs_ticks:
            self.window.tick(
                self.client.clock.now(),
                self.transfer.received,
                is_busy=self._flying >= self.window.limit,
                latency=self.transfer.latency,
            )

    def _note_trouble(self) -> None:
        self.window.trouble(self.client.clock.now())

    def _start(self, group: TaskGroup, flight: Flight, slot: Slot, response: AcceptedResponse | None = None) -> None:
        self._flying += 1
        group.start_soon(self._fly_as_task, flight, slot, response)

    async def _fly_as_task(self, flight: Flight, slot: Slot, response: AcceptedResponse | None) -> None:
        try:
            await self._fly(flight, slot, response)
        except (LocalFileError, RequestError) as error:
            if not self._fewer_may_do(error):
                raise
        finally:
            self._flying -= 1
            self._changed.set()

    def _fewer_may_do(self, error: LocalFileError | RequestError) -> bool:
        """Whether we are out of descriptors, and others fly that will give some back; then fewer fly from now on."""
        if error.errno not in OUT_OF or self._flying < 2:
            return False
        self.window.narrow(self._flying // 2)
        logger.warning("%s; going on with %d requests at once", error, self.window.limit)
        return True

    async def _fly(self, flight: Flight, slot: Slot, response: AcceptedResponse | None) -> None:
        context = SpanContext(
            source=self.source,
            pinned=self.pinned,
            open_sink=self.part_file.open_at,
            policy=self.policy,
            clock=self.client.clock,
            keep_pace=self.client.keep_pace,
            counts=self.counts,
            on_written=self._count,
            on_answered=self.transfer.note_latency,
            on_trouble=self._note_trouble,
            write_size=self.client.write_size,
        )
        try:
            await SpanFetch(context, flight).run(response)
        finally:
            self.transfer.land(flight, self.client.clock.now())
            slot.release()

    async def _prove(self) -> None:
        """Read the kept spans back; what does not hold is fetched again."""
        for span in self.transfer.unproven:
            found = await self._matches_disk(span)
            if found:
                self.proven_bytes += span.stop - span.start
            else:
                logger.warning(
                    "%s: bytes [%d, %d) on the disk are not what was written: they are fetched again",
                    self.source.name,
                    span.start,
                    span.stop,
                )
            self.transfer.prove(span, matches=found)
            self._changed.set()

    async def _matches_disk(self, span: Done) -> bool:
        path, threads, storage = self.part_file.path, self.client.threads, self.client.storage
        while True:
            try:
                return await span_matches_disk(path, span, threads, storage, name=self.source.name)
            except LocalFileError as error:
                if not self._fewer_may_do(error):
                    raise
            await self._changed.wait()

    async def _count(self, length: int) -> None:
        """New bytes were written. Whoever wrote them waits here when the flushes do not keep up."""
        if self.flush is None:
            return
        self._unflushed += length
        if self._unflushed >= self._flush_at:
            self._flush_due.set()
        while self._unflushed > UNFLUSHED_MOST:
            self._flushed.clear()
            await self._flushed.wait()

    async def _flush_now_and_then(self) -> None:
        assert self.flush is not None
        while True:
            await self._until_due(FLUSH_BYTES, FLUSH_SECONDS)
            if not self._unflushed:
                continue
            counted, began = self._unflushed, self.client.clock.now()
            try:
                await self.flush()
            except LocalFileError as error:
                # Whoever waits for a flush gives nothing back.
                if self._unflushed > UNFLUSHED_MOST or not self._fewer_may_do(error):
                    raise
            else:
                self._unflushed -= counted
                self._flushed.set()
            pause = max(FLUSH_PAUSE, 9 * (self.client.clock.now() - began))
            await self._until_due(FLUSH_BYTES_AT_ONCE, min(pause, FLUSH_SECONDS))

    async def _until_due(self, length: int, seconds: float) -> None:
        """Wait until so many bytes are written and not flushed, and no longer than so many seconds."""
        self._flush_at = length
        if self._unflushed < length:
            self._flush_due.clear()
            with anyio.move_on_after(seconds):
                await self._flush_due.wait()
