"""One span from its first byte to its last, through retries, into a sink."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from anyio import CancelScope

from aioss_resume._core.crc64 import EMPTY
from aioss_resume._core.objects import ObjectMeta
from aioss_resume._core.ranges import Range
from aioss_resume._core.retry import Attempts
from aioss_resume._core.transfer import Flight
from aioss_resume._io.clock import Clock
from aioss_resume._io.fetch import AcceptedResponse, RequestCounts, Source
from aioss_resume._io.write import Sink
from aioss_resume._transfer.retrying import RETRYABLE, wait_or_raise
from aioss_resume.errors import ServerFaultError, ThrottledError
from aioss_resume.options import RetryPolicy


@dataclass(frozen=True, slots=True)
class SpanContext:
    """What all spans of one transfer have in common.

    Attributes:
        source: Where their bytes come from.
        pinned: The object that they are of.
        open_sink: Where they go: from an offset on, behind bytes of that CRC-64.
        policy: How often each is tried.
        keep_pace: Awaited after each write, with its length in bytes.
        counts: Counts the requests.
        on_written: Awaited after each write, with its length in bytes; it may make the span wait.
        on_answered: Called with the seconds until a request was answered.
        on_trouble: Called when OSS throttles, or fails.
        write_size: Most bytes of one write.
    """

    source: Source
    pinned: ObjectMeta
    open_sink: Callable[[int, int], Awaitable[Sink]]
    policy: RetryPolicy
    clock: Clock
    keep_pace: Callable[[int], Awaitable[None]]
    counts: RequestCounts
    on_written: Callable[[int], Awaitable[None]]
    on_answered: Callable[[float], None]
    on_trouble: Callable[[], None]
    write_size: int


class SpanFetch:
    """The fetching of one flight's bytes. When it ends, however it ends, nothing writes for it any more."""

    def __init__(self, context: SpanContext, flight: Flight) -> None:
        self._context = context
        self._flight = flight
        self._sink: Sink | None = None
        self._buffer = memoryview(bytearray(min(context.write_size, flight.remaining)))
        self._buffer_start = flight.offset  # the offset of its first byte

    async def run(self, response: AcceptedResponse | None = None) -> None:
        """Fetch until the flight is complete.

        Args:
            response: One that was opened for this flight already; it is closed here.

        Raises:
            AiossError: What ended the last attempt. What was written is in the flight.
        """
        flight = self._flight
        try:
            self._sink = await self._context.open_sink(flight.offset, EMPTY)
            with CancelScope() as scope:
                flight.interrupt = scope.cancel
                await self._through_retries(response)
            if flight.stop == flight.reach:  # interrupted: the rest was given to another flight
                await self._write()
        finally:
            flight.interrupt = None
            if response is not None:
                response.close()
            if self._sink is not None:
                await self._sink.close()

    async def _through_retries(self, response: AcceptedResponse | None) -> None:
        context, flight = self._context, self._flight
        attempts = Attempts(context.policy)
        while not flight.is_complete:
            before = flight.offset
            try:
                await self._attempt(response)
            except RETRYABLE as error:
                if isinstance(error, ThrottledError | ServerFaultError):
                    context.on_trouble()
                await self._write()  # what came before the cut
                await wait_or_raise(error, attempts, context.clock, context.counts, progress=flight.offset - before)
            response = None

    async def _attempt(self, response: AcceptedResponse | None) -> None:
        context, flight = self._context, self._flight
        began = context.clock.now()
        flight.begin(began)
        if response is None:
            response = await context.source.open_range(Range(flight.offset, flight.stop), context.pinned)
            context.on_answered(context.clock.now() - began)
        try:
            while flight.remaining:
                self._buffer_start = flight.offset
                await response.fill(self._buffer[: flight.remaining], flight.receive)
                received = flight.reach - flight.offset
                await self._write()
                await context.keep_pace(received)
                flight.wait(context.clock.now())
        finally:
            response.close()  # not read to its end when the flight was shortened: then the connection is closed too

    async def _write(self) -> None:
        """Write what was received; the flight knows of it even when this is cancelled."""
        flight = self._flight
        before = flight.offset
        if flight.reach == before:
            return
        assert self._sink is not None
        try:
            await self._sink.write([self._buffer[before - self._buffer_start : flight.reach - self._buffer_start]])
        finally:
            flight.write(self._sink.offset, self._sink.crc64)
        await self._context.on_written(flight.offset - before)
