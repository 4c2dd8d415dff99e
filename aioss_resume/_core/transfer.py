"""Which spans of an object wait, fly or are done; claiming, sharing out the tail, landing, joining.

Always: the waiting ranges, the flying spans, the unproven spans and the done spans are disjoint, and together they
are the whole object. No offset is in two of them, so no byte is written by two flights.
"""

from bisect import insort
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from operator import itemgetter
from statistics import median
from typing import Final, NamedTuple

from aioss_resume._core.crc64 import EMPTY, join
from aioss_resume._core.ranges import Range

KiB: Final = 1024
MiB: Final = 1024 * KiB

SHARE_LEAST: Final = 64 * KiB
"""No piece of a shared span is smaller: a request costs more than so few bytes."""
_SHARE_SECONDS_LEAST: Final = 0.1
# A span that ends within this is left alone: a shortened connection is closed, and with it what was under way.
_SPEED_SECONDS_LEAST: Final = 0.01  # before which a flight has no speed worth naming
_SPEED_WINDOW: Final = 1.0  # seconds that a flight's speed looks back, so that a stalled one soon counts as slow
_SPEED_UNKNOWN: Final = 1.0 * MiB  # of a newcomer, where all that flew so far was too quick to be measured
_SILENCE: Final = 1.0  # seconds of waiting for bytes after which a flight that had got going counts as stalled
_PATIENCE_LEAST: Final = 0.5
# Seconds before a flight that got next to nothing counts as slow. Without it, each newcomer was robbed while it waited
# for its first byte: at 0.25 s of latency and one slow connection, 300 requests a second and no end.

_JOINED_LEAST: Final = 64 * MiB
_JOINED_PARTS: Final = 32
# Spans are joined up to that length, or that part of the object. A span whose bytes are not on the disk is fetched
# again as a whole, so they should not be too long; and not too many, since all of them stand in each checkpoint.

_PART_LEAST: Final = 1 * MiB
_PART_MOST: Final = 64 * MiB
_PARTS_PER_SLOT: Final = 4


