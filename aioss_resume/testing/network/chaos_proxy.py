"""ChaosProxy: a TCP proxy on this machine that simulates a bad network.

It has more than 15 methods because each fault of a network is one.
"""

import asyncio
import contextlib
from dataclasses import replace
from types import TracebackType
from typing import Self

from aioss_resume.testing.network.loop_thread import LoopThread, settle
from aioss_resume.testing.network.toxics import Cut, Network, Toxics
from aioss_resume.testing.network.tunnel import Tunnel


class ChaosProxy:
    """A proxy between a client and `host:port`. Used with `with`.

    Toxics may be set and changed at any time and from any thread. They also apply to existing connections. All of them
    affect the direction from the server to the client. Bytes are counted per connection. Setting a toxic replaces its
    earlier value; None or 0 removes it.
    """

    def __init__(self, host: str, port: int, *, listen_host: str = "127.0.0.1") -> None:
        """Set up, without listening yet."""
        self.port = 0
        self._target = (host, port)
        self._listen_host = listen_host
        self._network = Network()
        self._listener: asyncio.Server | None = None
        self._tunnels: set[Tunnel] = set()
        self._thread = LoopThread("ChaosProxy", self._listen, self._close)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.stop()

    def __repr__(self) -> str:
        host, port = self._target
        return f"<ChaosProxy {self.port} to {host}:{port}, {self._network.open_connections} connections>"

    @property
    def endpoint(self) -> str:
        """The http endpoint of the proxy. For https, make your own with `port`."""
        host = f"[{self._listen_host}]" if ":" in self._listen_host else self._listen_host
        return f"http://{host}:{self.port}"

    def latency(self, seconds: float) -> None:
        """Delay every byte by so many seconds, without changing rates."""
        self._set(replace(self._network.toxics, latency=seconds))

    def bandwidth(self, bytes_per_second: float | None, *, in_sum: float | None = None) -> None:
        """Limit the rate of each connection, and of all together."""
        self._set(replace(self._network.toxics, rate=bytes_per_second, rate_in_sum=in_sum))

    def slice(self, n: int | None, *, pause: float = 0.0) -> None:
        """Deliver segments of at most n bytes with a pause in seconds after each."""
        self._set(replace(self._network.toxics, slice=n, pause=pause))

    def black_hole(self, after: int = 0, *, times: int | None = None) -> None:
        """Drop everything in both directions after a connection has received so many bytes.

        The connection stays open until the client disconnects. With 0, new connections are accepted but not forwarded.
        `times` is the number of affected connections, None for all. Of black_hole, reset_after and limit, only the last
        one that was set applies.
        """
        self._set(replace(self._network.toxics, cut=Cut("swallow", after, times)))

    def reset_after(self, n: int, *, times: int | None = None) -> None:
        """Reset connections (RST) after n bytes."""
        self._set(replace(self._network.toxics, cut=Cut("reset", n, times)))

    def limit(self, n: int, *, times: int | None = None) -> None:
        """Close connections normally (FIN) after n bytes."""
        self._set(replace(self._network.toxics, cut=Cut("close", n, times)))

    def heal(self) -> None:
        """Remove all toxics, and accept connections. Dropped bytes stay lost."""
        self._set(Toxics())
        self.accept()

    def refuse(self) -> None:
        """Refuse new connections from now on. Takes effect before this returns."""
        self._thread.ask(self._stop_listening())

    def accept(self) -> None:
        """Accept connections again on the same port. Takes effect before this returns.

        Raises:
            OSError: The port was taken meanwhile.
        """
        self._thread.ask(self._listen())

    def drop_connections(self) -> None:
        """Reset all existing connections."""
        self._thread.tell(self._abort_tunnels)

    @property
    def connections(self) -> int:
        """Number of connections accepted so far."""
        return self._network.connections

    @property
    def open_connections(self) -> int:
        return self._network.open_connections

    @property
    def bytes_up(self) -> int:
        """Bytes received from clients."""
        return self._network.bytes_up

    @property
    def bytes_down(self) -> int:
        """Bytes sent to clients."""
        return self._network.bytes_down

    def wait_for_connections(self, n: int, timeout: float = 30.0) -> None:
        """Block until n connections were accepted.

        Raises:
            TimeoutError: That took longer than `timeout` seconds.
        """
        network = self._network
        with network.changed:
            if not network.changed.wait_for(lambda: network.connections >= n, timeout):
                raise TimeoutError(f"{network.connections} of {n} connections came within {timeout} seconds")

    def wait_for_bytes(self, n: int, timeout: float = 30.0) -> None:
        """Block until n bytes were sent to clients.

        Raises:
            TimeoutError: That took longer than `timeout` seconds.
        """
        network = self._network
        with network.changed:
            if not network.changed.wait_for(lambda: network.bytes_down >= n, timeout):
                raise TimeoutError(f"{network.bytes_down} of {n} bytes were sent within {timeout} seconds")

    def wait_for_no_connection(self, timeout: float = 30.0) -> None:
        """Block until no connection is open.

        Raises:
            TimeoutError: That took longer than `timeout` seconds.
        """
        network = self._network
        with network.changed:
            if not network.changed.wait_for(lambda: not network.open_connections, timeout):
                raise TimeoutError(f"{network.open_connections} connections are open after {timeout} seconds")

    def _set(self, toxics: Toxics) -> None:
        self._network.toxics = toxics
        self._thread.tell(self._network.wake)

    async def _listen(self) -> None:
        if self._listener is None:
            self._listener = await asyncio.start_server(self._serve, self._listen_host, self.port, backlog=1024)
            self.port = self._listener.sockets[0].getsockname()[1]

    async def _stop_listening(self) -> None:
        await settle()
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    async def _close(self) -> None:
        if self._listener is not None:
            self._listener.close()
        self._abort_tunnels()

    def _abort_tunnels(self) -> None:
        for tunnel in self._tunnels:
            tunnel.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tunnel = Tunnel(self._network, reader, writer)
        self._tunnels.add(tunnel)
        # Cancelled when the thread stops. Python 3.11's asyncio would log it as an error.
        with contextlib.suppress(asyncio.CancelledError):
            await tunnel.run(*self._target)
        self._tunnels.discard(tunnel)
