"""read_ranges(): many ranges of one object with few requests."""

from collections.abc import Sequence

from aioss_resume._core.coalesce import merged, overlapping
from aioss_resume._core.crc64 import EMPTY
from aioss_resume._core.ranges import Range
from aioss_resume._core.slices import Slice
from aioss_resume._core.slots import Slot
from aioss_resume._core.transfer import Transfer, choose_part_size
from aioss_resume._io.new_bytes import NewBytes
from aioss_resume._stream.read import FIRST
from aioss_resume._stream.reading import Opened, Reading
from aioss_resume._transfer.sink import OpenSink
from aioss_resume.options import KiB

_SKIP_MOST = 256 * KiB  # bytes of a gap that are received at once, and dropped


async def read_ranges(reading: Reading, slices: Sequence[Slice], max_gap: int) -> list[bytes]:
    """Read the bytes of each slice. Returns them in the order of the slices.

    Raises:
        AiossError: As for `Downloader.read_ranges()`.
    """
    wanted = [slice_ for slice_ in slices if not slice_.is_empty]
    if not wanted:
        return [b""] * len(slices)
    return await reading.run(
        lambda: _read(reading, slices, wanted, max_gap), received=lambda found: sum(map(len, found))
    )


async def _read(reading: Reading, slices: Sequence[Slice], wanted: Sequence[Slice], max_gap: int) -> list[bytes]:
    slot = await reading.client.slot(reading.share)
    try:
        opened = await _open(reading, wanted, max_gap)
        if opened is None:  # all of them are beyond its end
            return [b""] * len(slices)
        try:
            return await _fetch(reading, opened, slices, slot, max_gap)
        finally:
            if opened.response is not None:
                opened.response.close()
    finally:
        slot.release()


async def _open(reading: Reading, wanted: Sequence[Slice], max_gap: int) -> Opened | None:
    """Open the first response, with a request for the first range as far as the ranges can be ordered."""
    from_start = [slice_ for slice_ in wanted if (slice_.start or 0) >= 0]
    from_end = [slice_ for slice_ in wanted if (slice_.start or 0) < 0]
    if from_start:
        length = reading.options.part_size or FIRST
        asked = [slice_.first(length) for slice_ in from_start]
        begin = merged([range_ for range_ in asked if isinstance(range_, Range)], max_gap)[0]
        opened = await reading.open(Slice(begin.start, begin.stop), min(length, begin.length))
        if opened is not None:
            return opened
    if from_end:
        return await reading.open(Slice(min(slice_.start or 0 for slice_ in from_end), None), FIRST)
    return None


async def _fetch(reading: Reading, opened: Opened, slices: Sequence[Slice], slot: Slot, max_gap: int) -> list[bytes]:
    options, pinned = reading.options, opened.pinned
    ranges = [Range(0, 0) if slice_.is_empty else slice_.of(pinned.size) for slice_ in slices]
    islands = merged(ranges, 0)  # the bytes that are wanted, each once
    if not islands:
        return [b""] * len(slices)
    requests = merged(ranges, max_gap)
    reading.started(Range(islands[0].start, islands[-1].stop))
    made = [NewBytes(island.length) for island in islands]
    longest = max(request.length for request in requests)
    part_size = options.part_size or choose_part_size(longest, options.part_slots)
    transfer = Transfer(pinned.size, part_size=part_size, wanted=requests)
    scheduler = reading.scheduler(pinned, transfer, _scattered(islands, [each.buffer for each in made]))
    response, first = opened.response, None
    if response is not None and response.range is not None and response.range.start == requests[0].start:
        first = reading.first_flight(response, transfer, slot, options.part_size or FIRST)
    else:
        slot.release()
    await scheduler.run(first)
    found = [each.finish() for each in made]
    return [_part_of(islands, found, range_) for range_ in ranges]


def _part_of(islands: Sequence[Range], found: Sequence[bytes], range_: Range) -> bytes:
    """The bytes of a range, which is within one of the islands."""
    if not range_.length:
        return b""
    at = overlapping(islands, range_)[0]
    start = islands[at].start
    return found[at][range_.start - start : range_.stop - start]  # all of it: the same object, not a copy


class _ScatteringSink:
    """A sink that keeps the bytes of merged ranges ("islands"), and drops the bytes between them.

    Args:
        islands: The merged ranges, sorted and disjoint.
        buffers: The memory of each island.
        offset: The offset in the object at which this sink begins to write.
    """

    crc64 = EMPTY  # a part of an object has no CRC-64 to be compared with

    def __init__(self, islands: Sequence[Range], buffers: Sequence[memoryview], offset: int) -> None:
        self._islands = islands
        self._buffers = buffers
        self._room = memoryview(b"")
        self.offset = offset

    def room(self, most: int) -> memoryview:
        self._room.release()
        self._room = self._next_room(most)
        return self._room

    def _next_room(self, most: int) -> memoryview:
        offset = self.offset
        found = overlapping(self._islands, Range(offset, offset + most))
        if not found:
            return memoryview(bytearray(min(most, _SKIP_MOST)))
        island, buffer = self._islands[found[0]], self._buffers[found[0]]
        if island.start > offset:
            return memoryview(bytearray(min(island.start - offset, _SKIP_MOST)))
        return buffer[offset - island.start : offset - island.start + most]

    def is_awaited(self, received: int, now: float) -> bool:  # noqa: ARG002
        return False

    async def write(self, chunks: Sequence[bytes | memoryview]) -> None:
        """Count the chunks, which are already in place because they were received into room()."""
        self.offset += sum(map(len, chunks))

    async def close(self) -> None:
        self._room.release()


def _scattered(islands: Sequence[Range], buffers: Sequence[memoryview]) -> OpenSink:
    async def open_sink(offset: int) -> _ScatteringSink:
        return _ScatteringSink(islands, buffers, offset)

    return open_sink
