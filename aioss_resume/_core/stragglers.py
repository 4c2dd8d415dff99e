"""Stragglers: which flights are too slow, and whether to share their tails or give them up."""

from collections.abc import Sequence
from operator import itemgetter
from statistics import median
from typing import Final

from aioss_resume._core.flight import GOING, Flight

MiB: Final = 1024 * 1024

SHARE_LEAST: Final = GOING
"""No piece of a shared span is smaller: a request costs more than so few bytes."""

_SHARE_SECONDS_LEAST: Final = 0.1
# A span that ends within this is not shared: a shortened connection is closed, and the bytes in transit are lost.
_TAKEN_SECONDS_LEAST: Final = 0.25  # a tail too small to be cut is not taken over if it ends within this
_SPEED_UNKNOWN: Final = 1.0 * MiB  # of a new connection, if all earlier flights were too short to be measured

_FAR_SLOWER: Final = 4.0  # times slower than what a new connection may expect
_SLOW_SECONDS: Final = 0.7  # for which a flight must have been so slow; bursts and pauses are shorter
_GIVEN_UP_MOST: Final = 3  # times for the same bytes; then the connections are not the cause
_RECENT: Final = 12  # flights that began last, from which the speed of a new connection is estimated


def share(remaining: int, speed: float, newcomer: float, latency: float, silent: float = 0.0) -> int:
    """How many bytes of a flight's tail a new flight should take, so that both end together; 0 for none.

    Returns all of them if the flight is far slower than the new one, or would keep less than SHARE_LEAST.

    Args:
        remaining: Bytes that the flight has still to receive.
        speed: The flight's, in bytes a second, 0 when it stalls.
        newcomer: The speed that a new connection may expect.
        latency: Seconds until a new connection has its first byte.
        silent: Seconds since the flight received its last byte. It is assumed to need as long again, at least.
    """
    if newcomer <= 0:
        return 0
    alone = max(remaining / speed, silent) if speed > 0 else float("inf")  # seconds until the flight ends by itself
    instead = latency + remaining / newcomer  # seconds until a new flight would have all of it
    if alone <= max(_SHARE_SECONDS_LEAST, 2 * latency):
        return 0
    # A far slower flight keeps nothing: its speed is rarely steady, and it may send in bursts.
    if speed * _FAR_SLOWER < newcomer and remaining >= SHARE_LEAST and alone > 2 * instead:
        return remaining
    keeps = round(speed * (remaining + newcomer * latency) / (speed + newcomer))
    if keeps >= SHARE_LEAST and remaining - keeps >= SHARE_LEAST:
        return remaining - keeps
    return remaining if alone > max(4 * instead, _TAKEN_SECONDS_LEAST) else 0


def latest_to_end(
    flying: Sequence[Flight], landed_speeds: Sequence[float], latency: float, now: float
) -> tuple[Flight, int] | None:
    """The flight that would end last, and how many bytes of its tail to take. None if it is not worth it.

    Args:
        landed_speeds: Bytes a second of the flights that landed last.
        latency: Seconds until a new connection has its first byte.
    """
    speeds = [(flight, flight.speed(now)) for flight in flying if flight.remaining > 0]
    if not speeds:
        return None
    known = [*landed_speeds, *(speed for _, speed in speeds if speed)]
    if not known and not any(speed == 0 for _, speed in speeds):
        return None
    usual = median(known) if known else _SPEED_UNKNOWN
    ends = []
    for flight, speed in speeds:
        is_young = flight.is_young(now)
        assumed = usual if speed is None else max(speed, usual) if is_young else speed
        silent = 0.0 if is_young else flight.silent(now)
        ends.append((max(flight.remaining / assumed, silent) if assumed else float("inf"), assumed, silent, flight))
    _, speed, silent, latest = max(ends, key=itemgetter(0))
    taken = share(latest.remaining, speed, usual, latency, silent)
    return (latest, taken) if taken else None


class Stragglers:
    """Finds flights that should be given up while other bytes wait for a slot.

    The number of flights that it finds is bounded: a tenth of the flights that began, and as many more as flew at once.
    """

    def __init__(self) -> None:
        self._began = 0
        self._flew_at_once = 0
        self._found = 0
        self._recent: list[Flight] = []
        self._landed: dict[Flight, float] = {}  # the mean speeds of recent flights that have ended

    def begin(self, flight: Flight, flying: int) -> None:
        """Note that a flight begins, and how many there are with it."""
        self._began += 1
        self._flew_at_once = max(self._flew_at_once, flying)
        self._recent.append(flight)
        if len(self._recent) > _RECENT + self._flew_at_once:
            self._landed.pop(self._recent.pop(0), None)

    def land(self, flight: Flight, now: float) -> None:
        """Note that a flight has ended."""
        speed = flight.mean_speed(now)
        if flight in self._recent and speed is not None:
            self._landed[flight] = speed

    @property
    def may_find_more(self) -> bool:
        return self._found < self._began // 10 + self._flew_at_once

    def find(self, flying: Sequence[Flight], latency: float, now: float) -> Flight | None:
        """Find a flight that is far slower than a new connection would probably be.

        Must be called repeatedly: a flight is found if it was slow at every call for _SLOW_SECONDS.
        """
        expected = self._expected(latency, now)
        found: tuple[float, Flight] | None = None
        for flight in flying:
            speed = self._slow_speed(flight, expected, latency, now)
            if speed is None:
                flight.slow_since = None
                continue
            if flight.slow_since is None:
                flight.slow_since = now
            # Its mean speed counts, too: the first bytes of a slow connection may arrive in one burst.
            since = flight.slow_since if self._was_ever_fast(flight, expected, now) else flight.began
            is_long = since is not None and now - since >= max(_SLOW_SECONDS, 2 * latency)
            if is_long and flight.given_up < _GIVEN_UP_MOST and (found is None or speed < found[0]):
                found = speed, flight
        if found is None or not self.may_find_more:
            return None
        self._found += 1
        return found[1]

    def _expected(self, latency: float, now: float) -> float:
        """The expected speed of a new connection in bytes per second: the median of the latest flights.

        Running flights count with their current speed: if all of them pause, a new one would pause too.
        """
        speeds = []
        for flight in reversed(self._recent):
            if flight in self._landed:
                speeds.append(self._landed[flight])
            elif flight.began is not None and now - flight.began >= max(_SLOW_SECONDS / 2, 2 * latency):
                speeds.append(min(flight.mean_speed(now) or 0.0, flight.speed(now) or 0.0))
            if len(speeds) == _RECENT:
                break
        return median(speeds) if len(speeds) > 1 else 0.0

    def _slow_speed(self, flight: Flight, expected: float, latency: float, now: float) -> float | None:
        """The flight's speed, if it is far below the expected one and a new connection would end sooner."""
        speed = flight.speed(now)
        # Once an attempt has failed, the retry policy decides. A new flight would begin its attempts again.
        if flight.attempts > 1 or speed is None or flight.is_young(now) or speed * _FAR_SLOWER >= expected:
            return None
        instead = latency + flight.remaining / expected
        return speed if flight.remaining > 2 * instead * speed else None

    def _was_ever_fast(self, flight: Flight, expected: float, now: float) -> bool:
        mean = flight.mean_speed(now)
        return mean is None or mean * _FAR_SLOWER >= expected
