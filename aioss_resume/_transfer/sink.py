"""Sink: takes the bytes of a span; with an implementation in memory."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, TypeAlias

from aioss_resume._core.crc64 import EMPTY, crc64


class Sink(Protocol):
    """Takes the bytes of one span in order.

    Attributes:
        offset: All bytes before this offset were written, even after a write failed or was cancelled.
        crc64: The CRC-64 of the bytes that this sink has written.
    """

    @property
    def offset(self) -> int: ...

    @property
    def crc64(self) -> int: ...

    def room(self, most: int) -> memoryview:
        """A writable buffer of 1 to `most` bytes, into which the next bytes are received.

        It is used until they are written, or until room() is called again.
        """

    def is_awaited(self, received: int, now: float) -> bool:
        """Whether to write the `received` bytes in the buffer now, instead of filling it."""

    async def write(self, chunks: Sequence[bytes | memoryview]) -> None:
        """Write chunks at `offset`. Their memory may change after this has returned or raised."""

    async def close(self) -> None:
        """Release the sink's resources. No write follows."""


OpenSink: TypeAlias = Callable[[int], Awaitable[Sink]]
"""Returns a sink that begins at an offset of the object, in bytes."""


class MemorySink:
    """A sink that fills the caller's buffer. Bytes are received directly into it.

    No view of the buffer outlives the sink, not even in the frames of a traceback, because the caller may resize it.

    Args:
        buffer: A writable buffer. Its first byte corresponds to `start`.
        start: An offset in the object.
        offset: The offset in the object at which this sink begins to write.
        sums: Whether to compute the CRC-64.
    """

    def __init__(self, buffer: memoryview, start: int, offset: int, *, sums: bool = True) -> None:
        self._buffer = buffer
        self._start = start
        self._sums = sums
        self._room = memoryview(b"")
        self.offset = offset
        self.crc64 = EMPTY

    def room(self, most: int) -> memoryview:
        self._room.release()
        at = self.offset - self._start
        self._room = self._buffer[at : at + most]
        return self._room

    def is_awaited(self, received: int, now: float) -> bool:  # noqa: ARG002
        return False

    async def write(self, chunks: Sequence[bytes | memoryview]) -> None:
        """Count the chunks, which are already in place because they were received into room()."""
        for chunk in chunks:
            if self._sums:
                self.crc64 = crc64(chunk, self.crc64)
            self.offset += len(chunk)

    async def close(self) -> None:
        self._room.release()


def memory_sinks(buffer: memoryview, start: int = 0, *, sums: bool = True) -> OpenSink:
    """Make sinks that fill one buffer, whose first byte corresponds to the offset `start`."""

    async def open_sink(offset: int) -> MemorySink:
        return MemorySink(buffer, start, offset, sums=sums)

    return open_sink
