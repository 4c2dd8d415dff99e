"""Reading: the parameters of one read or stream and the objects that its steps share."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from aioss_resume._core.objects import ObjectMeta, difference
from aioss_resume._core.ranges import Range
from aioss_resume._core.slices import Slice
from aioss_resume._core.slots import Slot
from aioss_resume._core.transfer import Transfer
from aioss_resume._io.cancellation import run_in_time
from aioss_resume._io.origin import Origin
from aioss_resume._io.response import AcceptedResponse
from aioss_resume._transfer.client import Client
from aioss_resume._transfer.opening import FIRST_BYTE, Opener
from aioss_resume._transfer.scheduler import OpenFlight, SpanScheduler
from aioss_resume._transfer.sink import OpenSink
from aioss_resume._transfer.span import SpanContext
from aioss_resume.errors import IntegrityError, ObjectName, ServiceError, changed_error, deadline_error
from aioss_resume.events import StreamFinished, StreamStarted
from aioss_resume.options import ReadOptions, Timeouts

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Opened:
    """The first response for an object.

    Attributes:
        pinned: The version of the object, to which all further responses must belong.
        range: The requested range.
        response: A response with at least the first bytes of `range`; None if it is empty.
    """

    pinned: ObjectMeta
    range: Range
    response: AcceptedResponse | None


class Reading:
    """One read, or one stream.

    Args:
        timeouts: The timeouts of the options or of the bucket.
        pinned: The required version of the object; None for the current one.
    """

    def __init__(
        self,
        client: Client,
        origin: Origin,
        name: ObjectName,
        options: ReadOptions,
        timeouts: Timeouts,
        pinned: ObjectMeta | None = None,
    ) -> None:
        self._pinned = pinned
        self.client = client
        self.name = name
        self.options = options
        self.report = client.reporter(name)
        self.share = client.share()
        self._can_verify = origin.can_verify
        self._began = client.clock.now()
        self._range: Range | None = None
        self._source = client.source(origin, name, options, timeouts, self.report.counts)

    async def run(self, work: Callable[[], Awaitable[T]], received: Callable[[T], int] | None = None) -> T:
        """Await the work within the policy's deadline, and report its end.

        Args:
            received: Returns the number of received bytes for the work's result; None if its success is not the end.

        Raises:
            RequestError: The deadline has passed.
        """
        try:
            found = await run_in_time(
                work, self.options.retry.deadline, lambda deadline: deadline_error(self.name, deadline)
            )
        except BaseException as error:
            self.finished(0, error)
            raise
        if received is not None:
            self.finished(received(found), None)
        return found

    async def open(self, wanted: Slice, first: int, pinned: ObjectMeta | None = None) -> Opened | None:
        """Open the first response. Returns None if the object has no such bytes.

        Args:
            wanted: The slice, which must not be empty by itself.
            first: Most bytes to request.
            pinned: The required version; None for that of the reading, if there is one.

        Raises:
            IntegrityError: `integrity` is "require", and OSS sends no CRC-64.
            ObjectChangedError: The object has another version.
            AiossError: As for Source.open_range().
        """
        pinned = pinned or self._pinned
        if pinned is not None and not wanted.of(pinned.size).length:
            return None
        try:
            response, given = await self._opener.open(wanted.first(first), pinned if pinned and pinned.size else None)
        except ServiceError as error:
            if error.status != 416 or pinned is not None:
                raise
            return None
        return self._opened(response, given, wanted)

    async def open_empty(self, wanted: Slice) -> Opened:
        """Fetch the object's metadata, if the slice is empty or beyond the object's end."""
        pinned = self._pinned
        response, given = await self._opener.open(FIRST_BYTE, pinned if pinned and pinned.size else None)
        opened = self._opened(response, given, wanted)
        if opened.response is not None:  # it has grown
            opened.response.close()
        return Opened(opened.pinned, Range(opened.range.start, opened.range.start), None)

    def first_flight(self, response: AcceptedResponse, transfer: Transfer, slot: Slot, most: int) -> OpenFlight:
        """Make the flight for the first response: of `most` bytes, or as many as the response has."""
        assert response.range is not None
        transfer.note_latency(response.latency)
        if self.has_one_response:
            transfer.use_one_request()
            most = response.range.length
        flight = transfer.claim(min(most, response.range.length))
        assert flight is not None
        assert flight.start == response.range.start
        return OpenFlight(flight, slot, response)

    def scheduler(self, pinned: ObjectMeta, transfer: Transfer, open_sink: OpenSink) -> SpanScheduler:
        retry, client = self.options.retry, self.client
        context = SpanContext(client, self._source, pinned, open_sink, retry, self.report, self.share)
        return SpanScheduler(context, transfer, client.window(self.options))

    def started(self, range_: Range) -> None:
        """Report which bytes will be read."""
        if self._range is not None:
            return
        self._range = range_
        self.report.info("reading %s of %s", range_, self.name)
        self.report.send(StreamStarted, start=range_.start, size=range_.length)

    def finished(self, received: int, error: BaseException | None) -> None:
        """Report the end, if started() was reported or there was an error."""
        if self._range is None and error is None:
            return
        elapsed = self.client.clock.now() - self._began
        how = f": {type(error).__name__}" if error is not None else ""
        self.report.info("%s: read %d bytes in %.2f s%s", self.name, received, elapsed, how)
        self.report.send(StreamFinished, received_bytes=received, elapsed=elapsed, error=error)

    @property
    def has_one_response(self) -> bool:
        """Whether the server ignores ranges, so that its first response must bring everything."""
        return self._source.ignores_ranges

    def is_verifiable(self, opened: Opened) -> bool:
        """Whether the opened range is a whole object whose CRC-64 is known."""
        pinned = opened.pinned
        return self._can_verify and pinned.crc64 is not None and opened.range == Range(0, pinned.size)

    def mismatch_error(self, pinned: ObjectMeta, found: int) -> IntegrityError:
        return IntegrityError(
            f"{self.name}: its CRC-64 is {found}, not {pinned.crc64}",
            name=self.name,
            hint="the network changes bytes, or the object's CRC-64 is wrong",
        )

    @property
    def _opener(self) -> Opener:
        return Opener(self._source, self.options.retry, self.client.clock, self.report)

    def _opened(self, response: AcceptedResponse, given: Range, wanted: Slice) -> Opened:
        pinned = response.meta
        if self._pinned is not None and (found := difference(self._pinned, pinned)):
            response.close()
            raise changed_error(f"{self.name} was replaced since it was looked up ({found})", name=self.name)
        range_ = wanted.of(pinned.size)
        if self.options.integrity == "require" and pinned.crc64 is None:
            response.close()
            raise IntegrityError(
                f"{self.name}: OSS sends no CRC-64 to compare with",
                name=self.name,
                hint='integrity="auto" fetches it all the same',
            )
        if range_.length and given.start == range_.start:
            return Opened(pinned, range_, response)
        response.close()
        return Opened(pinned, range_, None)
