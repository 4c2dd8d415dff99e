"""Receive the body of a response into the caller's buffer.

There are two ways. If the body is plain and its length is known, the socket is read directly into the buffer: our own
protocol takes over the connection until the body ends, and then returns it. Otherwise aiohttp's reader receives the
body, which costs two more copies.

The first way relies on attributes that are not part of aiohttp's public interface. If a release lacks one of them, all
bodies are received in the second way.

This module has more than 300 lines because both ways must behave alike.
"""

import asyncio
import importlib
import logging
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Final, Protocol

import aiohttp

from aioss_resume._io.clock import Clock
from aioss_resume.options import READ_LEAST, READ_MOST, READ_TURN, WRITE_SECONDS, KiB

if TYPE_CHECKING:
    from aiohttp.client_proto import ResponseHandler

logger = logging.getLogger("aioss_resume")

_NOWHERE: Final = memoryview(b"")

_DIRECT_LEAST: Final = 128 * KiB  # bytes of a body that is read from the socket; a smaller one comes in one piece

_RELIED_ON: Final = {
    "aiohttp.connector:Connection": ("protocol", "transport"),
    "aiohttp.client_proto:ResponseHandler": (
        "read_timeout", "start_timeout", "connection_lost", "pause_writing", "resume_writing",
    ),
    "aiohttp.streams:StreamReader": ("read_nowait", "feed_eof"),
}  # fmt: skip
_RELIED_ON_OF_TRANSPORTS: Final = ("set_protocol", "pause_reading", "resume_reading", "abort", "is_closing")

OnReceived = Callable[[int, float], bool]
"""Called with the number of bytes that came, and the clock's time; False: no more are wanted."""


class Body(Protocol):
    """The part of a body that has not been received. The caller must close it."""

    async def fill(self, buffer: memoryview, on_received: OnReceived) -> None:
        """Receive at least one byte; until the buffer is full, or WRITE_SECONDS have passed, or no more are wanted.

        When this raises or is cancelled, too, `on_received` was told of every byte that is in the buffer.

        Raises:
            EOFError: The body has ended.
            TimeoutError: No byte came in time.
            aiohttp.ClientError, OSError: The connection is lost.
        """

    def trim(self, length: int) -> None:
        """Let the running call of fill(), if there is one, receive `length` more bytes at most; 0 ends it."""

    def close(self) -> None:
        """Release the connection. It is kept for the next request if the body was read to its end."""


@lru_cache(maxsize=1)
def reads_sockets() -> bool:
    """Whether this release of aiohttp allows reading its sockets. Logs one WARNING if it does not."""
    missing = _missing()
    if missing is not None:
        logger.warning(
            "aiohttp %s has no %s: bodies are received through its own reader, which is slower",
            aiohttp.__version__,
            missing,
        )
    return missing is None


def _missing() -> str | None:
    for where, names in _RELIED_ON.items():
        module, _, class_name = where.partition(":")
        try:
            owner = getattr(importlib.import_module(module), class_name)
        except (ImportError, AttributeError):
            return where.replace(":", ".")
        for name in names:
            if not hasattr(owner, name):
                return f"{where.replace(':', '.')}.{name}"
    return None


@lru_cache(maxsize=16)
def _may_take_over(kind: type) -> bool:
    """Whether transports of that class support replacing their protocol."""
    return all(hasattr(kind, name) for name in _RELIED_ON_OF_TRANSPORTS)


def body_of(response: aiohttp.ClientResponse, length: int | None, stall: float, clock: Clock) -> Body:
    """Choose the way to receive a response's body.

    Args:
        response: A response of which only the headers have been read.
        length: Bytes of the body; None if unknown.
        stall: Most seconds without a byte.
    """
    if not reads_sockets():
        return _ReaderBody(response, clock, stall)
    connection = response.connection
    if connection is None or connection.protocol is None:  # the whole body came along with the headers
        return _ReaderBody(response, clock)
    transport = connection.transport
    if (
        transport is not None
        and _may_take_over(type(transport))  # type: ignore[arg-type]  # mypy takes classes for unhashable
        and not transport.is_closing()
        and response.headers.get("Content-Length") == str(length)
        and "Transfer-Encoding" not in response.headers
        and length is not None
        and length > _DIRECT_LEAST
    ):
        return _DirectBody(response, transport, connection.protocol, length, stall, clock)
    connection.protocol.read_timeout = stall
    connection.protocol.start_timeout()
    return _ReaderBody(response, clock)


class _ReaderBody:
    """A body that is received by aiohttp's reader.

    Args:
        stall: Most seconds without a byte; None if aiohttp limits them.
    """

    def __init__(self, response: aiohttp.ClientResponse, clock: Clock, stall: float | None = None) -> None:
        self._response = response
        self._clock = clock
        self._stall = stall
        self._buffer = _NOWHERE

    async def fill(self, buffer: memoryview, on_received: OnReceived) -> None:
        self._buffer = buffer
        try:
            await self._fill(on_received)
        finally:
            self._buffer = _NOWHERE

    async def _fill(self, on_received: OnReceived) -> None:
        write_at = float("inf")
        while buffer := self._buffer:
            if self._stall is None:
                chunk = await self._response.content.read(len(buffer))
            else:
                async with asyncio.timeout(self._stall):
                    chunk = await self._response.content.read(len(buffer))
            if not chunk:
                raise EOFError
            now = self._clock.now()
            write_at = min(write_at, now + WRITE_SECONDS)
            chunk = chunk[: len(self._buffer)]  # it may have been trimmed meanwhile
            self._buffer[: len(chunk)] = chunk
            self._buffer = self._buffer[len(chunk) :]
            if not on_received(len(chunk), now) or now >= write_at:
                return

    def trim(self, length: int) -> None:
        self._buffer = self._buffer[:length]

    def close(self) -> None:
        self._response.close()


