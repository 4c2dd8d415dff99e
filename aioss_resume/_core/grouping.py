"""Distribution of the objects of a prefix over a cluster: in groups, each with its part of the limits."""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from aioss_resume._core.ranges import Range

MiB: Final = 1 << 20

GROUP_SECONDS: Final = 5.0
"""Seconds that one group is meant to take. A worker that is slow by ten then holds up the end of a job by a minute, and
a thousand workers are two hundred tasks a second for the scheduler."""
GROUP_BYTES: Final = 64 * MiB
GROUP_BYTES_LEAST: Final = 4 * MiB
GROUP_OBJECTS: Final = 200
GROUP_OBJECTS_LEAST: Final = 10
"""Bounds of one group, whatever the pace is: a task costs some milliseconds of the cluster's."""
SPLIT_GROUPS: Final = 8
"""An object that is as large as so many groups is split among workers, where they share the directory."""
_FIRST_BYTES: Final = 16 * MiB
_FIRST_OBJECTS: Final = 25
_NEW: Final = 0.1  # the weight of the newest group


class Groups:
    """Collects objects into groups in listing order. A group should take about GROUP_SECONDS."""

    def __init__(self) -> None:
        self._count = self._bytes = 0
        self._bytes_most, self._objects_most = float(_FIRST_BYTES), float(_FIRST_OBJECTS)

    @property
    def bytes_most(self) -> int:
        """The number of bytes after which a group is complete."""
        return int(min(max(self._bytes_most, GROUP_BYTES_LEAST), GROUP_BYTES))

    @property
    def objects_most(self) -> int:
        """The number of objects after which a group is complete."""
        return int(min(max(self._objects_most, GROUP_OBJECTS_LEAST), GROUP_OBJECTS))

    def is_full_with(self, size: int) -> bool:
        """Add an object to the group; returns whether the group is complete with it."""
        self._count, self._bytes = self._count + 1, self._bytes + size
        if self._count < self.objects_most and self._bytes < self.bytes_most:
            return False
        self._count = self._bytes = 0
        return True

    def is_split(self, size: int) -> bool:
        """Whether an object of that size is large enough to be split."""
        return size >= SPLIT_GROUPS * self.bytes_most

    def note(self, objects: int, length: int, seconds: float) -> None:
        """Record how long a finished group with so many objects and bytes took."""
        more = GROUP_SECONDS / max(seconds, 1e-3)
        self._bytes_most += _NEW * (min(max(length * more, GROUP_BYTES_LEAST), GROUP_BYTES) - self._bytes_most)
        self._objects_most += _NEW * (min(objects * more, GROUP_OBJECTS) - self._objects_most)


class Allowance(NamedTuple):
    """The limits of one group while it runs.

    Attributes:
        requests: Most requests in flight; at least 1.
        bytes_per_second: None for no limit.
    """

    requests: int
    bytes_per_second: float | None


class Budget:
    """Divides the limits of the whole cluster among the running groups.

    The parts together never exceed the limits, even when workers join or leave.

    Args:
        requests: Most requests in flight in the whole cluster.
        bytes_per_second: None for no limit.
    """

    def __init__(self, requests: int, bytes_per_second: float | None) -> None:
        self._requests, self._bytes_per_second = requests, bytes_per_second
        self._used = 0

    def take(self, threads: int) -> Allowance | None:
        """Take the part for one more group on a cluster with so many threads, or None if nothing is left."""
        # A group that waited in the cluster would hold a part of the limits that it does not use.
        at_once = max(1, min(self._requests, threads))
        wanted = max(1, self._requests // at_once)
        if self._used + wanted > self._requests:
            return None
        self._used += wanted
        rate = self._bytes_per_second
        return Allowance(wanted, None if rate is None else rate * wanted / self._requests)

    def give_back(self, allowance: Allowance) -> None:
        """Return the part of a finished group."""
        self._used -= allowance.requests


def ranges_of(size: int, done: Sequence[tuple[int, int]], most: int) -> Iterator[Range]:
    """The missing ranges of an object, each at most `most` bytes long.

    Args:
        done: The existing ranges as pairs of offsets, sorted and disjoint.
    """
    at = 0
    for start, stop in [*done, (size, size)]:
        while at < start:
            end = min(start, at + most)
            yield Range(at, end)
            at = end
        at = max(at, stop)
