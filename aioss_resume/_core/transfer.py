"""Transfer: the state of each span of an object: waiting, flying or done.

Invariant: the waiting ranges, the flights, the unproven spans and the done spans are disjoint, and together they cover
all requested bytes of the object. So no byte is written by two flights.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from aioss_resume._core.flight import Flight
from aioss_resume._core.ranges import Range
from aioss_resume._core.spans import Done, DoneSpans, Waiting, WaitingSpans
from aioss_resume._core.stragglers import Stragglers, latest_to_end

KiB: Final = 1024
MiB: Final = 1024 * KiB

_GRACE_LEAST: Final = 0.5
# Seconds before a flight that has received almost nothing counts as slow. Without it, each new flight lost its span
# while it waited for its first byte: with a latency of 0.25 s and one slow connection, 300 requests a second.

_PART_LEAST: Final = 1 * MiB
_PART_MOST: Final = 64 * MiB
_PARTS_PER_SLOT: Final = 4


def choose_part_size(size: int, concurrency: int, parts_per_slot: int = _PARTS_PER_SLOT) -> int:
    """Choose the part size if the caller did not: a few requests for each slot, in whole MiB from 1 to 64.

    Small parts would bring nothing: the tail is shared out, a flight keeps only a few MiB in memory whatever its
    length, and after a lost connection a span continues at its last written byte.
    """
    parts = concurrency * parts_per_slot
    return min(max(_PART_LEAST, -(-size // parts // MiB) * MiB), _PART_MOST)


class Transfer:
    """One object's spans, from the first claim to the last landing.

    Args:
        size: The object's, in bytes.
        part_size: Most bytes of a claim.
        wanted: The requested ranges, sorted and disjoint; None for the whole object.
        kept: Spans from an earlier run, disjoint and within the object. They are unproven until prove() is called.
        tail_is_shared: Whether flights may be shortened or given up so that others can take over.

    Attributes:
        horizon: Only bytes before this offset are claimed; None for no limit.
        latency: Recent seconds from a request to its response; 0 before the first one.
    """

    def __init__(
        self,
        size: int,
        *,
        part_size: int,
        wanted: Sequence[Range] | None = None,
        kept: Iterable[Done] = (),
        tail_is_shared: bool = True,
    ) -> None:
        self.size = size
        self.horizon: int | None = None
        self._part_size = part_size
        self._tail_is_shared = tail_is_shared
        self._unproven = sorted(kept)
        self._waiting = WaitingSpans()
        self._flying: list[Flight] = []
        self._done = DoneSpans(size)
        self._speeds: list[float] = []  # those of the flights that ended last
        self.latency = 0.0
        self._stragglers = Stragglers()
        for range_ in [Range(0, size)] if wanted is None else wanted:
            edge = range_.start
            for span in self._unproven:
                if not range_.start <= span.start < range_.stop:
                    continue
                if span.start > edge:
                    self._waiting.add(Waiting(edge, span.start))
                edge = span.stop
            if edge < range_.stop:
                self._waiting.add(Waiting(edge, range_.stop))

    @property
    def is_complete(self) -> bool:
        return not (self._waiting or self._flying or self._unproven)

    def is_all_in(self, flight: Flight) -> bool:
        """Whether that flight contains everything that is not done yet."""
        return self._flying == [flight] and not (self._waiting or self._unproven)

    @property
    def unproven(self) -> tuple[Done, ...]:
        return tuple(self._unproven)

    @property
    def consumed(self) -> int:
        """Bytes written, including those of an earlier run."""
        unproven = sum(span.stop - span.start for span in self._unproven)
        return self._done.length + unproven + sum(flight.offset - flight.start for flight in self._flying)

    @property
    def received(self) -> int:
        """Bytes received and not lost again, including those of an earlier run."""
        return self.consumed + sum(flight.reach - flight.offset for flight in self._flying)

    @property
    def has_waiting(self) -> bool:
        """Whether there is something to claim."""
        return self._waiting.has_any_below(self.horizon)

    @property
    def crc64(self) -> int:
        """CRC-64 of all requested bytes, once the transfer is complete."""
        assert self.is_complete
        return self._done.crc64

    def spans(self) -> list[Done]:
        """The written spans for a checkpoint: in order, neighbours joined."""
        flown = [Done(f.start, f.offset, f.crc64) for f in self._flying if f.offset > f.start]
        return self._done.joined_with([*self._unproven, *flown])

    def claim(self, most: int | None = None) -> Flight | None:
        """Start a flight for the first waiting bytes: at most `most` or one part. None if none wait below `horizon`."""
        taken = self._waiting.take(most or self._part_size, self.horizon)
        return None if taken is None else self._take_off(Range(taken.start, taken.stop), taken.given_up)

    def claim_share(self, now: float) -> Flight | None:
        """Start a flight for part of the tail of the flight that would end last. None if it is not worth it.

        If a flight is taken over before it received anything, the new flight is not taken over again: otherwise its
        attempts would be counted from zero each time, and never end.
        """
        found = self._latest_to_end(now)
        if found is None:
            return None
        latest, taken = found
        start = latest.stop - taken
        flight = self._take_off(Range(start, latest.stop), latest.given_up)
        if taken == latest.remaining and not latest.is_under_way:
            flight.grace = float("inf")
        latest.shorten(start)
        return flight

    def use_one_request(self) -> None:
        """Use one request for everything from now on, because the server ignores ranges."""
        self._part_size, self._tail_is_shared = self.size, False

    @property
    def needed(self) -> int:
        """Bytes that may be fetched now and were not received yet, in flights or waiting below the horizon."""
        return self._waiting.length_below(self.horizon) + sum(flight.remaining for flight in self._flying)

    def give_way(self, now: float, seconds: float) -> bool:
        """End one flight early to free its slot; the bytes that it has not received wait again.

        Returns whether there was one that needs more than so many seconds to end by itself.
        """
        if not self._tail_is_shared:
            return False
        long = [flight for flight in self._flying if flight.is_under_way and flight.needs(now) > seconds]
        if not long:
            return False
        flight = max(long, key=lambda flight: flight.remaining)
        self._cut_off(flight, flight.given_up)
        return True

    @property
    def may_have_stragglers(self) -> bool:
        """Whether give_up_straggler() should be called now and then."""
        return self._tail_is_shared and bool(self._waiting) and self._stragglers.may_find_more

    def give_up_straggler(self, now: float) -> bool:
        """Give up a flight that is far slower than a new connection would be, while other bytes wait.

        What it has not received waits again. Returns whether there was one.
        """
        if not self.may_have_stragglers:
            return False
        flight = self._stragglers.find(self._flying, self.latency, now)
        if flight is None:
            return False
        self._cut_off(flight, flight.given_up + 1)
        return True

    def can_share(self, now: float) -> bool:
        return self._latest_to_end(now) is not None

    def note_latency(self, seconds: float) -> None:
        """Note the seconds from a request to its response."""
        self.latency = seconds if not self.latency else (3 * self.latency + seconds) / 4

    def land(self, flight: Flight, now: float) -> None:
        """End a flight, complete or not: the bytes that it wrote are done, the rest waits again."""
        speed = flight.speed(now)
        if speed:
            self._speeds = [*self._speeds[-8:], speed]
        self._stragglers.land(flight, now)
        self._flying.remove(flight)
        if flight.offset > flight.start:
            self._done.add(Done(flight.start, flight.offset, flight.crc64))
        if flight.offset < flight.stop:
            self._waiting.add(Waiting(flight.offset, flight.stop, flight.given_up))

    def prove(self, span: Done, *, matches: bool) -> None:
        """An unproven span was read back: it is done if its CRC-64 matches, and waits again otherwise."""
        self._unproven.remove(span)
        if matches:
            self._done.add(span)
        else:
            self._waiting.add(Waiting(span.start, span.stop))

    def _cut_off(self, flight: Flight, given_up: int) -> None:
        """Shorten a flight to what it has received; the rest waits again."""
        rest = Waiting(flight.reach, flight.stop, given_up)
        flight.shorten(flight.reach)
        self._waiting.add(rest)

    def _take_off(self, taken: Range, given_up: int) -> Flight:
        grace = max(_GRACE_LEAST, 4 * self.latency)
        flight = Flight(taken.start, taken.stop, taken.start, taken.start, grace=grace, given_up=given_up)
        self._flying.append(flight)
        self._stragglers.begin(flight, len(self._flying))
        return flight

    def _latest_to_end(self, now: float) -> tuple[Flight, int] | None:
        if not self._tail_is_shared or self._waiting:
            return None
        return latest_to_end(self._flying, self._speeds, self.latency, now)
