"""Client: the session, threads, signers and limits that everything in one Downloader shares."""

import asyncio
import importlib
import weakref
from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import count
from typing import Any

import aiohttp
import anyio

from aioss_resume._core.pacing import Pacer
from aioss_resume._core.slots import Share, Slot, Slots
from aioss_resume._core.window import Window
from aioss_resume._io.address import AddressSigner
from aioss_resume._io.clock import Clock
from aioss_resume._io.credentials import KeyRing
from aioss_resume._io.deliver import Deliveries
from aioss_resume._io.fetch import RequestCounts, Source
from aioss_resume._io.origin import AddressOrigin, BucketOrigin, Origin
from aioss_resume._io.session import connection_limit, new_session
from aioss_resume._io.sign import Signer
from aioss_resume._io.storage import STORAGE, Storage
from aioss_resume._io.threads import Threads
from aioss_resume._transfer.reporting import Reporter
from aioss_resume.errors import ObjectName
from aioss_resume.events import EventHook
from aioss_resume.options import WRITE_SIZE, KiB, ReadOptions, Timeouts
from aioss_resume.urls import SignedURL

# anyio imports its backend when it is first used. That takes 20 ms, which must not block an event loop, and needs a
# descriptor, of which there may be none left in the middle of a transfer.
with suppress(ImportError):  # the name is not public; then the first Client imports it
    importlib.import_module("anyio._backends._asyncio")

_PACED_LEAST = 16 * KiB
_PACED_SECONDS = 0.05  # one span takes at most so many seconds of the whole rate at once
_RATE_LOOK_SECONDS = 0.25  # how soon a waiting span notices another rate
_LOOK_SECONDS = 0.05  # while transfers wait for slots, the running ones are looked at so often
_CLOSE_SECONDS = 5.0  # close() waits so long for connections to close
_MORE_TRANSFERS_THAN_SLOTS = 4  # so that slots are used while some transfers verify, sync or commit


