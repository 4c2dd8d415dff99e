"""Tunnel: one connection through a `ChaosProxy`."""

import asyncio
import contextlib

from aioss_resume.testing.network.resetting import flush, reset
from aioss_resume.testing.network.toxics import Cut, Network, Pacer

_CHUNK = 1 << 16
_QUEUED = 256  # most chunks on the way: 16 MiB, for a fast network with a long delay

_Arrived = tuple[float, bytes | None]
"""The time at which a chunk arrived from the server, and the chunk: b"" for the end, None for a reset."""


class Tunnel:
    """A client's connection. It ends with the server's connection, by a toxic, or when the client disconnects."""

    def __init__(self, network: Network, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._network = network
        self._reader = reader
        self._writer = writer
        self._sent = 0
        self._pacer = Pacer()
        self._cut: Cut | None = None  # the cut that ended this connection
        self._left = asyncio.Event()  # set when the client has disconnected

    async def run(self, host: str, port: int) -> None:
        """Forward bytes until the connection has ended."""
        self._network.count(opened=1)
        try:
            cut = self._current_cut()
            if cut is None:
                await self._through(host, port)
            elif cut.how == "swallow":
                await self._upward(None)
            else:
                await self._end(cut)
            with contextlib.suppress(ConnectionError):
                self._writer.close()
                await self._writer.wait_closed()
        finally:
            self._writer.transport.abort()
            self._network.count(closed=1)

    def abort(self) -> None:
        """Reset the client's connection."""
        reset(self._writer.transport)

    async def _through(self, host: str, port: int) -> None:
        try:
            reader, writer = await asyncio.open_connection(host, port)
        except OSError:
            self.abort()
            return
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._upward(writer))]
                arrived: asyncio.Queue[_Arrived] = asyncio.Queue(_QUEUED)
                tasks.append(group.create_task(_receive(reader, arrived)))
                await self._downward(arrived)
                for task in tasks:
                    task.cancel()
        finally:
            writer.transport.abort()

    async def _upward(self, upstream: asyncio.StreamWriter | None) -> None:
        is_gone = True
        with contextlib.suppress(ConnectionError):
            while chunk := await self._reader.read(_CHUNK):
                self._network.count(up=len(chunk))
                if upstream is not None and not self._is_swallowed():
                    upstream.write(chunk)
                    await upstream.drain()
            is_gone = self._is_swallowed()
        self._left.set()
        if upstream is None:
            return
        if is_gone:
            upstream.transport.abort()
        else:
            upstream.write_eof()  # it may still be reading

    async def _downward(self, arrived: asyncio.Queue[_Arrived]) -> None:
        while True:
            moment, chunk = await arrived.get()
            await self._network.age(moment)
            if self._is_swallowed():
                await self._swallow(arrived)
                return
            if not chunk:
                if chunk is None:
                    self.abort()
                return
            try:
                cut = await self._pass(chunk)
            except ConnectionError:
                return
            if cut is None:
                continue
            if cut.how == "swallow":
                await self._swallow(arrived)
            else:
                await self._end(cut)
            return

    async def _pass(self, chunk: bytes) -> Cut | None:
        """Forward a chunk. Returns the cut that ended it early, if there was one; the rest is not sent."""
        view = memoryview(chunk)
        while view:
            cut = self._current_cut()
            if cut is not None:
                return cut
            step = min(len(view), self._network.room(self._sent))
            await self._network.pace(self._pacer, step)
            step = min(step, self._network.room(self._sent))  # the toxics may have changed meanwhile
            self._writer.write(view[:step])
            self._sent += step
            self._network.count(down=step)
            await self._writer.drain()
            view = view[step:]
            if self._network.toxics.pause:
                await self._network.idle(self._network.toxics.pause)
        return self._current_cut()

    def _current_cut(self) -> Cut | None:
        if self._cut is None:
            self._cut = self._network.claim_cut(self._sent)
        return self._cut

    def _is_swallowed(self) -> bool:
        cut = self._current_cut()
        return cut is not None and cut.how == "swallow"

    async def _swallow(self, arrived: asyncio.Queue[_Arrived]) -> None:
        async with asyncio.TaskGroup() as group:
            drain = group.create_task(_discard(arrived))
            await self._left.wait()
            drain.cancel()

    async def _end(self, cut: Cut) -> None:
        if cut.how == "reset":
            await flush(self._writer.transport)
            self.abort()


async def _receive(reader: asyncio.StreamReader, arrived: asyncio.Queue[_Arrived]) -> None:
    loop = asyncio.get_running_loop()
    try:
        while chunk := await reader.read(_CHUNK):
            await arrived.put((loop.time(), chunk))
    except ConnectionError:
        await arrived.put((loop.time(), None))
    else:
        await arrived.put((loop.time(), b""))


async def _discard(arrived: asyncio.Queue[_Arrived]) -> None:
    while True:
        await arrived.get()
