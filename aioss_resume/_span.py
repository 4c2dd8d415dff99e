"""One span from its first byte to its last, through retries, into a sink."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from anyio import CancelScope

from aioss_resume._attempts import WORTH_TRYING_AGAIN, wait_or_raise
from aioss_resume._core.crc64 import EMPTY
from aioss_resume._core.objects import ObjectMeta
from aioss_resume._core.ranges import Range
from aioss_resume._core.retry import Attempts
from aioss_resume._core.transfer import Flight
from aioss_resume._io.clock import Clock
from aioss_resume._io.fetch import Answer, Source, Tally
from aioss_resume._io.write import Sink
from aioss_resume.errors import RequestError, ServerFaultError, ThrottledError
from aioss_resume.options import WRITE_SECONDS, WRITE_SIZE, RetryPolicy


@dataclass(frozen=True, slots=True)
class Route:
    """What all spans of one transfer have in common.

    Attributes:
        source: Where their bytes come from.
        pinned: The object that they are of.
        open_sink: Where they go: from an offset on, behind bytes of that CRC-64.
        policy: How often each is tried.
        keep_pace: Awaited after each chunk, with its length in bytes.
        tally: Counts the requests.
        on_written: Awaited after each write, with its length in bytes; it may make the span wait.
        on_answered: Called with the seconds until a request was answered.
        on_trouble: Called when OSS throttles, or fails.
    """

    source: Source
    pinned: ObjectMeta
    open_sink: Callable[[int, int], Awaitable[Sink]]
    policy: RetryPolicy
    clock: Clock
    keep_pace: Callable[[int], Awaitable[None]]
    tally: Tally
    on_written: Callable[[int], Awaitable[None]]
    on_answered: Callable[[float], None]
    on_trouble: Callable[[], None]


class SpanFetch:
    """The fetching of one flight's bytes. When it ends, however it ends, nothing writes for it any more."""

    def __init__(self, route: Route, flight: Flight) -> None:
        self._route = route
        self._flight = flight
        self._sink: Sink | None = None
        self._gathered: list[bytes] = []
        self._gathered_bytes = 0
        self._gathering_since = 0.0

    async def run(self, answer: Answer | None = None) -> None:
        """Fetch until the flight is complete.

        Args:
            answer: One that was opened for this flight already; it is closed here.

        Raises:
            AiossError: What ended the last attempt. What was written is in the flight.
        """
        flight = self._flight
        try:
            self._sink = await self._route.open_sink(flight.offset, EMPTY)
            with CancelScope() as scope:
                flight.interrupt = scope.cancel
                await self._through_retries(answer)
            if self._gathered and flight.stop == flight.reach:  # interrupted: the rest was given to another flight
                await self._write()
        finally:
            flight.interrupt = None
            if answer is not None:
                answer.close()
            if self._sink is not None:
                await self._sink.close()

    async def _through_retries(self, answer: Answer | None) -> None:
        route, flight = self._route, self._flight
        attempts = Attempts(route.policy)
        while not flight.is_complete:
            before = flight.offset
            try:
                await self._attempt(answer)
            except WORTH_TRYING_AGAIN as error:
                if isinstance(error, ThrottledError | ServerFaultError):
                    route.on_trouble()
                await self._write()  # what came before the cut
                await wait_or_raise(error, attempts, route.clock, route.tally, progress=flight.offset - before)
            answer = None

    async def _attempt(self, answer: Answer | None) -> None:
        route, flight = self._route, self._flight
        began = route.clock.now()
        flight.begin(began)
        if answer is None:
            answer = await route.source.open_range(Range(flight.offset, flight.stop), route.pinned)
            route.on_answered(route.clock.now() - began)
        try:
            while flight.remaining:
                now = await self._gather(answer)
                is_enough = self._gathered_bytes >= WRITE_SIZE or now - self._gathering_since >= WRITE_SECONDS
                if is_enough or not flight.remaining:
                    await self._write()
                flight.wait(route.clock.now())
        finally:
            answer.close()  # not read to its end when the flight was shortened: then the connection is closed too

    async def _gather(self, answer: Answer) -> float:
        """One more chunk; returns when it came."""
        route, flight = self._route, self._flight
        chunk = await answer.receive()
        if not chunk:
            raise RequestError(
                f"{route.source.name}: the body was cut short at {flight.reach} of {flight.stop}",
                name=route.source.name,
            )
        now = route.clock.now()
        if len(chunk) > flight.remaining:
            chunk = chunk[: flight.remaining]
        flight.receive(len(chunk), now)
        if not self._gathered:
            self._gathering_since = now
        self._gathered.append(chunk)
        self._gathered_bytes += len(chunk)
        await route.keep_pace(len(chunk))
        return now

    async def _write(self) -> None:
        """Write what was gathered; the flight knows of it even when this is cancelled."""
        if not self._gathered:
            return
        assert self._sink is not None
        chunks, self._gathered, self._gathered_bytes = self._gathered, [], 0
        before = self._flight.offset
        try:
            await self._sink.write(chunks)
        finally:
            self._flight.write(self._sink.offset, self._sink.crc64)
        await self._route.on_written(self._flight.offset - before)
