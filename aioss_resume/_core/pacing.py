"""A token bucket: computes how long to wait to stay below a rate."""

from typing import Final

_BURST_SECONDS: Final = 0.25
# How far the bucket fills while nothing is drawn. A burst of more than a second's worth would surprise users.


class Pacer:
    """Limits bytes to `rate` per second: a draw that comes too early returns a wait.

    Args:
        rate: Bytes a second, above 0; None: no limit.
        now: Seconds of a clock that never goes back.
    """

    def __init__(self, rate: float | None, now: float) -> None:
        self._rate = rate
        self._free_at = now - _BURST_SECONDS  # when the rate will have caught up with everything that was drawn

    def draw(self, length: int, now: float) -> float:
        """Seconds to wait after drawing `length` bytes at `now`."""
        if self._rate is None:
            return 0.0
        self._free_at = max(self._free_at, now - _BURST_SECONDS) + length / self._rate
        return self.wait(now)

    def wait(self, now: float) -> float:
        """Seconds until everything drawn so far is covered by the rate."""
        return max(0.0, self._free_at - now)

    def change(self, rate: float | None, now: float) -> None:
        """Change the rate. It also applies to what was drawn and is not covered yet."""
        owed = max(0.0, self._free_at - now) * (self._rate or 0.0)  # bytes
        self._rate = rate
        self._free_at = now + (owed / rate if rate is not None else 0.0)
