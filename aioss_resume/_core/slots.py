"""Slots: which transfer may send the next request, and which one should give way.

A transfer that has not sent a request yet is served first, so that it gets its first response soon. The next free slot
goes to the transfer that is expected to end first: the one that began earlier, or needs less. So transfers that were
started together end one after the other; 60 of them end on average after 0.61 of the time that serving all alike would
take. No transfer starves: one without a slot gets one in turn if there are few transfers, and otherwise after a while.

A large part may take seconds, so slots are also taken back: if a transfer has waited for its share for a moment,
another one that holds more is asked to end a flight early.
"""

from collections import deque
from collections.abc import Callable, Iterable
from operator import attrgetter
from typing import Final

MiB: Final = 1024 * 1024

_SPEED: Final = 32.0 * MiB
# Bytes a second. It makes sizes comparable with times: a transfer that needs 32 MiB more ranks like one that began a
# second later. It is about the speed of one connection.

# A transfer without a slot is "due" one if there are few transfers, or if it has waited for long. All others get slots
# in the order in which they are expected to end. Times are in seconds.
_FEW: Final = 4  # transfers are few up to this number, or up to a quarter of the slots if that is more
_STARVED_SECONDS: Final = 10.0  # after this wait, a transfer is due a slot, however many transfers there are
_DUE_SECONDS: Final = 0.1  # after this wait, another transfer gives way to one that is due a slot
_KEEP_SECONDS: Final = 0.2  # a transfer keeps its only slot at least for this time, so that it makes some progress
_SOON: Final = 0.2  # a flight that ends by itself within this time does not give way to a transfer that is due a slot
_LATE: Final = 1.0  # nor, within this time, to one that is expected to end first: giving way costs a connection
_MARGIN: Final = 0.02  # a transfer gives way only to one that is expected to end earlier by this time
_AT_ONCE: Final = 8  # at once, at most an eighth of the slots give way to transfers that are due one
_RANKED_AT_ONCE: Final = 2  # at once, at most so many slots give way to transfers that are expected to end first


def _nothing() -> int:
    return 0


class Share:
    """The slots that one transfer holds, and the bytes that it still needs.

    Args:
        began: When it began, by a clock that never goes back.

    Attributes:
        remaining: Returns how many bytes the transfer still has to fetch.
        give_way: Asks the transfer to end one of its flights that needs more than so many seconds. Returns whether it
            does. None if the transfer cannot do that.
    """

    __slots__ = ("_granted_at", "_yielding", "began", "give_way", "held", "remaining", "waiting", "was_served")

    def __init__(self, began: float = 0.0) -> None:
        self.began = began
        self.remaining: Callable[[], int] = _nothing
        self.give_way: Callable[[float], bool] | None = None
        self.held = 0
        self.waiting = 0
        self.was_served = False
        self._yielding = 0
        self._granted_at = began

    def begin(self, remaining: Callable[[], int], give_way: Callable[[float], bool]) -> None:
        """Note that the transfer began to fetch spans, so these functions can be called."""
        self.remaining, self.give_way = remaining, give_way

    def end(self) -> None:
        """Note that the transfer ended, and drop these functions."""
        self.remaining, self.give_way = _nothing, None

    @property
    def rank(self) -> float:
        """An estimate of when the transfer ends. Lower ranks are served first."""
        return self.began + self.remaining() / _SPEED

    @property
    def kept(self) -> int:
        """The number of slots held, without those that are being given back."""
        return self.held - self._yielding

    def take(self, now: float) -> None:
        """Count a granted slot."""
        self.held += 1
        self.was_served = True
        self._granted_at = now

    def give_back(self) -> None:
        """Count a released slot."""
        self.held -= 1
        self._yielding = max(0, self._yielding - 1)

    def ask(self, seconds: float) -> bool:
        """Ask the transfer to end a flight that needs more than so many seconds. Returns whether it does."""
        assert self.give_way is not None
        if not self.give_way(seconds):
            return False
        self._yielding += 1
        return True

    def may_be_asked(self, now: float) -> bool:
        """Whether the transfer can give way, and has had its slots for a while."""
        return (
            self.give_way is not None and self.kept > 0 and (self.kept > 1 or now - self._granted_at >= _KEEP_SECONDS)
        )


class Slot:
    """Permission to send a request: requested, granted, released.

    `granted` turns True at most once, and `wake` is called when it does.
    """

    __slots__ = ("_slots", "_wake", "granted", "share", "since")

    def __init__(self, slots: "Slots", wake: Callable[[], None], share: Share, since: float) -> None:
        self._slots = slots
        self._wake = wake
        self.share = share
        self.since = since
        self.granted = False

    def release(self) -> None:
        """Release the slot, granted or not. Further calls have no effect."""
        self._slots._end(self)

    def __enter__(self) -> None:
        """Release the slot at the end of a `with` block."""

    def __exit__(self, *_: object) -> None:
        self.release()

    def _grant(self) -> None:
        self.granted = True
        self._wake()


