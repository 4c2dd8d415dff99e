"""The only place that reads time, sleeps or draws a random number."""

import random
import secrets
import time
from datetime import UTC, datetime
from itertools import count

import anyio


class Clock:
    """The machine's clock and random numbers; tests pass others."""

    def __init__(self) -> None:
        self._tokens = count()
        self._of_this_clock = secrets.token_hex(8)

    def now(self) -> float:
        """Seconds of a monotonic clock."""
        return time.monotonic()

    def utc(self) -> datetime:
        """The time of day, as signatures need it."""
        return datetime.now(UTC)

    def chance(self) -> float:
        """Uniform in [0, 1)."""
        return random.random()  # noqa: S311  # it spreads retries, it keeps no secret

    def token(self) -> str:
        """24 unique hex digits."""
        return f"{self._of_this_clock}{next(self._tokens) % 2**32:08x}"

    async def sleep(self, seconds: float) -> None:
        await anyio.sleep(seconds)
