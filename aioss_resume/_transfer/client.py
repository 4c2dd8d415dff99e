"""What all that runs in one Downloader shares: a session, a signer, threads, and one set of limits."""

import asyncio
from typing import Any

import aiohttp
import anyio

from aioss_resume._core.pacing import Pacer
from aioss_resume._core.slots import Slot, Slots
from aioss_resume._io.clock import Clock
from aioss_resume._io.credentials import KeyRing
from aioss_resume._io.sign import Signer
from aioss_resume._io.storage import STORAGE, Storage
from aioss_resume._io.threads import Threads
from aioss_resume.options import READ_BUFFER, WRITE_SIZE, KiB

_KEEP_ALIVE_SECONDS = 30.0  # OSS closes idle connections after about a minute: ours go first
_PACED_LEAST = 16 * KiB
_PACED_SECONDS = 0.05  # how much of the whole rate one span takes at once
_CLOSE_SECONDS = 5.0  # for connections to close; those that do not are left to the loop


class Client:
    """The shared things, open as long as somebody holds a lease.

    A transfer may outlive the Downloader that began it, when another one's caller has joined it.

    Args:
        bucket: An oss2.Bucket. Any: oss2 has no types.
        session: The caller's, never closed here; None: one of our own.
        storage: Where files are; tests of power cuts and of failing calls bring their own.
    """

    def __init__(
        self,
        bucket: Any,
        *,
        concurrency: int,
        max_bytes_per_second: float | None,
        session: aiohttp.ClientSession | None,
        storage: Storage = STORAGE,
    ) -> None:
        self.bucket = bucket
        self.clock = Clock()
        self.threads = Threads()
        self.storage = storage
        self.signer = Signer(bucket, KeyRing(lambda: bucket.auth, self.threads, self.clock), self.threads)
        # No more than the caller's pool has, or our own requests would wait in it for each other, against time limits.
        pool = session.connector.limit if session is not None and session.connector is not None else 0
        self.slots = Slots(min(concurrency, pool or concurrency))
        self.pacer = Pacer(max_bytes_per_second, self.clock.now()) if max_bytes_per_second else None
        self.write_size = _write_size(max_bytes_per_second)
        self._given_session = session
        self._own_session: aiohttp.ClientSession | None = None
        self._leases = 0

    @property
    def session(self) -> aiohttp.ClientSession:
        if self._given_session is not None:
            return self._given_session
        if self._own_session is None:
            self._own_session = aiohttp.ClientSession(
                # The slots limit the connections. No cookies: OSS sets none, and a proxy's are none of ours.
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEP_ALIVE_SECONDS),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                read_bufsize=READ_BUFFER,
            )
        return self._own_session

    def lease(self) -> None:
        """Keep all open until end_lease() is called as often."""
        self._leases += 1

    async def end_lease(self) -> None:
        """Give a lease back; the last one closes what is ours."""
        self._leases -= 1
        if self._leases:
            return
        session, self._own_session = self._own_session, None
        try:
            if session is not None:
                with anyio.move_on_after(_CLOSE_SECONDS, shield=True):
                    await session.close()
        finally:  # also when this task is cancelled meanwhile
            await self.threads.close()

    async def keep_pace(self, length: int) -> None:
        """Wait, after `length` bytes were received, as long as max_bytes_per_second demands."""
        if self.pacer is not None and (wait := self.pacer.draw(length, self.clock.now())):
            await self.clock.sleep(wait)

    async def slot(self) -> Slot:
        """A place among the requests in flight, in turn. Whoever gets it gives it back."""
        granted: asyncio.Future[None] | None = None  # none is needed, mostly

        def wake() -> None:
            if granted is not None and not granted.done():
                granted.set_result(None)

        slot = self.slots.request(wake)
        if slot.granted:
            return slot
        granted = asyncio.get_running_loop().create_future()
        try:
            await granted
        except asyncio.CancelledError:
            slot.release()
            raise
        return slot


def _write_size(rate: float | None) -> int:
    """Most bytes that one span receives before it writes, and waits if they came too quickly for the rate."""
    if rate is None:
        return WRITE_SIZE
    return int(min(max(_PACED_LEAST, rate * _PACED_SECONDS), WRITE_SIZE))
