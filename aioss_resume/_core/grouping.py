"""How the objects of a prefix are shared out over a cluster: in groups, each with its part of the limits."""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from aioss_resume._core.ranges import Range

MiB: Final = 1 << 20

GROUP_BYTES: Final = 64 * MiB
"""Bytes of one group: a second of a fast worker. The last groups of a job end at different times, about this far
apart."""
GROUP_OBJECTS: Final = 100
"""Objects of one group. Ten million objects are a hundred thousand tasks then, of a millisecond of the scheduler's
each."""
SPLIT_LEAST: Final = 1024 * MiB
"""Bytes from which an object is split among workers, where they share the directory."""


class Groups:
    """Collects objects into groups, in their order."""

    def __init__(self) -> None:
        self._count = self._bytes = 0

    def is_full_with(self, size: int) -> bool:
        """Add an object to the group; returns whether the group is complete with it."""
        self._count, self._bytes = self._count + 1, self._bytes + size
        if self._count < GROUP_OBJECTS and self._bytes < GROUP_BYTES:
            return False
        self._count = self._bytes = 0
        return True


class Allowance(NamedTuple):
    """What one group may use while it runs.

    Attributes:
        requests: In flight at the same time; at least 1.
        bytes_per_second: None: no limit.
    """

    requests: int
    bytes_per_second: float | None


class Budget:
    """The limits of the whole cluster, of which each group that is under way has a part.

    All parts together are never more than the limits, however many threads come and go.

    Args:
        requests: In flight at the same time in the whole cluster.
        bytes_per_second: None: no limit.
    """

    def __init__(self, requests: int, bytes_per_second: float | None) -> None:
        self._requests, self._bytes_per_second = requests, bytes_per_second
        self._used = 0

    def take(self, threads: int) -> Allowance | None:
        """The part of one more group, on a cluster with so many threads; None: there is nothing left for one."""
        at_once = max(1, min(self._requests, threads))  # no group waits in the cluster, with a part that is not used
        wanted = max(1, self._requests // at_once)
        if self._used + wanted > self._requests:
            return None
        self._used += wanted
        rate = self._bytes_per_second
        return Allowance(wanted, None if rate is None else rate * wanted / self._requests)

    def give_back(self, allowance: Allowance) -> None:
        """A group has ended."""
        self._used -= allowance.requests


def ranges_of(size: int, done: Sequence[tuple[int, int]]) -> Iterator[Range]:
    """What is missing of an object, in ranges of GROUP_BYTES at most.

    Args:
        done: What is there, as pairs of offsets, in order and disjoint.
    """
    at = 0
    for start, stop in [*done, (size, size)]:
        while at < start:
            end = min(start, at + GROUP_BYTES)
            yield Range(at, end)
            at = end
        at = max(at, stop)
