"""stream(): an object's bytes in order, read ahead within a window of memory."""

import asyncio
from collections.abc import AsyncIterator
from types import TracebackType
from typing import TYPE_CHECKING, Self

from aioss_resume._core.crc64 import EMPTY
from aioss_resume._core.objects import ObjectMeta
from aioss_resume._core.readahead import FIRST_AHEAD, ReadAhead, choose_stream_part_size
from aioss_resume._core.slices import Slice
from aioss_resume._io.cancellation import wait_uncancelled
from aioss_resume._stream.fetching import Fetching
from aioss_resume._stream.reading import Opened, Reading
from aioss_resume._transfer.calls import Calls, closed_error
from aioss_resume.errors import ConfigError

if TYPE_CHECKING:
    from aioss_resume._transfer.scheduler import OpenFlight


class ObjectStream:
    """The bytes of a slice of an object, in order. Made by `Downloader.stream()`, and used with `async with`.

    Parallel requests read ahead; at most `window` bytes are kept in memory. Leaving the block closes all connections.
    If the whole object is read, its last chunk is only returned after its CRC-64 was verified.

    Attributes:
        meta: The object.
        start: The offset of the first byte.
        size: The number of bytes in the stream.
        verified: Whether the whole object was read and its CRC-64 equals OSS's.
    """

    def __init__(self, reading: Reading, wanted: Slice, calls: Calls, window: int) -> None:
        self.verified = False
        self._reading = reading
        self._wanted = wanted
        self._calls = calls
        self._window = window
        self._opened: Opened | None = None
        self._fetching: Fetching | None = None
        self._task: asyncio.Task[None] | None = None
        self._first: OpenFlight | None = None  # until the fetching has ended
        self._was_closed = False  # because its Downloader was closed
        self._was_left = False  # because its `async with` block has ended
        self._rest = b""  # of a chunk of which read() has taken a part
        self._taken = 0
        self._is_reading = False
        self._error: BaseException | None = None

    @property
    def meta(self) -> ObjectMeta:
        """The object, as described by the first response."""
        return self._open().pinned

    @property
    def start(self) -> int:
        """The offset of the first byte in the object."""
        return self._open().range.start

    @property
    def size(self) -> int:
        """The number of bytes in the stream."""
        return self._open().range.length

    async def __aenter__(self) -> Self:
        """Open the stream. Afterwards `meta`, `start` and `size` are known, and fetching has begun.

        Raises:
            AiossError: As for `Downloader.stream()`.
        """
        if self._opened is not None:
            raise ConfigError("this stream is in use already: make another one with Downloader.stream()")
        reading = self._reading
        with self._calls.call():
            await reading.run(self._begin)
            return self
        raise closed_error(reading.name)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._was_left = True
        cancelled = await self._end()
        self._rest = b""
        self._reading.finished(self._taken, self._error)
        if cancelled is not None:
            raise cancelled

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        """The next chunk.

        Raises:
            IntegrityError: The CRC-64 of the whole object differs. Raised instead of returning the last chunk.
            ObjectChangedError: The object was replaced or deleted meanwhile.
            AiossError: All attempts to fetch the bytes failed.
        """
        chunk = await self._next()
        if not chunk:
            raise StopAsyncIteration
        return chunk

    async def read(self, n: int | None = -1) -> bytes:
        """Read up to `n` bytes, as soon as there are any, or the whole rest if `n` is negative or None. b"" at the end.

        If it fails or is cancelled, the next call begins with the same byte.

        Raises:
            AiossError: As for iteration.
        """
        if n == 0:
            return b""
        if n is None or n < 0:
            return await self._read_rest()
        chunk = await self._next()
        self._rest = chunk[n:]
        return chunk[:n]

    async def _read_rest(self) -> bytes:
        chunks: list[bytes] = []
        try:
            async for chunk in self:
                chunks.append(chunk)  # noqa: PERF401  # a comprehension would lose them if it is cancelled
        except BaseException:
            self._rest = b"".join(chunks)
            raise
        return b"".join(chunks)

    def end(self) -> None:
        """End the stream because its Downloader was closed: readers get an error."""
        self._was_closed = True
        if self._task is not None:
            self._task.cancel()

    async def _begin(self) -> None:
        reading, options = self._reading, self._reading.options
        concurrency = None if options.concurrency == "auto" else options.concurrency
        part_size = options.part_size or choose_stream_part_size(self._window, concurrency)
        part_size = min(part_size, self._window)
        first = min(max(options.part_size or 0, FIRST_AHEAD), self._window)
        slot = await reading.client.slot(reading.share)
        try:
            opened = None
            if not self._wanted.is_empty:
                opened = await reading.open(self._wanted, first)
            if opened is None:
                opened = await reading.open_empty(self._wanted)
            reading.started(opened.range)
            self._opened = opened
            response = opened.response
            if response is None:
                slot.release()
                self.verified = reading.is_verifiable(opened) and opened.pinned.crc64 == EMPTY
                return
            ahead = ReadAhead(*opened.range, window=self._window, part_size=part_size, first=first)
            self._fetching = fetching = Fetching(reading, opened, ahead, part_size, self._window)
            flight = fetching.first(response, slot, first)
        except BaseException:
            slot.release()
            raise
        # Not in a task group: the `async with` block may end in another task than it began in, for example if it is in
        # an async generator that is not read to its end.
        self._first = flight
        self._task = asyncio.create_task(fetching.run(flight), name=f"aioss_resume: {reading.name}")
        self._task.add_done_callback(self._release)  # a task that is cancelled before it has begun runs no code
        self._calls.add(self)

    def _release(self, _task: asyncio.Task[None]) -> None:
        """After fetching has ended, release the first slot and response, once."""
        first, self._first = self._first, None
        if first is not None:
            first.slot.release()
            first.response.close()
            self._calls.remove(self)

    async def _end(self) -> asyncio.CancelledError | None:
        """Stop fetching and wait for its end. Returns a cancellation that arrived meanwhile."""
        task, fetching = self._task, self._fetching
        if task is None or fetching is None:
            return None
        task.cancel()  # has no effect once it has ended
        cancelled = await wait_uncancelled(task.done, lambda: asyncio.wait([task]))
        self._release(task)
        if not task.cancelled():
            task.exception()  # retrieved, so that asyncio does not log it
        fetching.clear()
        return cancelled

    async def _next(self) -> bytes:
        """The next bytes; b"" at the end."""
        self._open()
        if self._is_reading:
            raise ConfigError("this stream is being read by another task")
        if self._rest:
            self._check_not_ended()
            chunk, self._rest = self._rest, b""
            return chunk
        self._is_reading = True
        try:
            return await self._next_chunk()
        except BaseException as error:
            self._error = error
            raise
        finally:
            self._is_reading = False

    async def _next_chunk(self) -> bytes:
        fetching, task = self._fetching, self._task
        if fetching is None or task is None or fetching.is_at_end:
            return b""
        self._check_not_ended()
        await fetching.wait_for_next(task)
        self._check_not_ended()
        if not fetching.has_next:
            await self._raise_error_of(task)
        if fetching.next_is_last:
            await self._finish(fetching, task)
        chunk = fetching.take()
        self._taken += len(chunk)
        return chunk

    async def _finish(self, fetching: Fetching, task: asyncio.Task[None]) -> None:
        """Before returning the last chunk, wait for the end of all requests and verify the whole object."""
        await asyncio.wait([task])
        if task.cancelled() or task.exception() is not None:
            await self._raise_error_of(task)
        opened = self._open()
        if self._reading.is_verifiable(opened):
            if fetching.crc64 != opened.pinned.crc64:
                raise self._reading.mismatch_error(opened.pinned, fetching.crc64)
            self.verified = True

    async def _raise_error_of(self, task: asyncio.Task[None]) -> None:
        self._check_not_ended()
        await asyncio.shield(task)
        raise AssertionError("the fetching ended without the last byte")

    def _check_not_ended(self) -> None:
        if self._was_closed:
            raise closed_error(self._reading.name)
        if self._was_left:
            raise ConfigError("this stream has ended: read it within its `async with` block")

    def _open(self) -> Opened:
        if self._opened is None:
            raise ConfigError("this stream is not open: use it within `async with`")
        return self._opened