class Slots:
    """At most `limit` slots are granted at any time."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._taken: set[Slot] = set()
        self._newcomers: deque[Slot] = deque()  # requests of transfers that had no slot yet, in order
        self._others: list[Slot] = []
        self._shares: set[Share] = set()  # those that hold slots or wait for one
        self._was_newcomer = False  # whether the last granted slot went to a newcomer
        self._now = 0.0

    @property
    def taken(self) -> int:
        return len(self._taken)

    @property
    def has_waiting(self) -> bool:
        return bool(self._newcomers or self._others)

    def request(self, wake: Callable[[], None], share: Share | None = None, now: float = 0.0) -> Slot:
        """Request a slot. `wake` is called when it is granted, possibly before this returns.

        Args:
            share: The transfer's share; None for a transfer of one request.
        """
        self._now = max(self._now, now)
        slot = Slot(self, wake, share or Share(now), now)
        slot.share.waiting += 1
        self._shares.add(slot.share)
        (self._others if slot.share.was_served else self._newcomers).append(slot)
        self._grant_what_is_free()
        return slot

    def raise_limit(self, limit: int) -> None:
        """Grant up to `limit` slots from now on; never fewer than before."""
        self.limit = max(self.limit, limit)
        self._grant_what_is_free()

    def look(self, now: float) -> None:
        """Ask transfers to give way if others have waited too long. Must be called often while some wait."""
        self._now = max(self._now, now)
        self._grant_what_is_free()
        due = sum(now - slot.since >= _DUE_SECONDS for slot in self._newcomers)
        due += sum(now - slot.since >= _DUE_SECONDS and self._is_due(slot) for slot in self._others)
        due -= sum(share._yielding for share in self._shares)
        for _ in range(min(due, max(1, self.limit // _AT_ONCE))):
            if not self._take_back_for_one_due():
                break
        if due <= 0 and self._is_crowded and self._others and not self._newcomers:
            for _ in range(_RANKED_AT_ONCE):
                self._take_back_for_the_first()

    @property
    def _is_crowded(self) -> bool:
        """Whether there are too many transfers for each to have a slot at any time."""
        return len(self._shares) > max(self.limit // 4, min(_FEW, self.limit))

    def _is_due(self, slot: Slot) -> bool:
        """Whether a transfer that had slots before should get another one, because it has none."""
        return not slot.share.held and (not self._is_crowded or self._now - slot.since >= _STARVED_SECONDS)

    def _take_back_for_one_due(self) -> bool:
        """Let the transfer with the most slots give way, or, if none has more than one, the one that will end last."""
        candidates = [share for share in self._shares if share.may_be_asked(self._now)]
        with_several = [share for share in candidates if share.kept > 1]
        if not with_several and not self._is_crowded:
            return False
        return _ask_one_of(
            sorted(with_several or candidates, key=lambda share: (share.kept, share.rank), reverse=True), _SOON
        )

    def _take_back_for_the_first(self) -> None:
        """Let the transfer that will end last give way to the first of those that wait.

        Few at a look: each costs a connection, and slots come free by themselves, too.
        """
        first = min(slot.share.rank for slot in self._others)
        bound = first + _MARGIN
        candidates = [share for share in self._shares if share.may_be_asked(self._now) and share.rank > bound]
        _ask_one_of(sorted(candidates, key=attrgetter("rank"), reverse=True), _LATE)

    def _end(self, slot: Slot) -> None:
        share = slot.share
        if slot in self._taken:
            self._taken.remove(slot)
            share.give_back()
            self._grant_what_is_free()
        elif not slot.granted:
            for requests in (self._newcomers, self._others):
                if slot in requests:
                    requests.remove(slot)
                    share.waiting -= 1
        if not share.held and not share.waiting:
            self._shares.discard(share)

    def _grant_what_is_free(self) -> None:
        while len(self._taken) < self.limit and self.has_waiting:
            slot = self._next()
            slot.share.waiting -= 1
            slot.share.take(self._now)
            self._taken.add(slot)
            slot._grant()

    def _next(self) -> Slot:
        """Choose the request to grant next, and remove it."""
        others = self._others
        if self._newcomers:
            # Newcomers may come without end, so every second slot goes to a transfer that had one before and has none.
            others = [slot for slot in others if not slot.share.held] if self._was_newcomer else []
            self._was_newcomer = not others
            if not others:
                return self._newcomers.popleft()
        due = [slot for slot in others if self._is_due(slot)]
        slot = min(due, key=attrgetter("since")) if due else min(others, key=lambda slot: slot.share.rank)
        self._others.remove(slot)
        return slot


def _ask_one_of(shares: Iterable[Share], seconds: float) -> bool:
    """Ask them in order, until one ends a flight that needs more than so many seconds."""
    return any(share.ask(seconds) for share in shares)