class _DirectBody(asyncio.BufferedProtocol):
    """A body that is read directly from the socket.

    The socket is read into the buffer of fill() while that waits. Bytes that arrive at other times are kept for the
    next call: aiohttp resumes reading when the last bytes of an earlier response over this connection are read, however
    late, and transports on Windows deliver more than the buffer takes.
    """

    def __init__(
        self,
        response: aiohttp.ClientResponse,
        transport: asyncio.Transport,
        owner: "ResponseHandler",
        length: int,
        stall: float,
        clock: Clock,
    ) -> None:
        self._response = response
        self._transport: asyncio.Transport | None = transport
        self._owner = owner
        self._stall = stall
        self._clock = clock
        self._early = _what_came(response, transport)  # bytes for the next call of fill()
        self._spare = _NOWHERE  # the buffer for bytes that arrive while no call waits
        self._left = length - len(self._early)  # bytes still to be received
        self._problem: BaseException | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._buffer, self._filled = _NOWHERE, 0
        self._on_received: OnReceived = _want_none
        self._write_at = self._stalled_at = 0.0
        self._alarm: asyncio.TimerHandle | None = None
        owner.read_timeout = None
        owner.start_timeout()
        transport.set_protocol(self)

    async def fill(self, buffer: memoryview, on_received: OnReceived) -> None:
        early, self._early = self._early[: len(buffer)], self._early[len(buffer) :]
        buffer[: len(early)] = early
        if early and (not on_received(len(early), self._clock.now()) or len(early) == len(buffer)):
            return
        if self._left == 0 and self._problem is None:
            self._problem = EOFError()
        self._filled = len(early)
        if self._problem is None:
            self._buffer, self._on_received = buffer, on_received
            await self._fill()
        if self._problem is not None and not self._filled:
            raise self._problem

    def trim(self, length: int) -> None:
        self._buffer = self._buffer[: self._filled + length]
        if self._filled == len(self._buffer):
            self._end_fill()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.set_protocol(self._owner)
            if self._left == 0:
                self._transport.resume_reading()
                self._response.content.feed_eof()  # returns the connection to the session
            else:
                self._transport.abort()  # close() would wait for the server to end TLS, and it may have stalled
            self._transport = None
        self._response.close()

    def get_buffer(self, _sizehint: int) -> memoryview:
        if self._waiter is None:
            self._spare = memoryview(bytearray(min(READ_LEAST, self._left or READ_LEAST)))
            return self._spare
        most = max(READ_LEAST, min(READ_MOST, READ_TURN // max(1, len(_being_read))))
        return self._buffer[self._filled : self._filled + min(most, self._left)]

    def buffer_updated(self, nbytes: int) -> None:
        if self._waiter is None:
            self._keep(nbytes)
            return
        now = self._clock.now()
        self._filled += nbytes
        self._left -= nbytes
        self._stalled_at = now + self._stall
        wants_more = self._on_received(nbytes, now)
        if not (wants_more and self._left and self._filled < len(self._buffer)) or now >= self._write_at:
            self._end_fill()

    def _keep(self, nbytes: int) -> None:
        """Keep bytes that arrived while no call waits, and stop reading again."""
        assert self._transport is not None
        if self._left:
            self._early = memoryview(bytes(self._early) + self._spare[:nbytes])
            self._left -= nbytes
            self._transport.pause_reading()
        else:
            self._transport.abort()  # the server sends more than it announced: the connection is of no use

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._problem = exc or EOFError()
        self._end_fill()
        self._owner.connection_lost(exc)

    def pause_writing(self) -> None:
        self._owner.pause_writing()

    def resume_writing(self) -> None:
        self._owner.resume_writing()

    async def _fill(self) -> None:
        now = self._clock.now()
        self._write_at = now + WRITE_SECONDS
        self._stalled_at = now + self._stall
        self._waiter = asyncio.get_running_loop().create_future()
        self._set_alarm()
        assert self._transport is not None
        self._transport.resume_reading()
        _being_read.add(self)
        try:
            await self._waiter
        finally:
            _being_read.discard(self)
            self._end_fill()
            self._buffer, self._on_received = _NOWHERE, _want_none  # a cycle would keep the buffer

    def _set_alarm(self) -> None:
        self._alarm = asyncio.get_running_loop().call_later(min(self._stall, WRITE_SECONDS), self._look)

    def _look(self) -> None:
        """Check the time limits while fill() waits."""
        now = self._clock.now()
        if self._filled and now >= self._write_at:
            self._end_fill()
        elif now >= self._stalled_at:
            self._problem = TimeoutError()
            self._end_fill()
        else:
            self._set_alarm()

    def _end_fill(self) -> None:
        """End the waiting of fill(), and stop reading until its next call."""
        waiter, self._waiter = self._waiter, None
        if waiter is None:
            return
        if not waiter.done():
            waiter.set_result(None)
        if self._alarm is not None:
            self._alarm.cancel()
        if self._transport is not None:
            self._transport.pause_reading()


_being_read: Final[set[_DirectBody]] = set()  # in all threads of this process


def _what_came(response: aiohttp.ClientResponse, transport: asyncio.Transport) -> memoryview:
    """Take the bytes that arrived with the headers, and pause reading from the connection.

    If there were so many that aiohttp paused reading, taking them makes its parser continue with those it has kept.
    """
    came = response.content.read_nowait()
    transport.pause_reading()
    return memoryview(came + response.content.read_nowait())


def _want_none(_length: int, _now: float) -> bool:
    return False
