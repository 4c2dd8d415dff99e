"""Slices of an object with Python's rules: what to request while the size is unknown, and the resulting range."""

from typing import Final, NamedTuple

from aioss_resume._core.ranges import Range, Suffix

_MOST: Final = 1 << 62
# The largest offset that is sent. No object is larger, and servers read offsets as 64-bit numbers.


class Slice(NamedTuple):
    """The bytes `whole[start:stop][:most]` of an object `whole`.

    Attributes:
        most: Never negative; None: no limit.
    """

    start: int | None
    stop: int | None
    most: int | None = None

    @property
    def is_empty(self) -> bool:
        """Whether the slice is empty for every size of the object."""
        if self.most == 0 or self.stop == 0:
            return True
        start = self.start or 0
        return self.stop is not None and (start < 0) == (self.stop < 0) and start >= self.stop

    def first(self, length: int) -> Range | Suffix:
        """The range to request first, at the start of the slice.

        Args:
            length: Most bytes of that range. A suffix cannot be limited.
        """
        assert not self.is_empty
        start = self.start or 0
        if start < 0:
            return Suffix(min(-start, _MOST))
        start = min(start, _MOST)
        if self.stop is not None and self.stop > 0:
            length = min(length, self.stop - start) if self.stop > start else 1
        if self.most is not None:
            length = min(length, self.most)
        return Range(start, start + length)

    def of(self, size: int) -> Range:
        """The range of the slice in an object of that size; empty if there are no such bytes."""
        start, stop, _ = slice(self.start, self.stop).indices(size)
        if self.most is not None:
            stop = min(stop, start + self.most)
        return Range(start, max(start, stop))
