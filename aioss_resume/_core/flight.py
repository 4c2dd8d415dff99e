"""Flight: one span while it is fetched, and the speed at which its bytes arrive."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from aioss_resume._core.crc64 import EMPTY

KiB: Final = 1024

GOING: Final = 64 * KiB
"""Bytes after which a flight counts as under way: what it has sent so far says something of its speed."""

_SPEED_SECONDS_LEAST: Final = 0.01  # the speed of a younger flight is unknown
_SPEED_WINDOW: Final = 1.0  # seconds over which a speed is measured, so that a stalled flight soon counts as slow
_SILENCE: Final = 1.0  # seconds without a byte after which a flight that was under way counts as stalled


@dataclass(slots=True, eq=False)
class Flight:
    """A span that is being fetched. Invariant: start <= offset <= reach <= stop.

    Attributes:
        start, stop: The span. `stop` may be lowered while it flies, never below `reach`.
        offset: All before it is written; `crc64` is the CRC-64 of [start, offset).
        reach: All before it has been received.
        on_shortened: Called after `stop` was lowered: no byte from there on may be received any more.
        grace: Seconds from the first attempt in which it is not called slow, unless it is under way.
        given_up: How often these bytes were given up as too slow before.
        attempts: How many attempts have begun.
    """

    start: int
    stop: int
    offset: int
    reach: int
    crc64: int = EMPTY
    on_shortened: Callable[[], None] | None = None
    grace: float = 0.0
    given_up: int = 0
    began: float | None = None
    attempts: int = 0
    slow_since: float | None = None
    _silent_since: float | None = None
    _window_began: float | None = None
    _window_bytes: int = 0
    _last_window_speed: float | None = None

    @property
    def is_complete(self) -> bool:
        return self.offset == self.stop

    @property
    def remaining(self) -> int:
        """Bytes still to be received."""
        return self.stop - self.reach

    @property
    def is_under_way(self) -> bool:
        return self.reach - self.start >= GOING

    def begin(self, now: float) -> None:
        """An attempt begins at `now`. What was received and not written is lost."""
        self.reach = self.offset
        self.attempts += 1
        if self._window_began is None:
            self._window_began = self.began = now
        self.wait(now)

    def wait(self, now: float) -> None:
        """Note that it waits for bytes from `now` on, unless it did so already."""
        if self._silent_since is None:
            self._silent_since = now

    def receive(self, length: int, now: float) -> bool:
        """`length` more bytes came, which may be more than are still wanted. Returns whether more are wanted."""
        wanted = self.stop - self.reach
        length = min(length, wanted)
        self.reach += length
        self._silent_since = None
        self._window_bytes += length
        if self._window_began is not None and now - self._window_began >= _SPEED_WINDOW:
            self._last_window_speed = self._window_bytes / (now - self._window_began)
            self._window_began, self._window_bytes = now, 0
        return length < wanted

    def write(self, offset: int, crc64: int) -> None:
        """All before `offset` is written; `crc64` is that of [start, offset)."""
        assert self.offset <= offset <= self.reach
        self.offset, self.crc64 = offset, crc64

    def shorten(self, stop: int) -> None:
        """Leave the bytes from `stop` on to another flight."""
        assert self.reach <= stop <= self.stop
        self.stop = stop
        if self.on_shortened:
            self.on_shortened()

    def is_young(self, now: float) -> bool:
        """Whether it is too early to call it slow."""
        return not self.is_under_way and (self.began is None or now - self.began <= self.grace)

    def silent(self, now: float) -> float:
        """Seconds since it began to wait for bytes; 0 while it writes."""
        return 0.0 if self._silent_since is None else now - self._silent_since

    def speed(self, now: float) -> float | None:
        """Recent speed in bytes per second; None if it is not known yet."""
        if self._window_began is None:
            return None
        if self.is_under_way and self.silent(now) >= _SILENCE:
            return 0.0
        elapsed = now - self._window_began
        if self._last_window_speed is not None:  # the last window counts half
            before = self._last_window_speed * _SPEED_WINDOW / 2
            return (self._window_bytes + before) / (elapsed + _SPEED_WINDOW / 2)
        return self._window_bytes / elapsed if elapsed > _SPEED_SECONDS_LEAST else None

    def needs(self, now: float) -> float:
        """Seconds until it ends at its recent speed; infinite if it stalls or its speed is not known."""
        speed = self.speed(now)
        return self.remaining / speed if speed else float("inf")

    def mean_speed(self, now: float) -> float | None:
        """Mean speed in bytes per second since the first attempt began; None if it is not known yet."""
        if self.began is None or now - self.began <= _SPEED_SECONDS_LEAST:
            return None
        return (self.reach - self.start) / (now - self.began)
