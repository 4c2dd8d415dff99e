"""The faults of a `ChaosProxy`, and what its connections share."""

import asyncio
import contextlib
import threading
from dataclasses import dataclass
from typing import Literal

_STEPS_PER_SECOND = 20


@dataclass(slots=True)
class Cut:
    """What happens to a connection after so many bytes. Guarded by the network's lock."""

    how: Literal["reset", "close", "swallow"]
    after: int
    left: int | None
    """The number of further connections that it affects; None for all."""


@dataclass(frozen=True, slots=True)
class Toxics:
    """The faults of a network that are currently set."""

    latency: float = 0.0
    rate: float | None = None
    rate_in_sum: float | None = None
    slice: int | None = None
    pause: float = 0.0
    cut: Cut | None = None

    @property
    def largest_step(self) -> int:
        """Most bytes to pass on at once, so that the rate is even and slices have their size."""
        rates = [rate for rate in (self.rate, self.rate_in_sum) if rate is not None]
        steps = [max(1, int(rate / _STEPS_PER_SECOND)) for rate in rates]
        return min([*steps, self.slice or 1 << 16])


class Pacer:
    """Computes when bytes may be sent, at a rate that may change."""

    def __init__(self) -> None:
        self._free = 0.0

    def reserve(self, count: int, rate: float | None, now: float) -> float:
        """Reserve so many bytes. Returns the seconds from now until they may have been sent."""
        if rate is None:
            return 0.0
        self._free = max(self._free, now) + count / rate
        return self._free - now


class Network:
    """What the connections of one proxy share. The counts may be read from any thread."""

    def __init__(self) -> None:
        self.changed = threading.Condition()  # guards the counts and the cut
        self.toxics = Toxics()
        self.connections = 0
        self.open_connections = 0
        self.bytes_up = 0
        self.bytes_down = 0
        self._pacer = Pacer()
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Let waiting tasks check the toxics again. Only for the loop's thread, like all methods below."""
        self._woken.set()
        self._woken = asyncio.Event()

    def count(self, *, opened: int = 0, closed: int = 0, up: int = 0, down: int = 0) -> None:
        with self.changed:
            self.connections += opened
            self.open_connections += opened - closed
            self.bytes_up += up
            self.bytes_down += down
            self.changed.notify_all()

    def claim_cut(self, sent: int) -> Cut | None:
        """The cut for a connection that has received so many bytes, or None. A cut is counted."""
        with self.changed:
            cut = self.toxics.cut
            if cut is None or cut.left == 0 or sent < cut.after:
                return None
            if cut.left is not None:
                cut.left -= 1
            return cut

    def room(self, sent: int) -> int:
        """Most bytes that may be sent to a connection at once."""
        toxics = self.toxics
        step = toxics.largest_step
        if toxics.cut is not None and toxics.cut.left != 0:
            step = min(step, toxics.cut.after - sent)
        return max(0, step)

    async def pace(self, pacer: Pacer, count: int) -> None:
        """Wait as long as so many bytes take at the rate of the connection and of all together."""
        now = asyncio.get_running_loop().time()
        toxics = self.toxics
        own = pacer.reserve(count, toxics.rate, now)
        shared = self._pacer.reserve(count, toxics.rate_in_sum, now)
        if own or shared:
            await self.idle(max(own, shared))

    async def age(self, arrived: float) -> None:
        """Wait until bytes that arrived at that time have been delayed by the latency."""
        loop = asyncio.get_running_loop()
        while (left := arrived + self.toxics.latency - loop.time()) > 0:
            await self.idle(left)

    async def idle(self, seconds: float) -> None:
        """Wait for so many seconds, or until the toxics change."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._woken.wait(), seconds)
