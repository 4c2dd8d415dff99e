"""Half-open ranges of bytes. Only this module knows that HTTP includes the last byte."""

import re
from typing import Final, NamedTuple

_DIGITS_MOST: Final = 30  # of a number in a request's header; more are no offset
_RANGE_SPEC = re.compile(r"(\d*)\s*-\s*(\d*)", re.ASCII)
_CONTENT_RANGE = re.compile(r"bytes (\d{1,19})-(\d{1,19})/(\d{1,19})", re.ASCII | re.IGNORECASE)


class Range(NamedTuple):
    """The bytes from `start` up to, not including, `stop`; both are offsets from the start of the object."""

    start: int
    stop: int

    @property
    def length(self) -> int:
        return self.stop - self.start

    def header(self) -> str:
        """The value of a request's `Range` header. The range must not be empty: HTTP has no form for that."""
        assert 0 <= self.start < self.stop
        return f"bytes={self.start}-{self.stop - 1}"

    def within(self, size: int) -> "Range":
        """The range that a server sends for an object of that size. It must begin before the object's end."""
        return Range(self.start, min(self.stop, size))

    def __str__(self) -> str:
        return f"bytes [{self.start}, {self.stop})"


class Suffix(NamedTuple):
    """The last bytes of an object whose size need not be known: `length` of them, or all if there are fewer."""

    length: int

    def header(self) -> str:
        """The value of a request's `Range` header."""
        assert self.length > 0
        return f"bytes=-{self.length}"

    def within(self, size: int) -> Range:
        """The range that a server sends for an object of that size."""
        return Range(max(0, size - self.length), size)

    def __str__(self) -> str:
        return f"the last {self.length} bytes"


class ContentRange(NamedTuple):
    """The content of a 206's `Content-Range` header: a range and the size of the whole object."""

    range: Range
    size: int

    def header(self) -> str:
        """The value of a response's `Content-Range` header."""
        return f"bytes {self.range.start}-{self.range.stop - 1}/{self.size}"


def parse_content_range(header: str) -> ContentRange | None:
    """Parse a 206's `Content-Range`. Returns None if it is malformed or has `*` as its size.

    Source: RFC 9110, section 14.4.
    """
    found = _CONTENT_RANGE.fullmatch(header.strip())
    if found is None:
        return None
    first, last, size = map(int, found.groups())
    if not first <= last < size:
        return None
    return ContentRange(Range(first, last + 1), size)


class MalformedRangeError(ValueError):
    """A request's `Range` header is malformed."""


def parse_range_spec(text: str) -> tuple[int, int | None]:
    """One range of a request's `Range` header as the offsets of a Python slice.

    The start is negative for a suffix, and the stop may be beyond the end.

    Raises:
        MalformedRangeError: The text is not a range.

    Source: RFC 9110, section 14.1.1.
    """
    found = _RANGE_SPEC.fullmatch(text)
    if found is None or not (found[1] or found[2]) or max(len(found[1]), len(found[2])) > _DIGITS_MOST:
        raise MalformedRangeError("Malformed Range header")
    if not found[1]:
        length = int(found[2])
        return (-length, None) if length else (1 << 100, None)  # no object has so many bytes
    start, stop = int(found[1]), int(found[2]) + 1 if found[2] else None
    if stop is not None and stop <= start:
        raise MalformedRangeError("Malformed Range header: a range ends before it begins")
    return start, stop
