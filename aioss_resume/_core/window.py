"""How many requests to keep in flight.

A fixed number is kept unless OSS throttles. With "auto" the number is sought: doubled as long as that brings a fair
share of what it could bring, taken back when it does not, tried again now and then. Whenever OSS throttles or fails,
the number is halved at once and comes back by small steps: a server in trouble gets fewer requests, not more.
"""

from typing import Final

AUTO_FIRST: Final = 4
"""Where "auto" begins: oss2's number of threads, which no server minds."""

_MEASURE_SECONDS: Final = 0.2
_SETTLE_SECONDS: Final = 0.1
# A new connection needs a round trip or two until it runs: what comes meanwhile says nothing of the new number.
_FAIR_SHARE: Final = 0.3
# Of the growth of the number that must show up as growth of the speed. Doubling that brings less than 30 % more costs
# memory and other people's bandwidth for little.
_HOLD_SECONDS: Final = 5.0  # after a growth that brought nothing: then the link may have changed
_HALVING_PAUSE: Final = 1.0  # a storm of refusals at the same time is one sign of trouble, not many
_RECOVERY_SECONDS: Final = 1.0  # for each step back up


class Window:
    """The number of requests that may fly; 1 <= limit <= most, always.

    Args:
        most: It never grows beyond.
        is_sought: Begin with AUTO_FIRST and look for the best number; else keep to `most` as far as OSS bears it.
    """

    def __init__(self, most: int, *, is_sought: bool) -> None:
        self.limit = min(AUTO_FIRST, most) if is_sought else most
        self._most = most
        self._is_sought = is_sought
        self._before = 0  # the number before the last growth, and the speed that it had
        self._speed_before = 0.0
        self._mark: tuple[float, int] | None = None  # since when, and from how many bytes on, is being measured
        self._hold_until = 0.0
        self._trouble_at: float | None = None

    def tick(self, now: float, received: int, *, is_busy: bool, latency: float = 0.0) -> None:
        """Time has passed.

        Args:
            now: Seconds of a clock that never goes back.
            received: Bytes received so far.
            is_busy: Whether `limit` requests are flying: the speed of fewer says nothing of the number.
            latency: Seconds until a request is answered.
        """
        if self._recovers(now) or not self._is_sought:
            return
        if not is_busy or now < self._hold_until:
            self._mark = None
            return
        if self._mark is None:
            self._mark = now + max(_SETTLE_SECONDS, 2 * latency), -1
            return
        since, from_byte = self._mark
        if now < since:
            return
        if from_byte < 0:
            self._mark = now, received
        elif now - since >= max(_MEASURE_SECONDS, 2 * latency):
            self._judge(now, (received - from_byte) / (now - since))

    @property
    def needs_ticks(self) -> bool:
        return self._is_sought or self._trouble_at is not None

    def trouble(self, now: float) -> None:
        """OSS throttled a request, or failed."""
        if self._trouble_at is None or now - self._trouble_at >= _HALVING_PAUSE:
            self.limit = max(1, self.limit // 2)
            self._mark, self._before = None, 0
        self._trouble_at = now

    def _recovers(self, now: float) -> bool:
        """Whether the number is still coming back after trouble."""
        if self._trouble_at is None:
            return False
        if now - self._trouble_at >= _RECOVERY_SECONDS:
            if self.limit >= self._most or self._is_sought:
                self._trouble_at = None
                self._hold_until = now + _HOLD_SECONDS
                return False
            self._trouble_at = now
            self.limit += max(1, self.limit // 8)
            self.limit = min(self.limit, self._most)
        return True

    def _judge(self, now: float, speed: float) -> None:
        """The speed of this number was measured: grow, or go back to the number before."""
        self._mark = None
        if self._before and speed < self._speed_before * (1 + _FAIR_SHARE * (self.limit / self._before - 1)):
            self.limit, self._before = self._before, 0
            self._hold_until = now + _HOLD_SECONDS
        elif self.limit < self._most:
            self._before, self._speed_before = self.limit, speed
            self.limit = min(self._most, self.limit * 2)