class Client:
    """The resources that transfers share. They stay open as long as there is a lease.

    A transfer may outlive the Downloader that started it, if a caller of another one has joined it.

    Args:
        concurrency: Most requests in flight.
        session: The caller's session, which is never closed here; None for one of our own.
        storage: The file system. Tests of power cuts and failing calls pass their own.
        event_hooks: Called with the events of everything that runs here.
    """

    def __init__(
        self,
        *,
        concurrency: int,
        max_bytes_per_second: float | None,
        session: aiohttp.ClientSession | None,
        storage: Storage = STORAGE,
        event_hooks: Iterable[EventHook] = (),
    ) -> None:
        anyio.current_effective_deadline()  # imports anyio's backend, if it is not imported yet
        self.clock = Clock()
        self.threads = Threads()
        self.storage = storage
        self._deliveries = tuple(Deliveries(hook) for hook in event_hooks)
        self._id = self.clock.token()
        self._numbers = count()
        # Not more than the caller's pool allows: requests that wait in it would run into time limits.
        self.slots = Slots(min(concurrency, connection_limit(session) or concurrency))
        self._pacer = Pacer(max_bytes_per_second, self.clock.now())
        self.write_size = _write_size(max_bytes_per_second)
        # Each open transfer has descriptors of its own, for the lock, the part file and the checkpoint.
        self._open_transfers = Slots(self.slots.limit + _MORE_TRANSFERS_THAN_SLOTS)
        self._origins: weakref.WeakValueDictionary[int, BucketOrigin] = weakref.WeakValueDictionary()
        self._address_origins: weakref.WeakKeyDictionary[SignedURL, AddressOrigin] = weakref.WeakKeyDictionary()
        self._given_session = session
        self._own_session: aiohttp.ClientSession | None = None
        self._leases = 0
        self._look_timer: asyncio.TimerHandle | None = None

    @property
    def session(self) -> aiohttp.ClientSession:
        if self._given_session is not None:
            return self._given_session
        if self._own_session is None:
            self._own_session = new_session()
        return self._own_session

    def address_origin(self, url: SignedURL) -> AddressOrigin:
        """The shared state of requests for that address, which lives as long as the SignedURL."""
        origin = self._address_origins.get(url)
        if origin is None:
            signer = AddressSigner(url.url, url.refresh, self.threads, self.clock)
            origin = AddressOrigin(signer, url.url, is_own_session=self._given_session is None)
            self._address_origins[url] = origin
        return origin

    def origin(self, bucket: Any) -> BucketOrigin:  # Any: oss2 has no types
        """The shared state of requests for that bucket, which lives as long as it is used."""
        origin = self._origins.get(id(bucket))  # it refers to the bucket, so the id cannot belong to another object
        if origin is None:
            signer = Signer(bucket, KeyRing(lambda: bucket.auth, self.threads, self.clock), self.threads)
            origin = BucketOrigin(bucket, signer, is_own_session=self._given_session is None)
            self._origins[id(bucket)] = origin
        return origin

    def allow(self, concurrency: int) -> None:
        """Raise the limit of requests in flight to `concurrency`, if it is lower."""
        most = min(concurrency, connection_limit(self._given_session) or concurrency)
        if most > self.slots.limit:
            self.slots.raise_limit(most)
            self._open_transfers.raise_limit(most + _MORE_TRANSFERS_THAN_SLOTS)

    def source(
        self, origin: Origin, name: ObjectName, options: ReadOptions, timeouts: Timeouts, counts: RequestCounts
    ) -> Source:
        """Make the source of an object's bytes.

        Args:
            timeouts: The timeouts of the options or of the bucket.
        """
        assert options.headers is not None
        assert options.params is not None
        return Source(
            self.session,
            origin,
            name,
            version_id=options.version_id,
            headers=options.headers,
            params=options.params,
            timeouts=timeouts,
            clock=self.clock,
            counts=counts,
        )

    def window(self, options: ReadOptions) -> Window:
        """Make the window of a transfer, which says how many requests it may have in flight."""
        if options.concurrency == "auto":
            return Window(self.slots.limit, is_sought=True)
        return Window(options.concurrency, is_sought=False)

    def reporter(self, name: ObjectName) -> Reporter:
        """Make the reporter of a new download, stream or read of that object."""
        return Reporter(f"{self._id}{next(self._numbers):x}", name, self._deliveries)

    @property
    def is_leased(self) -> bool:
        return self._leases > 0

    def lease(self) -> None:
        """Take a lease. Everything stays open until each lease has been ended."""
        self._leases += 1

    async def end_lease(self) -> None:
        """End a lease. The last one closes the session and the threads."""
        self._leases -= 1
        if self._leases:
            return
        session, self._own_session = self._own_session, None
        if self._look_timer is not None:
            self._look_timer.cancel()
        try:
            if session is not None:
                with anyio.move_on_after(_CLOSE_SECONDS, shield=True):
                    await session.close()
        finally:  # also if this task is cancelled
            try:
                for deliveries in self._deliveries:
                    await deliveries.close()
            finally:
                await self.threads.close()

    def limit_rate(self, rate: float | None) -> None:
        """From now on, limit received bytes to `rate` per second; None for no limit."""
        self._pacer.change(rate, self.clock.now())
        self.write_size = _write_size(rate)

    async def keep_pace(self, length: int) -> None:
        """After receiving `length` bytes, wait as long as max_bytes_per_second requires."""
        waits = self._pacer.draw(length, self.clock.now())
        while waits > 0:
            wait = min(waits, _RATE_LOOK_SECONDS)
            await self.clock.sleep(wait)
            waits = min(waits - wait, self._pacer.wait(self.clock.now()))  # the rate may have been changed

    def share(self) -> Share:
        """Make the share of the slots for a new transfer."""
        return Share(self.clock.now())

    def request_slot(self, wake: Callable[[], None], share: Share) -> Slot:
        """Request a slot for one request. `wake` is called when it is granted. The caller must release it."""
        slot = self.slots.request(wake, share, self.clock.now())
        if not slot.granted and self._look_timer is None:
            self._look_timer = asyncio.get_running_loop().call_later(_LOOK_SECONDS, self._look_at_slots)
        return slot

    async def slot(self, share: Share) -> Slot:
        """Wait for a slot for one request. The caller must release it."""
        return await _granted(lambda wake: self.request_slot(wake, share))

    async def transfer_slot(self) -> Slot:
        """Wait for a slot for one open transfer, in turn. The caller must release it."""
        return await _granted(self._open_transfers.request)

    def _look_at_slots(self) -> None:
        """While transfers wait for slots, ask others to give way."""
        self._look_timer = None
        if self.slots.has_waiting:
            self._look_timer = asyncio.get_running_loop().call_later(_LOOK_SECONDS, self._look_at_slots)
            self.slots.look(self.clock.now())


async def _granted(request: Callable[[Callable[[], None]], Slot]) -> Slot:
    granted: asyncio.Future[None] | None = None  # usually not needed

    def wake() -> None:
        if granted is not None and not granted.done():
            granted.set_result(None)

    slot = request(wake)
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
    """Most bytes that one span receives before it writes them, and waits if that was too fast for the rate."""
    if rate is None:
        return WRITE_SIZE
    return int(min(max(_PACED_LEAST, rate * _PACED_SECONDS), WRITE_SIZE))
