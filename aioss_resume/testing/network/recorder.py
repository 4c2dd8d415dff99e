"""Recorder: a server that records every byte, for addresses at which no secrets should arrive."""

import asyncio
import re
import ssl
import threading
from types import TracebackType
from typing import Self

from aioss_resume.testing.network.loop_thread import LoopThread

_LENGTH = re.compile(rb"^content-length:[ \t]*(\d+)[ \t]*\r?$", re.IGNORECASE | re.MULTILINE)
_LARGEST = 16 << 20  # bytes of one request that are kept
_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 8\r\nConnection: close\r\n\r\nrecorded"


class Recorder:
    """A local server that records raw requests and sends the same response to all of them. Used with `with`.

    It accepts one request per connection. Methods may be called from any thread.
    """

    def __init__(self, answer: bytes = _ANSWER, *, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> None:
        """Set up, without listening yet; `answer` is sent as it is, and then the connection is closed."""
        self.port = 0
        self._answer = answer
        self._host = host
        self._tls = tls
        self._changed = threading.Condition()  # guards the next two attributes
        self._requests: list[bytes] = []
        self._connections = 0
        self._server: asyncio.Server | None = None
        self._thread = LoopThread("Recorder", self._listen, self._close)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.stop()

    @property
    def url(self) -> str:
        """The address of the server, for example for `faults.redirect`."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{'http' if self._tls is None else 'https'}://{host}:{self.port}"

    @property
    def requests(self) -> list[bytes]:
        """The raw requests with headers and bodies, including data that was not HTTP."""
        with self._changed:
            return list(self._requests)

    @property
    def connections(self) -> int:
        """Number of connections accepted, including those without a request."""
        with self._changed:
            return self._connections

    def wait_for_requests(self, n: int, timeout: float = 30.0) -> None:
        """Block until n requests have arrived.

        Raises:
            TimeoutError: That took longer than `timeout` seconds.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: len(self._requests) >= n, timeout):
                raise TimeoutError(f"{len(self._requests)} of {n} requests arrived within {timeout} seconds")

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, self._host, 0, ssl=self._tls, limit=_LARGEST)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        assert self._server is not None
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with self._changed:
            self._connections += 1
        try:
            request = await _read_request(reader)
            with self._changed:
                if request:
                    self._requests.append(request)
                self._changed.notify_all()
            writer.write(self._answer)
            await writer.drain()
            writer.close()
        except (ConnectionError, asyncio.CancelledError):
            # Cancelled when the thread stops. Python 3.11's asyncio would log it as an error.
            writer.transport.abort()


async def _read_request(reader: asyncio.StreamReader) -> bytes:
    """Read one request, or everything that arrives until the client stops sending."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        return error.partial
    except asyncio.LimitOverrunError as error:
        return await reader.read(error.consumed)
    length = _LENGTH.search(head)
    if length is None:
        return head
    try:
        return head + await reader.readexactly(min(int(length[1]), _LARGEST))
    except asyncio.IncompleteReadError as error:
        return head + error.partial
