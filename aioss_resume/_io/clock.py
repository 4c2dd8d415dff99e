"""The only place that reads time, sleeps or draws a random number."""

import random
import secrets
import time
from datetime import UTC, datetime
from itertools import count

import anyio


class Clock:
    """The machine's own clock and dice; a test may hand in another."""

    def __init__(self) -> None:
        self._tokens = count()
        self._of_this_clock = secrets.token_hex(8)

    def now(self) -> float:
        """Seconds of a clock that never goes back; only differences mean anything."""
        return time.monotonic()

    def utc(self) -> datetime:
        """The time of day, as signatures need it."""
        return datetime.now(UTC)

    def chance(self) -> float:
        """Uniform in [0, 1)."""
        return random.random()  # noqa: S311  # it spreads retries, it keeps no secret

    def token(self) -> str:
        """24 hex digits that nobody else has. The system is asked for chance once, not each time."""
        return f"{self._of_this_clock}{next(self._tokens) % 2**32:08x}"

    async def sleep(self, seconds: float) -> None:
        await anyio.sleep(seconds)
