"""How far a stream reads ahead, and when it hands out a chunk that is not full."""

from typing import Final

KiB: Final = 1024
MiB: Final = 1024 * KiB

FIRST_AHEAD: Final = 4 * MiB
"""Bytes that are asked for before the reader has taken any: what a reader that leaves at once may cost."""

_GROWTH: Final = 4  # bytes more ahead for each byte that the reader took

_PARTS_MOST: Final = 16
_PARTS_LEAST: Final = 8
# Parts of a window. While one is read, others are fetched, and the reader should rarely wait for the end of one.
# A request takes as long as the transfer of a third of a MiB, so smaller parts are inefficient.
_PART_FAIR: Final = 1 * MiB
_PART_LEAST: Final = 256 * KiB
_PART_MOST: Final = 8 * MiB

_CHUNK_LEAST: Final = 256 * KiB  # bytes that are handed out at once to a reader that waits
_WAIT_MOST: Final = 0.01  # seconds for which a reader waits while there are fewer


def choose_stream_part_size(window: int, concurrency: int | None = None) -> int:
    """Choose the part size of a stream if the caller did not.

    Args:
        window: Most bytes that the stream keeps in memory.
        concurrency: Most requests in flight; None for "auto".
    """
    parts = _PARTS_MOST if concurrency is None else min(max(2 * concurrency, _PARTS_LEAST), _PARTS_MOST)
    fair = min(window // _PARTS_LEAST, _PART_FAIR)
    return min(max(window // parts, fair, _PART_LEAST), _PART_MOST, window)


class ReadAhead:
    """The offset up to which a stream is fetched. Invariant: at most `window` bytes beyond what the reader has taken.

    This horizon moves in whole parts, so that every request but the last one is for a whole part.

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
        """Note that the reader has taken all bytes before the offset `taken`. Returns whether the horizon moved."""
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
