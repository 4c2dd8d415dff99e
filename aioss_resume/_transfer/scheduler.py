"""The spans of one transfer, fetched in parallel into sinks.

The scheduler knows neither files nor checkpoints. The caller passes sinks, and optional background tasks that run while
spans are fetched, such as one that flushes checkpoints.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

import anyio
from anyio.abc import TaskGroup

from aioss_resume._core.flight import Flight
from aioss_resume._core.retry import SCARCE
from aioss_resume._core.slots import Slot
from aioss_resume._core.transfer import Transfer
from aioss_resume._core.window import Window
from aioss_resume._io.cancellation import wait_for_event
from aioss_resume._io.response import AcceptedResponse
from aioss_resume._transfer.span import SpanContext, SpanFetch
from aioss_resume.errors import LocalFileError, RequestError, plain
from aioss_resume.events import SpanFetched

_LOOK_AGAIN_SECONDS = 0.1
# How often speeds are measured and slow flights are looked for.


@dataclass(frozen=True, slots=True)
class OpenFlight:
    """A flight that already has a slot and a response, which run() takes over."""

    flight: Flight
    slot: Slot
    response: AcceptedResponse


class SpanScheduler:
    """Fetches all missing spans of a transfer.

    Args:
        transfer: The spans. A background task must prove those that are unproven when run() begins.
        window: The number of requests that may be in flight.
        background: Tasks that run meanwhile and are cancelled when the transfer is complete.
        on_written: Awaited after each write with its length in bytes. It may wait to slow the span down.
    """

    def __init__(
        self,
        context: SpanContext,
        transfer: Transfer,
        window: Window,
        *,
        background: Sequence[Callable[["SpanScheduler"], Coroutine[Any, Any, None]]] = (),  # Any: as typeshed has it
        on_written: Callable[[int], Awaitable[None]] | None = None,
    ) -> None:
        self._context = context
        self._clock = context.client.clock
        self._transfer = transfer
        self._window = window
        self._background = background
        self._on_written = on_written
        self._flying = 0
        self._changed = asyncio.Event()

    async def run(self, first: OpenFlight | None = None) -> None:
        """Fetch all missing spans.

        Args:
            first: A flight that is already open.

        Raises:
            AiossError: Fetching failed. The transfer knows what was written.
        """
        if first is not None and not self._background and self._transfer.is_all_in(first.flight):
            await self._fly(first.flight, first.slot, first.response)  # needs no task
            return
        problem: BaseException | None = None
        share = self._context.share
        share.begin(lambda: self._transfer.needed, self._give_way)
        try:
            async with anyio.create_task_group() as group:
                for task in self._background:
                    group.start_soon(task, self)
                if first is not None:
                    self._start(group, first.flight, first.slot, first.response)
                await self._start_flights_until_complete(group)
                group.cancel_scope.cancel()  # the background tasks
        except BaseExceptionGroup as errors:
            problem = plain(errors)
        finally:
            share.end()
        if problem is not None:  # raised here, so that the group is not its context
            raise problem

    def notify(self) -> None:
        """Note that the transfer has changed, so that the scheduler checks what to do next."""
        self._changed.set()

    async def wait_for_change(self, seconds: float | None = None) -> None:
        """Wait until a flight has ended, or notify() was called, or so many seconds have passed."""
        await wait_for_event(self._changed, seconds)

    def reduce_concurrency(self, error: LocalFileError | RequestError) -> bool:
        """If descriptors or memory ran out, continue with fewer flights. Returns False if that cannot help.

        It can help if other flights will release some.
        """
        if error.errno not in SCARCE or self._flying < 2:
            return False
        self._window.narrow(self._flying // 2)
        self._context.report.warning("%s; continuing with %d requests at once", error, self._window.limit)
        return True

    async def on_written(self, length: int) -> None:
        if self._on_written is not None:
            await self._on_written(length)

    def on_latency(self, seconds: float) -> None:
        self._transfer.note_latency(seconds)

    def on_server_trouble(self) -> None:
        self._window.trouble(self._clock.now())

    async def _start_flights_until_complete(self, group: TaskGroup) -> None:
        """Start a flight whenever there are waiting bytes and a slot. A task is only started once it has its slot."""
        requested: Slot | None = None
        try:
            while not self._transfer.is_complete:
                self._changed.clear()
                self._look_at_speeds()
                if requested is None and self._flying < self._window.limit and self._has_work():
                    requested = self._context.client.request_slot(self._changed.set, self._context.share)
                if requested is not None and requested.granted:
                    slot, requested = requested, None
                    flight = self._transfer.claim() or self._transfer.claim_share(self._clock.now())
                    if flight is None:
                        slot.release()
                    else:
                        self._start(group, flight, slot)
                        continue
                looks_again = self._flying and (self._flying < self._window.limit or self._needs_looks())
                await self.wait_for_change(_LOOK_AGAIN_SECONDS if looks_again else None)
        finally:
            if requested is not None:
                requested.release()

    def _give_way(self, seconds: float) -> bool:
        """End a flight early that needs more than so many seconds, so that another transfer gets its slot."""
        return self._transfer.give_way(self._clock.now(), seconds)

    def _has_work(self) -> bool:
        return self._transfer.has_waiting or self._transfer.can_share(self._clock.now())

    def _needs_looks(self) -> bool:
        return self._window.needs_ticks or self._transfer.may_have_stragglers

    def _look_at_speeds(self) -> None:
        """Adapt the number of requests to the measured speed, and give up a flight that is far too slow."""
        now = self._clock.now()
        if self._window.needs_ticks:
            self._window.tick(
                now,
                self._transfer.received,
                is_busy=self._flying >= self._window.limit,
                latency=self._transfer.latency,
            )
        self._transfer.give_up_straggler(now)

    def _start(self, group: TaskGroup, flight: Flight, slot: Slot, response: AcceptedResponse | None = None) -> None:
        self._flying += 1
        group.start_soon(self._fly_as_task, flight, slot, response)

    async def _fly_as_task(self, flight: Flight, slot: Slot, response: AcceptedResponse | None) -> None:
        try:
            await self._fly(flight, slot, response)
        except (LocalFileError, RequestError) as error:
            if not self.reduce_concurrency(error):
                raise
        finally:
            self._flying -= 1
            self._changed.set()

    async def _fly(self, flight: Flight, slot: Slot, response: AcceptedResponse | None) -> None:
        try:
            await SpanFetch(self._context, flight, self).run(response)
        finally:
            now = self._clock.now()
            self._transfer.land(flight, now)
            slot.release()
            if flight.offset > flight.start and flight.began is not None:
                elapsed = now - flight.began
                self._context.report.send(SpanFetched, start=flight.start, stop=flight.offset, elapsed=elapsed)