def choose_part_size(size: int, concurrency: int) -> int:
    """Bytes of one range request when the caller named none: a few requests a slot, in whole MiB from 1 to 64.

    Parts need not be small for the end's sake, since the tail is shared out, nor for memory, since a flight keeps a
    few MiB whatever its length, nor for a cut connection's sake, since a span goes on from its last written byte.
    """
    parts = concurrency * _PARTS_PER_SLOT
    return min(max(_PART_LEAST, -(-size // parts // MiB) * MiB), _PART_MOST)


class Done(NamedTuple):
    """A span whose bytes are written, and their CRC-64."""

    start: int
    stop: int
    crc64: int


@dataclass(slots=True, eq=False)
class Flight:
    """A flying span; start <= offset <= reach <= stop, always.

    Attributes:
        start, stop: The span; `stop` may come nearer while it flies, never further than `reach`.
        offset: All before it is written; `crc64` is the CRC-64 of [start, offset).
        reach: All before it has been received.
        interrupt: Wakes whoever waits for this flight's bytes, after its `stop` came down to its `reach`.
        patience: Seconds from its first attempt in which it is not called slow, unless it has got going.
    """

    start: int
    stop: int
    offset: int
    reach: int
    crc64: int = EMPTY
    interrupt: Callable[[], None] | None = None
    patience: float = 0.0
    _waits_since: float | None = None
    _began: float | None = None
    _since: float | None = None
    _window: int = 0
    _before: float | None = None

    @property
    def is_complete(self) -> bool:
        return self.offset == self.stop

    @property
    def remaining(self) -> int:
        """Bytes still to be received."""
        return self.stop - self.reach

    def begin(self, now: float) -> None:
        """An attempt begins at `now`: what was received and not written is lost."""
        self.reach = self.offset
        if self._since is None:
            self._since = self._began = now
        self.wait(now)

    def wait(self, now: float) -> None:
        """It has nothing to write and waits for bytes, from `now` on unless it did so already."""
        if self._waits_since is None:
            self._waits_since = now

    def receive(self, length: int, now: float) -> bool:
        """`length` more bytes were received, which may be more than are still wanted; False: no more are."""
        wanted = self.stop - self.reach
        length = min(length, wanted)
        self.reach += length
        self._waits_since = None
        self._window += length
        if self._since is not None and now - self._since >= _SPEED_WINDOW:
            self._before = self._window / (now - self._since)
            self._since, self._window = now, 0
        return length < wanted

    def write(self, offset: int, crc64: int) -> None:
        """All before `offset` is written; `crc64` is that of [start, offset)."""
        assert self.offset <= offset <= self.reach
        self.offset, self.crc64 = offset, crc64

    @property
    def has_got_going(self) -> bool:
        return self.reach - self.start >= SHARE_LEAST

    def is_young(self, now: float) -> bool:
        """Whether it is too early to call it slow."""
        return not self.has_got_going and (self._began is None or now - self._began <= self.patience)

    def speed(self, now: float) -> float | None:
        """Bytes a second of late; None when it is too early to say."""
        if self._since is None:
            return None
        if self.has_got_going and self._waits_since is not None and now - self._waits_since >= _SILENCE:
            return 0.0
        elapsed = now - self._since
        if self._before is not None:  # the last window still counts, as half of one
            return (self._window + self._before * _SPEED_WINDOW / 2) / (elapsed + _SPEED_WINDOW / 2)
        return self._window / elapsed if elapsed > _SPEED_SECONDS_LEAST else None


def share(remaining: int, speed: float, newcomer: float, latency: float) -> int:
    """How many bytes of a flight's tail a newcomer should take, so that both end together; 0: none is worth it.

    All of them when the flight is so slow that what it could keep would be less than SHARE_LEAST.

    Args:
        remaining: Bytes that the flight has still to receive.
        speed: The flight's, in bytes a second, 0 when it stalls.
        newcomer: The speed that a new connection may expect.
        latency: Seconds until a new connection has its first byte.
    """
    if newcomer <= 0:
        return 0
    alone = remaining / speed if speed > 0 else float("inf")  # seconds until the flight ends by itself
    instead = latency + remaining / newcomer  # seconds until the newcomer had it all
    if alone <= max(_SHARE_SECONDS_LEAST, 2 * latency):
        return 0
    keeps = round(speed * (remaining + newcomer * latency) / (speed + newcomer))
    if keeps >= SHARE_LEAST and remaining - keeps >= SHARE_LEAST:
        return remaining - keeps
    return remaining if alone > max(4 * instead, 0.5) else 0


class Transfer:
    """One object's spans, from the first claim to the last landing.

    Args:
        size: The object's, in bytes.
        part_size: Most bytes of a claim.
        kept: Spans of an earlier run, disjoint and within the object. They are unproven until they are proven.
        tail_is_shared: Whether flights may be shortened for newcomers.
    """

    def __init__(self, size: int, *, part_size: int, kept: Iterable[Done] = (), tail_is_shared: bool = True) -> None:
        self.size = size
        self._part_size = part_size
        self._tail_is_shared = tail_is_shared
        self._unproven = sorted(kept)
        self._waiting: list[Range] = []
        self._flying: list[Flight] = []
        self._done: list[Done] = []
        self._speeds: list[float] = []  # of the flights that landed last
        self._latency = 0.0
        edge = 0
        for span in self._unproven:
            if span.start > edge:
                self._waiting.append(Range(edge, span.start))
            edge = span.stop
        if edge < size:
            self._waiting.append(Range(edge, size))

    @property
    def is_complete(self) -> bool:
        return not (self._waiting or self._flying or self._unproven)

    @property
    def unproven(self) -> tuple[Done, ...]:
        return tuple(self._unproven)

    @property
    def kept_bytes(self) -> int:
        """Bytes of the spans that are unproven still."""
        return sum(span.stop - span.start for span in self._unproven)

    @property
    def consumed(self) -> int:
        """Bytes written, those of an earlier run included."""
        done = sum(span.stop - span.start for span in self._done)
        return done + self.kept_bytes + sum(flight.offset - flight.start for flight in self._flying)

    @property
    def received(self) -> int:
        """Bytes received and not lost again, those of an earlier run included."""
        return self.consumed + sum(flight.reach - flight.offset for flight in self._flying)

    @property
    def latency(self) -> float:
        """Seconds until a request is answered, of late; 0 while none was."""
        return self._latency

    @property
    def has_waiting(self) -> bool:
        return bool(self._waiting)

    @property
    def crc64(self) -> int:
        """CRC-64 of the whole object, once it is complete."""
        assert self.is_complete
        found = EMPTY
        for span in self._done:
            found = join(found, span.crc64, span.stop - span.start)
        return found

    def spans(self) -> list[Done]:
        """What is written, as a checkpoint keeps it: in order, neighbours joined."""
        flown = [Done(f.start, f.offset, f.crc64) for f in self._flying if f.offset > f.start]
        joined: list[Done] = []
        for span in sorted([*self._done, *self._unproven, *flown]):
            joined.append(_joined(joined.pop(), span) if joined and self._joins(joined[-1], span) else span)
        return joined

    def claim(self, most: int | None = None) -> Flight | None:
        """The first waiting bytes take off, `most` or a part of them; None when nothing waits."""
        if not self._waiting:
            return None
        taken = self._cut(most or self._part_size)
        rest = Range(taken.stop, self._waiting[0].stop)
        self._waiting[:1] = [rest] if rest.length else []
        return self._take_off(taken)

    def claim_share(self, now: float) -> Flight | None:
        """A new flight for part of the tail of the one that would end last; None when that is not worth it.

        The shortened flight's `interrupt` is called when it has nothing left to receive. What a flight left that never
        got going is not taken away once more: its attempts would begin anew each time, and never come to an end.
        """
        found = self._victim(now)
        if found is None:
            return None
        victim, taken = found
        start = victim.stop - taken
        flight = self._take_off(Range(start, victim.stop))
        if taken == victim.remaining and not victim.has_got_going:
            flight.patience = float("inf")
        victim.stop = start
        if victim.remaining == 0 and victim.interrupt:
            victim.interrupt()
        return flight

    def can_share(self, now: float) -> bool:
        return self._victim(now) is not None

    def note_latency(self, seconds: float) -> None:
        """A request was answered after so many seconds."""
        self._latency = seconds if not self._latency else (3 * self._latency + seconds) / 4

    def land(self, flight: Flight, now: float) -> None:
        """A flight ends, complete or not: what it wrote is done, the rest waits again."""
        speed = flight.speed(now)
        if speed:
            self._speeds = [*self._speeds[-8:], speed]
        self._flying.remove(flight)
        if flight.offset > flight.start:
            self._add_done(Done(flight.start, flight.offset, flight.crc64))
        if flight.offset < flight.stop:
            self._add_waiting(Range(flight.offset, flight.stop))

    def prove(self, span: Done, *, matches: bool) -> None:
        """A unproven span was read back: it is done if its CRC-64 holds, and waits again otherwise."""
        self._unproven.remove(span)
        if matches:
            self._add_done(span)
        else:
            self._add_waiting(Range(span.start, span.stop))

    def _cut(self, most: int) -> Range:
        first = self._waiting[0]
        return Range(first.start, min(first.stop, first.start + most))

    def _take_off(self, taken: Range) -> Flight:
        patience = max(_PATIENCE_LEAST, 4 * self._latency)
        flight = Flight(taken.start, taken.stop, taken.start, taken.start, patience=patience)
        self._flying.append(flight)
        return flight

    def _victim(self, now: float) -> tuple[Flight, int] | None:
        """The flight that would end last, and how much of its tail to take; None when that is not worth it."""
        if not self._tail_is_shared or self._waiting:
            return None
        speeds = [(flight, flight.speed(now)) for flight in self._flying if flight.remaining > 0]
        if not speeds:
            return None
        known = [*self._speeds, *(speed for _, speed in speeds if speed)]
        if not known and not any(speed == 0 for _, speed in speeds):
            return None
        usual = median(known) if known else _SPEED_UNKNOWN
        ends = []
        for flight, speed in speeds:
            assumed = usual if speed is None else max(speed, usual) if flight.is_young(now) else speed
            ends.append((flight.remaining / assumed if assumed else float("inf"), assumed, flight))
        _, speed, latest = max(ends, key=itemgetter(0))
        taken = share(latest.remaining, speed, usual, self._latency)
        return (latest, taken) if taken else None

    def _add_waiting(self, range_: Range) -> None:
        insort(self._waiting, range_)
        joined: list[Range] = []
        for range_ in self._waiting:
            touches = joined and joined[-1].stop == range_.start
            joined.append(Range(joined.pop().start, range_.stop) if touches else range_)
        self._waiting = joined

    def _add_done(self, span: Done) -> None:
        insort(self._done, span)
        at = self._done.index(span)
        if at + 1 < len(self._done) and self._joins(span, self._done[at + 1]):
            self._done[at : at + 2] = [_joined(*self._done[at : at + 2])]
        if at > 0 and self._joins(self._done[at - 1], self._done[at]):
            self._done[at - 1 : at + 1] = [_joined(*self._done[at - 1 : at + 1])]

    def _joins(self, first: Done, second: Done) -> bool:
        """Whether two spans become one: neighbours, and not so long that one lost page costs too much."""
        return first.stop == second.start and second.stop - first.start <= max(
            _JOINED_LEAST, self.size // _JOINED_PARTS
        )


def _joined(first: Done, second: Done) -> Done:
    return Done(first.start, second.stop, join(first.crc64, second.crc64, second.stop - second.start))
