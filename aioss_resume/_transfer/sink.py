"""Sink: where the bytes of a span go, and an implementation in memory."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, TypeAlias

from aioss_resume._core.crc64 import EMPTY, crc64


class Sink(Protocol):
    """Takes the bytes of one span in order.

    Attributes:
        offset: All bytes before it were taken, also when a write failed or was cancelled.
        crc64: The CRC-64 of the bytes that this sink took.
    """

    @property
    def offset(self) -> int: ...

    @property
    def crc64(self) -> int: ...

    async def write(self, chunks: Sequence[bytes | memoryview]) -> None:
        """Take the chunks, which follow `offset`. They may change after this has returned or raised."""

    async def close(self) -> None:
        """Release what the sink holds. No write follows."""


OpenSink: TypeAlias = Callable[[int], Awaitable[Sink]]
"""Returns a sink that begins at an offset of the object, in bytes."""


class MemorySink:
    """A sink that copies into a buffer of the caller's.

    Args:
        buffer: Writable bytes, of which the first is the object's byte `start`.
        start: An offset in the object, in bytes.
        offset: Where this sink begins to write, as an offset in the object.
    """

    def __init__(self, buffer: memoryview, start: int, offset: int) -> None:
        self._buffer = buffer
        self._start = start
        self.offset = offset
        self.crc64 = EMPTY

    async def write(self, chunks: Sequence[bytes | memoryview]) -> None:
        for chunk in chunks:
            at = self.offset - self._start
            self._buffer[at : at + len(chunk)] = chunk
            self.crc64 = crc64(chunk, self.crc64)
            self.offset += len(chunk)

    async def close(self) -> None:
        pass


def memory_sinks(buffer: memoryview, start: int = 0) -> OpenSink:
    """Sinks that write into one buffer, whose first byte is the object's byte `start`."""

    async def open_sink(offset: int) -> MemorySink:
        return MemorySink(buffer, start, offset)

    return open_sink
