"""asyncio's event loop for Windows, over a selector instead of completion ports.

The loop and its transports are asyncio's own: `asyncio.proactor_events`. Only the proactor, which starts operations on
sockets and ends their futures, is another one.
"""

import asyncio
import os
import selectors
import socket
from asyncio import proactor_events, sslproto
from collections import deque
from collections.abc import Callable
from typing import Any

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE


class Operation(asyncio.Future[Any]):
    """The future of an operation that waits for its socket. Any: what the operation returns."""

    def __init__(self, proactor: "SelectorProactor", place: tuple[int, int], attempt: Callable[[], Any]) -> None:
        super().__init__(loop=proactor.loop)
        self.attempt = attempt
        self._proactor = proactor
        self._place = place

    def cancel(self, msg: Any = None) -> bool:
        if not self.done():
            self._proactor.remove(self, self._place)  # at once, before another socket gets the descriptor
        return super().cancel(msg)


class SelectorProactor:
    """Does what asyncio's IocpProactor does for the loop and its transports."""

    loop: asyncio.AbstractEventLoop

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._waiting: dict[tuple[int, int], deque[Operation]] = {}

    def set_loop(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop

    def select(self, timeout: float | None = None) -> list[Any]:
        for key, events in self._selector.select(timeout):
            for event in (READ, WRITE):
                if events & event:
                    self._continue(key.fd, event)
        return []

    def recv(self, sock: socket.socket, size: int, flags: int = 0) -> asyncio.Future[Any]:
        return self._start(sock, READ, lambda: sock.recv(size, flags))

    def recv_into(self, sock: socket.socket, buffer: bytearray, flags: int = 0) -> asyncio.Future[Any]:
        return self._start(sock, READ, lambda: sock.recv_into(buffer, 0, flags))

    def send(self, sock: socket.socket, data: bytes, flags: int = 0) -> asyncio.Future[Any]:
        return self._start(sock, WRITE, lambda: sock.send(data, flags))

    def connect(self, sock: socket.socket, address: Any) -> asyncio.Future[Any]:
        begun = False

        def attempt() -> None:
            nonlocal begun
            if not begun:
                begun = True
                sock.connect(address)  # BlockingIOError: it is under way
            if error := sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                raise OSError(error, os.strerror(error))

        return self._start(sock, WRITE, attempt)

    def close(self) -> None:
        self._selector.close()

    def remove(self, operation: Operation, place: tuple[int, int]) -> None:
        queue = self._waiting[place]
        queue.remove(operation)
        self._watch(place[0])

    def _start(self, sock: socket.socket, event: int, attempt: Callable[[], Any]) -> asyncio.Future[Any]:
        place = sock.fileno(), event
        operation = Operation(self, place, attempt)
        self._waiting.setdefault(place, deque()).append(operation)
        self._continue(*place)
        return operation

    def _continue(self, descriptor: int, event: int) -> None:
        queue = self._waiting[descriptor, event]
        while queue:
            try:
                result = queue[0].attempt()
            except (BlockingIOError, InterruptedError):
                break
            except OSError as error:
                queue.popleft().set_exception(error)
            else:
                queue.popleft().set_result(result)
        self._watch(descriptor)

    def _watch(self, descriptor: int) -> None:
        events = sum(event for event in (READ, WRITE) if self._waiting.get((descriptor, event)))
        is_watched = descriptor in self._selector.get_map()
        if is_watched:
            self._selector.unregister(descriptor)
        if events:
            self._selector.register(descriptor, events)


class _Transport(proactor_events._ProactorSocketTransport):  # type: ignore[misc]  # private
    def _data_received(self, data: Any, length: int) -> None:
        if isinstance(self._protocol, asyncio.BufferedProtocol):
            self._loop.copied += length
        super()._data_received(data, length)

    def _call_connection_lost(self, error: Any) -> None:
        if not self._called_connection_lost:
            try:
                super()._call_connection_lost(error)
            except OSError:  # shutdown() of a socket that was reset: on Windows, asyncio logs it
                self._sock.close()
                self._sock = None
                self._called_connection_lost = True


class ProactorLoop(proactor_events.BaseProactorEventLoop):
    """asyncio.ProactorEventLoop without completion ports, pipes and subprocesses. It has no signal handlers either.

    Attributes:
        copied: Bytes that transports received and copied into the buffers of a BufferedProtocol.
    """

    copied = 0

    def __init__(self) -> None:
        super().__init__(SelectorProactor())

    def run_forever(self) -> None:
        self.call_soon(self._loop_self_reading)  # type: ignore[attr-defined]  # as ProactorEventLoop does
        try:
            super().run_forever()
        finally:
            reading, self._self_reading_future = self._self_reading_future, None  # type: ignore[has-type]
            if reading is not None:
                reading.cancel()

    def _make_socket_transport(  # Any: asyncio's own
        self, sock: Any, protocol: Any, waiter: Any = None, extra: Any = None, server: Any = None
    ) -> _Transport:
        return _Transport(self, sock, protocol, waiter, extra, server)

    def _make_ssl_transport(  # Any: asyncio's own
        self,
        rawsock: Any,
        protocol: Any,
        sslcontext: Any,
        waiter: Any = None,
        *,
        extra: Any = None,
        server: Any = None,
        **keywords: Any,
    ) -> Any:
        server_side, name = keywords.pop("server_side", False), keywords.pop("server_hostname", None)
        tls = sslproto.SSLProtocol(self, protocol, sslcontext, waiter, server_side, name, **keywords)  # type: ignore[arg-type]
        _Transport(self, rawsock, tls, extra=extra, server=server)
        return tls._app_transport
