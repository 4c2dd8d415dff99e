"""One span: requested, received, written to a sink, and retried after failures."""

from dataclasses import dataclass
from typing import Protocol

from anyio import CancelScope

from aioss_resume._core.flight import Flight
from aioss_resume._core.objects import ObjectMeta
from aioss_resume._core.ranges import Range
from aioss_resume._core.retry import Attempts
from aioss_resume._core.slots import Share
from aioss_resume._io.fetch import Source
from aioss_resume._io.response import AcceptedResponse
from aioss_resume._transfer.client import Client
from aioss_resume._transfer.reporting import Reporter
from aioss_resume._transfer.retrying import RETRYABLE, wait_or_raise
from aioss_resume._transfer.sink import OpenSink, Sink
from aioss_resume.errors import ServerFaultError, ThrottledError
from aioss_resume.options import RetryPolicy


@dataclass(frozen=True, slots=True)
class SpanContext:
    """What all spans of one transfer share.

    Attributes:
        client: Session, clock and rate limit, which are shared with other transfers.
        source: The source of the bytes.
        pinned: The version of the object.
        open_sink: Opens the sink for a span.
        policy: The retry policy for each span.
        report: Reports failed attempts and fetched spans.
        share: The transfer's share of the slots.
    """

    client: Client
    source: Source
    pinned: ObjectMeta
    open_sink: OpenSink
    policy: RetryPolicy
    report: Reporter
    share: Share


class SpanObserver(Protocol):
    """Is notified while a span is fetched."""

    async def on_written(self, length: int) -> None:
        """`length` more bytes were written. May wait to slow the span down."""

    def on_latency(self, seconds: float) -> None:
        """A response arrived after so many seconds."""

    def on_server_trouble(self) -> None:
        """OSS throttled a request, or failed to serve it."""


class SpanFetch:
    """Fetches the bytes of one flight. After run() has ended, nothing writes for this flight any more."""

    def __init__(self, context: SpanContext, flight: Flight, observer: SpanObserver) -> None:
        self._context = context
        self._flight = flight
        self._observer = observer
        self._sink: Sink | None = None
        self._scope = CancelScope()
        self._response: AcceptedResponse | None = None
        self._room = memoryview(b"")
        self._room_start = flight.offset  # the offset of the room's first byte in the object

    async def run(self, response: AcceptedResponse | None = None) -> None:
        """Fetch until the flight is complete.

        Args:
            response: A response that is already open for this flight. It is closed here.

        Raises:
            AiossError: The last attempt failed. The flight knows what was written.
        """
        flight = self._flight
        try:
            self._sink = await self._context.open_sink(flight.offset)
            with CancelScope() as self._scope:
                flight.on_shortened = self._shorten
                await self._fetch_with_retries(response)
            if flight.stop == flight.reach:  # interrupted: another flight fetches the rest
                await self._write()
        finally:
            flight.on_shortened = None
            if response is not None:
                response.close()
            if self._sink is not None:
                await self._sink.close()

    async def _fetch_with_retries(self, response: AcceptedResponse | None) -> None:
        context, flight = self._context, self._flight
        attempts = Attempts(context.policy)
        while not flight.is_complete:
            before = flight.offset
            try:
                await self._attempt(response)
            except RETRYABLE as error:
                if isinstance(error, ThrottledError | ServerFaultError):
                    self._observer.on_server_trouble()
                await self._write()  # keep what was received before the failure
                progress = flight.offset - before
                await wait_or_raise(error, attempts, context.client.clock, context.report, progress=progress)
            response = None

    async def _attempt(self, response: AcceptedResponse | None) -> None:
        context, flight, clock = self._context, self._flight, self._context.client.clock
        flight.begin(clock.now())
        if response is None:
            response = await context.source.open_range(Range(flight.offset, flight.stop), context.pinned)
            self._observer.on_latency(response.latency)
        self._response = response
        assert self._sink is not None
        try:
            while flight.remaining:
                self._room = self._sink.room(min(context.client.write_size, flight.remaining))
                self._room_start = flight.offset
                await response.fill(self._room, self._receive)
                received = flight.reach - flight.offset
                await self._write()
                await context.client.keep_pace(received)
                flight.wait(clock.now())
        finally:
            self._response = None
            response.close()  # if it was not read to its end, its connection is closed, too

    def _shorten(self) -> None:
        """Stop before bytes that were left to another flight, and end if there are no others."""
        if self._response is not None:
            self._response.trim(self._flight.remaining)
        if not self._flight.remaining:
            self._scope.cancel()

    def _receive(self, length: int, now: float) -> bool:
        assert self._sink is not None
        wants_more = self._flight.receive(length, now)
        return wants_more and not self._sink.is_awaited(self._flight.reach - self._room_start, now)

    async def _write(self) -> None:
        """Write the received bytes, and tell the flight how many, even if this is cancelled."""
        flight = self._flight
        before = flight.offset
        if flight.reach == before:
            return
        assert self._sink is not None
        try:
            with self._room[before - self._room_start : flight.reach - self._room_start] as received:
                await self._sink.write([received])
        finally:
            flight.write(self._sink.offset, self._sink.crc64)
        await self._observer.on_written(flight.offset - before)
