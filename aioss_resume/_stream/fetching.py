"""The fetching behind a stream: spans arrive in any order, and wait in memory until the reader takes them."""

import asyncio
from collections.abc import Sequence

from aioss_resume._core.crc64 import EMPTY, crc64
from aioss_resume._core.readahead import ReadAhead, is_worth_handing_out
from aioss_resume._core.reorder import Reorder
from aioss_resume._core.slots import Slot
from aioss_resume._core.transfer import Transfer
from aioss_resume._io.new_bytes import NewBytes
from aioss_resume._io.response import AcceptedResponse
from aioss_resume._stream.reading import Opened, Reading
from aioss_resume._transfer.scheduler import OpenFlight, SpanScheduler


class Fetching:
    """Fetches the bytes of a stream, and keeps them until the reader takes them."""

    def __init__(self, reading: Reading, opened: Opened, ahead: ReadAhead, part_size: int, window: int) -> None:
        self._reading = reading
        self._clock = reading.client.clock
        self._stop = opened.range.stop
        self._start = opened.range.start
        self._sums = reading.is_verifiable(opened)
        self._ahead = ahead
        self._reorder = Reorder(opened.range.start)
        self._transfer = Transfer(opened.pinned.size, part_size=part_size, wanted=[opened.range])
        # If one response brings everything, reading it pauses while the window is full. Otherwise no span is claimed
        # beyond the window.
        self._window = window if reading.has_one_response else None
        self._transfer.horizon = None if reading.has_one_response else ahead.horizon
        self._was_taken = asyncio.Event()
        self._scheduler: SpanScheduler = reading.scheduler(opened.pinned, self._transfer, self._open_sink)
        self._arrived: asyncio.Future[None] | None = None
        self._waits_since = 0.0

    def first(self, response: AcceptedResponse, slot: Slot, most: int) -> OpenFlight:
        """Make the flight for the first response."""
        return self._reading.first_flight(response, self._transfer, slot, most)

    async def run(self, first: OpenFlight) -> None:
        """Fetch all bytes, as the reader takes them.

        Raises:
            AiossError: Fetching failed.
        """
        await self._scheduler.run(first)

    @property
    def is_at_end(self) -> bool:
        return self._reorder.offset == self._stop

    @property
    def has_next(self) -> bool:
        return self._reorder.has_next

    @property
    def next_is_last(self) -> bool:
        return self._reorder.next_stop() == self._stop

    @property
    def crc64(self) -> int:
        """The CRC-64 of all bytes, once they were received."""
        return self._transfer.crc64

    def take(self) -> bytes:
        """Take the next chunk. There must be one."""
        chunk = self._reorder.take()
        self._was_taken.set()
        if self._window is None and self._ahead.advance(self._reorder.offset):
            self._transfer.horizon = self._ahead.horizon
            self._scheduler.notify()
        return chunk

    def clear(self) -> None:
        self._reorder.clear()

    async def wait_for_next(self, task: asyncio.Task[None]) -> None:
        """Wait until there is a next chunk, or the task has ended."""
        if self._reorder.has_next or task.done():
            return
        self._waits_since = self._clock.now()
        self._arrived = arrived = asyncio.get_running_loop().create_future()

        def wake(_: object) -> None:
            if not arrived.done():
                arrived.set_result(None)

        task.add_done_callback(wake)
        try:
            await arrived
        finally:
            self._arrived = None
            task.remove_done_callback(wake)

    def add(self, offset: int, chunk: bytes) -> None:
        self._reorder.add(offset, chunk)
        if self._arrived is not None and not self._arrived.done() and self._reorder.has_next:
            self._arrived.set_result(None)

    async def wait_for_room(self) -> None:
        """Wait while the window is full, if nothing else limits it."""
        while self._window is not None and self._reorder.kept >= self._window and not self._has_all:
            self._was_taken.clear()
            await self._was_taken.wait()

    @property
    def _has_all(self) -> bool:
        """Whether all bytes were received. The reader takes the last chunk only after fetching has ended."""
        return self._reorder.offset + self._reorder.kept == self._stop

    def is_awaited(self, offset: int, received: int, now: float) -> bool:
        """Whether the reader is waiting for the chunk at that offset, and should get it now."""
        if self._arrived is None or offset != self._reorder.offset:
            return False
        return is_worth_handing_out(received, now - self._waits_since, is_first=offset == self._start)

    async def _open_sink(self, offset: int) -> "_ChunkSink":
        return _ChunkSink(self, offset, sums=self._sums)


class _ChunkSink:
    """A sink that makes a bytes object of each chunk. Full ones are not copied: see NewBytes."""

    def __init__(self, fetching: Fetching, offset: int, *, sums: bool) -> None:
        self.offset = offset
        self.crc64 = EMPTY
        self._fetching = fetching
        self._sums = sums
        self._made = NewBytes(0)
        self._room_length = 0

    def room(self, most: int) -> memoryview:
        if not 0 < self._room_length <= most:
            self._made = NewBytes(most)
            self._room_length = most
        return self._made.buffer

    def is_awaited(self, received: int, now: float) -> bool:
        return self._fetching.is_awaited(self.offset, received, now)

    async def write(self, chunks: Sequence[bytes | memoryview]) -> None:
        for chunk in chunks:
            if len(chunk) == self._room_length:
                if isinstance(chunk, memoryview):
                    chunk.release()  # while a view is left, finish() would copy
                data = self._made.finish()
                self._room_length = 0
            else:
                data = bytes(chunk)
            if self._sums:
                self.crc64 = crc64(data, self.crc64)
            self.offset += len(data)
            self._fetching.add(self.offset - len(data), data)
        await self._fetching.wait_for_room()

    async def close(self) -> None:
        pass
