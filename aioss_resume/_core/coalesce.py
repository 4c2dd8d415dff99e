"""Many ranges of one object as few requests: overlapping ranges and near neighbours are merged."""

from bisect import bisect
from collections.abc import Iterable, Sequence

from aioss_resume._core.ranges import Range


def merged(ranges: Iterable[Range], max_gap: int) -> list[Range]:
    """Sort the ranges, drop empty ones, and merge those that overlap or lie at most `max_gap` bytes apart."""
    found: list[Range] = []
    for range_ in sorted(range_ for range_ in ranges if range_.length > 0):
        if found and range_.start - found[-1].stop <= max_gap:
            found[-1] = Range(found[-1].start, max(found[-1].stop, range_.stop))
        else:
            found.append(range_)
    return found


def overlapping(ranges: Sequence[Range], wanted: Range) -> list[int]:
    """The indexes of the ranges that overlap `wanted`. The ranges must be sorted and disjoint."""
    first = bisect(ranges, wanted.start, key=lambda range_: range_.stop)
    stop = bisect(ranges, wanted.stop - 1, key=lambda range_: range_.start)
    return list(range(first, stop))
