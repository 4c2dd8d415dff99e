"""Who may send the next request: first come, first served, for everything that shares one limit.

Each download requests one slot at a time. So the slots go round among the downloads, and a large download cannot starve
a small one.
"""

from collections import deque
from collections.abc import Callable


class Slot:
    """Permission to send a request: requested, granted, released.

    `granted` turns True at most once, and `wake` is called when it does.
    """

    __slots__ = ("_slots", "_wake", "granted")

    def __init__(self, slots: "Slots", wake: Callable[[], None]) -> None:
        self._slots = slots
        self._wake = wake
        self.granted = False

    def release(self) -> None:
        """Release it, granted or not. Calling it again has no effect."""
        self._slots._end(self)

    def __enter__(self) -> None:
        """Release it at the end of a `with` block."""

    def __exit__(self, *_: object) -> None:
        self.release()

    def _grant(self) -> None:
        self.granted = True
        self._wake()


class Slots:
    """At most `limit` slots are granted at any time, in the order in which they were asked for."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._taken: set[Slot] = set()
        self._queue: deque[Slot] = deque()

    @property
    def taken(self) -> int:
        return len(self._taken)

    def request(self, wake: Callable[[], None]) -> Slot:
        """A slot, granted at once or later; `wake` is called when it is, possibly before this returns."""
        slot = Slot(self, wake)
        self._queue.append(slot)
        self._grant_what_is_free()
        return slot

    def raise_limit(self, limit: int) -> None:
        """Grant up to `limit` slots from now on; never fewer than before."""
        self.limit = max(self.limit, limit)
        self._grant_what_is_free()

    def _end(self, slot: Slot) -> None:
        if slot in self._taken:
            self._taken.remove(slot)
            self._grant_what_is_free()
        elif slot in self._queue:
            self._queue.remove(slot)

    def _grant_what_is_free(self) -> None:
        while self._queue and len(self._taken) < self.limit:
            slot = self._queue.popleft()
            self._taken.add(slot)
            slot._grant()
