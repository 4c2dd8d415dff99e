"""Sending a response, possibly slowly, or cut off by a fault."""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterable
from http import HTTPStatus

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from aioss_resume.testing.network.resetting import flush, reset
from aioss_resume.testing.server.answers import Answer, Cut, Then

_SLICES_PER_SECOND = 20
_NO_BODY = (204, 304)


class Sent(web.StreamResponse):
    """A response that was already written to the connection, so that aiohttp adds nothing.

    aiohttp's own responses cannot be cut off, announce a wrong length or omit headers.
    """

    def __init__(self, *, keep_alive: bool) -> None:
        super().__init__()
        self._keeps = keep_alive

    @property
    def keep_alive(self) -> bool:
        return self._keeps

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter:
        return request.writer

    async def write_eof(self, data: object = b"") -> None:
        """Do nothing: everything was written already."""


class Sender:
    """Sends one response to one client."""

    def __init__(
        self,
        request: web.BaseRequest,
        *,
        head_sent: Callable[[Answer], None],
        body_sent: Callable[[int], None],
        finished: Callable[[], None],
        closing: asyncio.Event,
    ) -> None:
        """Prepare to answer a request.

        The callbacks are called before the bytes are written, so the ledger has them before the client does.

        Args:
            request: The request.
            head_sent: Called when the status is sent.
            body_sent: Called with the number of body bytes that are sent.
            finished: Called when nothing more will be sent to the client, possibly more than once.
            closing: Set when the server stops.
        """
        self._request = request
        self._head_sent = head_sent
        self._body_sent = body_sent
        self._finished = finished
        self._closing = closing
        self._left = 0  # bytes of the body still to be sent

    async def send(self, answer: Answer) -> Sent:
        """Send a response with all its faults.

        Raises:
            ConnectionError: The client has disconnected.
        """
        if answer.delay:
            await self._idle(answer.delay)
        if answer.cut is not None and answer.cut.after < 0:
            self._finished()
            self._abort()
            return Sent(keep_alive=False)
        if answer.before is not None:
            await self._flood(answer.before())
        if answer.raw is not None:
            return await self._raw(answer.raw, answer.then or "close")
        sent = await self._send(answer)
        return sent if answer.then is None else await self._end(answer.then)

    async def _send(self, answer: Answer) -> Sent:
        has_body = self._request.method != "HEAD" and answer.status not in _NO_BODY
        keep_alive = self._request.keep_alive and answer.framing != "close" and answer.announced is None
        self._left = answer.length if has_body else 0
        self._head_sent(answer)
        if not self._left and answer.cut is None:
            self._finished()
        await self._head(_head(answer, has_body=has_body, keep_alive=keep_alive), answer.head_rate)
        if not has_body:
            return Sent(keep_alive=keep_alive)
        left = None if answer.cut is None else answer.cut.after
        for piece in answer.pieces():
            view = memoryview(piece)
            if left is not None and len(view) >= left:
                assert answer.cut is not None
                await self._body(view[:left], answer)
                if not await self._cut(answer.cut):
                    return Sent(keep_alive=False)
                view = view[left:]
                left = None
            await self._body(view, answer)
            if left is not None:
                left -= len(view)
        if answer.cut is not None and left is not None and not await self._cut(answer.cut):
            return Sent(keep_alive=False)
        if answer.framing == "chunked":
            self._write(b"0\r\n\r\n")
        await self._request.writer.drain()
        return Sent(keep_alive=keep_alive)

    async def _flood(self, pieces: Iterable[bytes]) -> None:
        for piece in pieces:
            self._write(piece)
            await self._request.writer.drain()
            await asyncio.sleep(0)  # otherwise a fast client would block the loop for all others

    async def _raw(self, data: bytes, then: Then) -> Sent:
        self._body_sent(len(data))
        if then != "hang":
            self._finished()
        self._write(data)
        await self._request.writer.drain()
        return await self._end(then)

    async def _end(self, then: Then) -> Sent:
        if then == "hang":
            await self._idle(None)
        elif then == "close":
            self._transport().close()
        else:
            await self._flush()
            self._abort()
        return Sent(keep_alive=False)

    async def _head(self, head: bytes, rate: float | None) -> None:
        if rate is None:
            self._write(head)
            return
        for position in range(len(head)):
            self._write(head[position : position + 1])
            await self._idle(1 / rate)

    async def _body(self, view: memoryview, answer: Answer) -> None:
        if answer.rate is None:
            await self._chunk(view, answer)
            return
        step = max(1, int(answer.rate / _SLICES_PER_SECOND))
        for start in range(0, len(view), step):
            part = view[start : start + step]
            await self._chunk(part, answer)
            await self._idle(len(part) / answer.rate)

    async def _chunk(self, view: memoryview, answer: Answer) -> None:
        if not view:
            return
        self._body_sent(len(view))
        self._left -= len(view)
        if not self._left:
            self._finished()
        if answer.framing == "chunked":
            self._write(f"{len(view):x}\r\n".encode())
            self._write(view)
            self._write(b"\r\n")
        else:
            self._write(view)
        await self._request.writer.drain()

    async def _cut(self, cut: Cut) -> bool:
        """Cut the response off. Returns whether it continues afterwards."""
        if cut.how == "stall":
            await self._idle(cut.seconds)
            return cut.seconds is not None
        if cut.how == "unsaid":
            await self._flush()
            self._finished()
            with contextlib.suppress(OSError):
                self._transport().get_extra_info("socket").shutdown(socket.SHUT_WR)
            self._transport().abort()
            return False
        if cut.how == "truncate":
            self._finished()
            self._transport().close()
            return False
        await self._flush()
        self._finished()
        self._abort()
        return False

    async def _idle(self, seconds: float | None) -> None:
        """Wait for so many seconds, or until the server stops. If the client disconnects, the handler is cancelled."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._closing.wait(), seconds)
        if self._closing.is_set():
            self._abort()
            raise ConnectionAbortedError

    async def _flush(self) -> None:
        await flush(self._transport())

    def _abort(self) -> None:
        reset(self._transport())

    def _write(self, data: bytes | memoryview) -> None:
        transport = self._transport()
        if transport.is_closing():
            raise ConnectionResetError
        transport.write(data)

    def _transport(self) -> asyncio.Transport:
        transport = self._request.transport
        if transport is None:
            raise ConnectionResetError
        assert isinstance(transport, asyncio.Transport)
        return transport


def _head(answer: Answer, *, has_body: bool, keep_alive: bool) -> bytes:
    try:
        reason = HTTPStatus(answer.status).phrase
    except ValueError:
        reason = "Unknown"
    lines = [f"HTTP/1.1 {answer.status} {reason}"]
    lines += [f"{name}: {value}" for name, value in answer.headers.items()]
    if answer.status not in _NO_BODY and "Content-Length" not in answer.headers:
        if answer.framing == "length":
            length = answer.length if answer.announced is None else answer.announced
            lines.append(f"Content-Length: {length}")
        elif answer.framing == "chunked" and has_body:
            lines.append("Transfer-Encoding: chunked")
    lines.append(f"Connection: {'keep-alive' if keep_alive else 'close'}")
    head = ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8", "surrogateescape")
    return head if answer.rewrite_head is None else answer.rewrite_head(head)
