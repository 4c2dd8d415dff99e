"""How far a stream is fetched ahead of its reader, and when a chunk is handed out before it is full."""

from typing import Final

KiB: Final = 1024
MiB: Final = 1024 * KiB

FIRST_AHEAD: Final = 4 * MiB
"""Bytes that are asked for before the reader has taken any: what a reader that leaves at once may cost."""

_GROWTH: Final = 4  # bytes more ahead for each byte that the reader took

_PARTS_MOST: Final = 16
_PARTS_LEAST: Final = 8
# Parts of a window. While one is read, others are fetched, and the reader should rarely wait for the end of one; but a
# request costs as much time as a third of a MiB.
_PART_LEAST: Final = 256 * KiB
_PART_MOST: Final = 8 * MiB

_CHUNK_LEAST: Final = 256 * KiB  # bytes that are handed out at once to a reader that waits
_WAIT_MOST: Final = 0.01  # seconds for which a reader waits while there are fewer


def choose_stream_part_size(window: int, concurrency: int | None = None) -> int:
    """Bytes of one range request of a stream, when the caller named none.

    Args:
        window: Most bytes that it keeps.
        concurrency: Most requests in flight; None: as many as make it faster.
    """
    parts = _PARTS_MOST if concurrency is None else min(max(2 * concurrency, _PARTS_LEAST), _PARTS_MOST)
    return min(max(window // parts, _PART_LEAST), _PART_MOST, window)


class ReadAhead:
    """Up to which offset a stream is fetched. Invariant: at most `window` bytes beyond what the reader has taken.

    The horizon moves in whole parts, so that no request is for less than a part but the last one.

    Args:
        start, stop: The bytes that the stream brings.
        window: Most bytes ahead; at least `part_size`.
        part_size: Bytes of one request.
        first: Bytes that the first request asks for; they are within the horizon from the beginning.
    """

    def __init__(self, start: int, stop: int, *, window: int, part_size: int, first: int) -> None:
        assert part_size <= window
        assert first <= window
        self._start = start
        self._stop = stop
        self._window = window
        self._part_size = part_size
        self._first = first
        self.horizon = min(start + first, stop)

    def advance(self, taken: int) -> bool:
        """The reader has taken all bytes before the offset `taken`. Returns whether the horizon has moved."""
        ahead = min(self._window, FIRST_AHEAD + _GROWTH * (taken - self._start))
        limit = taken + ahead
        if limit >= self._stop:
            horizon = self._stop
        else:
            begins = self._start + self._first  # parts are counted from the end of the first request
            horizon = begins + max(0, limit - begins) // self._part_size * self._part_size
        if horizon <= self.horizon:
            return False
        self.horizon = horizon
        return True


def is_worth_handing_out(received: int, waited: float, *, is_first: bool) -> bool:
    """Whether a chunk that is not full should be handed out to a reader that waits for it.

    Args:
        received: Bytes of it that came.
        waited: Seconds for which the reader has been waiting.
        is_first: Whether the reader has got nothing yet.
    """
    return is_first or received >= _CHUNK_LEAST or waited >= _WAIT_MOST
