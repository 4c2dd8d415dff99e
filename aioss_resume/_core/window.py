"""Window: how many requests to keep in flight.

A fixed number is kept unless OSS throttles. With "auto", the number is doubled as long as the speed grows by a fair
part of what it could grow. Then the last number that helped is used, and a larger one is tried again now and then. When
OSS throttles or fails, the number is halved at once and grows back in small steps: a server in trouble gets fewer
requests.
"""

from typing import Final

AUTO_FIRST: Final = 4
"""Where "auto" begins: oss2's number of threads, which no server minds."""

_QUICK_SECONDS: Final = 0.09  # a look each 0.1 s may come a little early
_THOROUGH_SECONDS: Final = 0.4
_CLEAR_SHARE: Final = 0.7
# The part of a possible gain at which measuring ends early. Measuring costs time at the beginning: growing from 4 to 32
# by measurements of 0.3 s, a download of 3 s uses 0.7 of the link; by measurements of 0.1 s it uses 0.9.
_FAIR_SHARE: Final = 0.4
# The part of a possible gain that is worth it after a long measurement. Less is not worth memory and others' bandwidth.
_GETTING_GOING: Final = 1.3
# A connection's speed rises during its first round trips, so an early measurement is too low.
_HOLD_SECONDS: Final = 5.0
_FIRST_HOLD_SECONDS: Final = 0.5
# Seconds until the next trial after one that gained little; doubled each time. The measurement may have been wrong, or
# the link may have changed.
_IDLE_SECONDS: Final = 0.15  # a slot is free for a moment between two flights; that is not idleness
_HALVING_PAUSE: Final = 1.0  # many refusals at the same time count as one
_RECOVERY_SECONDS: Final = 1.0  # for each step back up


class Window:
    """The number of requests that may be in flight. Invariant: 1 <= limit <= most.

    Args:
        most: The upper limit.
        is_sought: Whether to start with AUTO_FIRST and search for the best number; otherwise `most` is used.
    """

    def __init__(self, most: int, *, is_sought: bool) -> None:
        self.limit = min(AUTO_FIRST, most) if is_sought else most
        self._most = most
        self._is_sought = is_sought
        self._before = 0  # the limit before the last growth; 0: its speed was not measured yet
        self._speed_before = 0.0
        self._mark: tuple[float, int] | None = None  # the time and the received bytes at which the measurement began
        self._is_quick = True  # until a trial fails, measurements are short
        self._busy_at = float("-inf")
        self._hold_until = float("-inf")
        self._hold = _FIRST_HOLD_SECONDS
        self._trouble_at: float | None = None
        self._halved_at = float("-inf")
        self._goal = most  # the limit to which it recovers after refusals
        self._was_throttled = False

    def tick(self, now: float, received: int, *, is_busy: bool, latency: float = 0.0) -> None:
        """Adapt the number to what was received.

        Args:
            now: Seconds of a clock that never goes back.
            received: Bytes received so far.
            is_busy: Whether `limit` requests are flying: the speed of fewer says nothing of the number.
            latency: Seconds until a request is answered.
        """
        if is_busy:
            self._busy_at = now
        if self._comes_back(now) or not self._is_sought:
            return
        if now < self._hold_until or now - self._busy_at > _IDLE_SECONDS:
            self._mark, self._before = None, 0
        elif self._mark is None:
            if received:
                self._mark = now, received
        else:
            elapsed = now - self._mark[0]
            least = _QUICK_SECONDS if self._is_quick else _THOROUGH_SECONDS
            if elapsed >= max(least, 1.5 * latency) and received > self._mark[1]:
                self._judge(now, elapsed, received, latency=latency)

    @property
    def needs_ticks(self) -> bool:
        return self._is_sought or self._trouble_at is not None

    def trouble(self, now: float) -> None:
        """OSS throttled a request, or failed."""
        self._trouble_at = now
        self._mark, self._before, self._is_quick = None, 0, False
        if now - self._halved_at >= _HALVING_PAUSE:
            if self._is_sought and not self._goes_on_falling(now):
                self._goal = max(1, self.limit * 3 // 4)
            self.limit = max(1, self.limit // 2)
            self._halved_at, self._was_throttled = now, True

    def narrow(self, most: int) -> None:
        """Limit the number for good, because descriptors or memory ran out."""
        self._most = max(1, min(self._most, most))
        self._goal, self.limit = min(self._goal, self._most), min(self.limit, self._most)
        self._mark, self._before = None, 0

    def _goes_on_falling(self, now: float) -> bool:
        """Whether the number was halved just now: requests of the larger number are still being refused."""
        return now - self._halved_at < 2 * _HALVING_PAUSE

    def _comes_back(self, now: float) -> bool:
        """Whether the number is still recovering after trouble."""
        if self._trouble_at is None:
            return False
        if now - self._trouble_at >= _RECOVERY_SECONDS:
            if self.limit >= self._goal:
                self._trouble_at, self._hold_until = None, now + _HOLD_SECONDS
                return False
            self._trouble_at = now
            self.limit = min(self.limit + max(1, self.limit // 8), self._goal)
        return True

    def _judge(self, now: float, elapsed: float, received: int, *, latency: float) -> None:
        """Decide after a measurement: grow, measure longer, or return to the last number that paid off."""
        assert self._mark is not None
        brought = received - self._mark[1]
        if self._before in (0, self.limit):  # the speed of this number is measured
            speed = brought / elapsed
            if self._before and speed > self._speed_before * _GETTING_GOING:
                self._measure_again(now, received, speed)
            else:
                self._grow(now, received, speed)
            return
        # The new requests received nothing until they were answered.
        gain = (brought - self._speed_before * elapsed) / (elapsed - latency)
        share = gain / (self._speed_before * (self.limit / self._before - 1))
        speed = self._speed_before + gain
        is_thorough = elapsed >= max(_THOROUGH_SECONDS, 4 * latency)
        if share > _GETTING_GOING and self._is_quick:
            self._measure_again(now, received, speed)
        elif share >= (_FAIR_SHARE if is_thorough else _CLEAR_SHARE):
            self._hold = _FIRST_HOLD_SECONDS
            self._grow(now, received, speed)
        elif is_thorough:
            self._take_back(now, share)

    def _grow(self, now: float, received: int, speed: float) -> None:
        self._before, self._speed_before, self._mark = self.limit, speed, (now, received)
        step = max(1, self.limit // 8) if self._was_throttled else self.limit
        self.limit = min(self.limit + step, self._most)
        if self.limit == self._before:  # the limit is reached
            self._hold_until = now + _HOLD_SECONDS

    def _measure_again(self, now: float, received: int, speed: float) -> None:
        self._before, self._speed_before, self._mark = self.limit, speed, (now, received)

    def _take_back(self, now: float, share: float) -> None:
        """Return to the number beyond which the speed did not grow."""
        self.limit = self._before + int(max(0.0, share) * (self.limit - self._before))
        self._is_quick = False
        self._hold_until = now + self._hold
        self._hold = min(2 * self._hold, _HOLD_SECONDS)
