"""Ordered sets of done spans and of waiting ranges. Neighbours are joined."""

from bisect import bisect
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from aioss_resume._core.crc64 import EMPTY, join

_JOINED_LEAST: Final = 64 << 20  # bytes
_JOINED_PARTS: Final = 32
# Spans are joined up to that length, or that fraction of the object. If one byte of a span is not on the disk, all of
# it is fetched again, so spans should not be too long. All of them are in each checkpoint, so there should be few.


class Done(NamedTuple):
    """A span whose bytes are written, with their CRC-64."""

    start: int
    stop: int
    crc64: int


class Waiting(NamedTuple):
    """A range that waits to be fetched, with the number of times it was given up as too slow."""

    start: int
    stop: int
    given_up: int = 0


class DoneSpans:
    """The spans that are written, in order. Neighbours are joined, and their CRC-64s with them.

    Args:
        size: The object's, in bytes.
    """

    def __init__(self, size: int) -> None:
        self._joined_most = max(_JOINED_LEAST, size // _JOINED_PARTS)
        self._spans: list[Done] = []

    def __iter__(self) -> Iterator[Done]:
        return iter(self._spans)

    @property
    def length(self) -> int:
        """Bytes of all of them."""
        return sum(span.stop - span.start for span in self._spans)

    @property
    def crc64(self) -> int:
        """The CRC-64 of all of them, one after the other."""
        found = EMPTY
        for span in self._spans:
            found = join(found, span.crc64, span.stop - span.start)
        return found

    def add(self, span: Done) -> None:
        at = bisect(self._spans, span)
        self._spans.insert(at, span)
        if at + 1 < len(self._spans) and self._joins(span, self._spans[at + 1]):
            self._spans[at : at + 2] = [_joined(*self._spans[at : at + 2])]
        if at > 0 and self._joins(self._spans[at - 1], self._spans[at]):
            self._spans[at - 1 : at + 1] = [_joined(*self._spans[at - 1 : at + 1])]

    def joined_with(self, others: Iterable[Done]) -> list[Done]:
        """These spans and others, in order, neighbours joined."""
        joined: list[Done] = []
        for span in sorted([*self._spans, *others]):
            joined.append(_joined(joined.pop(), span) if joined and self._joins(joined[-1], span) else span)
        return joined

    def _joins(self, first: Done, second: Done) -> bool:
        """Whether to join two spans: they are neighbours, and not so long that one lost page would cost too much."""
        return first.stop == second.start and second.stop - first.start <= self._joined_most


class WaitingSpans:
    """The ranges that wait to be fetched, in order. Neighbours that were given up as often are joined."""

    def __init__(self) -> None:
        self._ranges: list[Waiting] = []

    def __bool__(self) -> bool:
        return bool(self._ranges)

    def __iter__(self) -> Iterator[Waiting]:
        return iter(self._ranges)

    def add(self, added: Waiting) -> None:
        at = bisect(self._ranges, added)
        self._ranges.insert(at, added)
        if at + 1 < len(self._ranges) and _touch(added, self._ranges[at + 1]):
            self._ranges[at : at + 2] = [Waiting(added.start, self._ranges[at + 1].stop, added.given_up)]
        if at > 0 and _touch(self._ranges[at - 1], self._ranges[at]):
            before, after = self._ranges[at - 1 : at + 1]
            self._ranges[at - 1 : at + 1] = [Waiting(before.start, after.stop, before.given_up)]

    def has_any_below(self, horizon: int | None) -> bool:
        """Whether bytes below that offset wait; None: whether any do."""
        return bool(self._ranges) and (horizon is None or self._ranges[0].start < horizon)

    def length_below(self, horizon: int | None) -> int:
        """Bytes below that offset that wait; None: all."""
        if horizon is None:
            return sum(each.stop - each.start for each in self._ranges)
        return sum(max(0, min(each.stop, horizon) - each.start) for each in self._ranges)

    def take(self, most: int, horizon: int | None = None) -> Waiting | None:
        """Remove the first waiting bytes below `horizon`, at most `most`. Returns None if there are none."""
        if not self.has_any_below(horizon):
            return None
        start, stop, given_up = self._ranges[0]
        taken = Waiting(start, min(stop, start + most, stop if horizon is None else horizon), given_up)
        self._ranges[:1] = [Waiting(taken.stop, stop, given_up)] if taken.stop < stop else []
        return taken


def _touch(first: Waiting, second: Waiting) -> bool:
    return (first.stop, first.given_up) == (second.start, second.given_up)


def _joined(first: Done, second: Done) -> Done:
    return Done(first.start, second.stop, join(first.crc64, second.crc64, second.stop - second.start))
