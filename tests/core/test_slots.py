"""Slots: never more than the limit, newcomers soon, the rest by who ends first, and nobody starves."""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aioss_resume._core.slots import Share, Slot, Slots

MiB = 1024 * 1024


def nothing() -> None:
    pass


@given(st.integers(1, 5), st.lists(st.none() | st.integers(0, 30), max_size=80))
def test_single_requests_are_granted_in_order_and_never_beyond_the_limit(limit: int, steps: list[int | None]) -> None:
    """A step is None, to ask, or the number of the request that ends."""
    slots = Slots(limit)
    asked: list[Slot] = []
    ended: set[int] = set()
    woken: list[int] = []
    for step in steps:
        if step is None:
            number = len(asked)
            asked.append(slots.request(lambda number=number: woken.append(number)))
        elif step < len(asked):
            asked[step].release()
            ended.add(step)
        granted = [number for number, slot in enumerate(asked) if slot.granted]
        waiting = [number for number, slot in enumerate(asked) if not slot.granted and number not in ended]
        assert woken == granted  # each once, in the order in which they asked
        assert slots.taken == len(set(granted) - ended) <= limit
        assert not waiting or (slots.taken == limit and max(granted) < min(waiting))


def test_giving_back_twice_frees_one_slot() -> None:
    slots = Slots(1)
    first, second, third = slots.request(nothing), slots.request(nothing), slots.request(nothing)
    first.release()
    first.release()
    assert (second.granted, third.granted, slots.taken) == (True, False, 1)


def test_request_that_was_withdrawn_is_passed_over() -> None:
    slots = Slots(1)
    first, second, third = slots.request(nothing), slots.request(nothing), slots.request(nothing)
    second.release()
    second.release()
    first.release()
    assert (second.granted, third.granted) == (False, True)


def test_slot_may_be_given_back_as_soon_as_it_is_granted() -> None:
    slots, ended = Slots(1), []
    first = slots.request(nothing)
    queue: list[Slot] = []
    for number in range(50):
        queue.append(slots.request(lambda number=number: (ended.append(number), queue[number].release())))
    first.release()
    assert ended == list(range(50))
    assert slots.taken == 0


@dataclass
class Transfer:
    """A transfer that asks for one slot at a time, up to its own number, and fetches a part in each."""

    slots: Slots
    remaining: float
    part: float
    most: int
    began: float
    share: Share = field(init=False)
    flights: dict[Slot, float] = field(default_factory=dict)  # bytes left of each
    waiting: Slot | None = None
    first_at: float | None = None
    ended_at: float | None = None
    gave_way: int = 0
    speed: float = 1e12  # the current bytes a second of each flight

    def __post_init__(self) -> None:
        self.share = Share(self.began)
        self.share.begin(lambda: int(self.remaining), self.give_way)

    def give_way(self, seconds: float) -> bool:
        slot = max(self.flights, key=self.flights.__getitem__, default=None)
        if slot is None or self.flights[slot] <= seconds * self.speed:
            return False
        self.gave_way += 1
        self.flights[slot] = 0.0
        return True

    def step(self, now: float, speed: float) -> None:
        self.speed = speed / STEP
        for slot in list(self.flights):
            got = min(self.flights[slot], speed)
            self.flights[slot] -= got
            self.remaining -= got
            if got and self.first_at is None:
                self.first_at = now
            if self.flights[slot] <= 0:
                del self.flights[slot]
                slot.release()
        if self.waiting is not None and self.waiting.granted:
            self.flights[self.waiting] = min(self.part, self.remaining - sum(self.flights.values()))
            self.waiting = None
        unclaimed = self.remaining - sum(self.flights.values())
        if self.waiting is None and unclaimed > 1 and len(self.flights) < self.most:
            self.waiting = self.slots.request(nothing, self.share, now)
        if self.remaining <= 1 and self.ended_at is None:
            self.ended_at = now
            for slot in [*self.flights, *([self.waiting] if self.waiting else [])]:
                slot.release()
            self.flights, self.waiting = {}, None


STEP = 0.01


def simulate(
    limit: int,
    make: Callable[[Slots], list[Transfer]],
    *,
    link: float = 200 * MiB,
    connection: float = 1e12,
    seconds: float = 600.0,
) -> list[Transfer]:
    slots = Slots(limit)
    transfers, looks = make(slots), count()
    for number in range(int(seconds / STEP)):
        now = number * STEP
        flying = sum(len(each.flights) for each in transfers)
        assert slots.taken <= limit
        speed = min(connection, link / max(1, flying)) * STEP
        for each in transfers:
            if now >= each.began and each.ended_at is None:
                each.step(now, speed)
        if next(looks) % 5 == 0:
            slots.look(now)
        if all(each.ended_at is not None for each in transfers):
            assert slots.taken == 0
            assert not slots.has_waiting
            return transfers
    raise AssertionError(f"{[each.ended_at for each in transfers]}: some never end")


def test_transfers_that_are_started_together_end_one_after_the_other() -> None:
    """Serving them alike, all would end at the end; one after the other, the mean is half of it."""
    transfers = simulate(32, lambda slots: [Transfer(slots, 32 * MiB, 8 * MiB, 4, n * 1e-6) for n in range(60)])
    ends = [each.ended_at or 0.0 for each in transfers]
    assert sum(ends) / len(ends) / max(ends) <= 0.62
    assert max(each.first_at or 0.0 for each in transfers) <= 2.0  # each got its first bytes soon
    assert max(ends) <= 60 * 32 / 200 * 1.1  # and the link was used


def test_newcomer_beside_a_large_transfer_waits_for_a_moment_only() -> None:
    """Four slots, 10 MB/s a connection, parts of 64 MiB: by itself, a slot comes free after seconds."""

    def make(slots: Slots) -> list[Transfer]:
        large = Transfer(slots, 2048 * MiB, 64 * MiB, 4, 0.0)
        return [large, *(Transfer(slots, 0.1 * MiB, MiB, 1, 1.0 + n * 1.5) for n in range(20))]

    large, *small = simulate(4, make, connection=10e6)
    assert max((each.first_at or 0.0) - each.began for each in small) <= 0.3
    assert large.ended_at is not None
    assert large.ended_at <= 2048 * MiB / 40e6 * 1.1


def test_flood_of_newcomers_starves_nobody() -> None:
    def make(slots: Slots) -> list[Transfer]:
        large = Transfer(slots, 100 * MiB, 16 * MiB, 4, 0.0)
        return [large, *(Transfer(slots, MiB, MiB, 1, 0.5 + n * 0.02) for n in range(1500))]

    large, *_ = simulate(4, make, connection=10e6, link=40e6)
    assert large.ended_at is not None
    assert large.ended_at <= 30.0  # it still has about half of the link


def test_few_large_transfers_each_keep_a_slot() -> None:
    transfers = simulate(
        4, lambda slots: [Transfer(slots, 200 * MiB, 64 * MiB, 4, n * 0.5) for n in range(3)], connection=10e6
    )
    for each in transfers:
        assert (each.first_at or 0.0) - each.began <= 0.5


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 6),
    st.lists(
        st.tuples(st.integers(1, 40), st.integers(1, 16), st.integers(1, 6), st.floats(0, 5)), min_size=1, max_size=12
    ),
)
def test_every_transfer_ends_and_giving_way_is_bounded(limit: int, sizes: list[tuple[int, int, int, float]]) -> None:
    transfers = simulate(
        limit,
        lambda slots: [Transfer(slots, size * MiB, part * MiB, most, began) for size, part, most, began in sizes],
        connection=20e6,
        link=60e6,
    )
    last = max(each.ended_at or 0.0 for each in transfers)
    looks = last / (5 * STEP) + 1
    assert sum(each.gave_way for each in transfers) <= looks * (max(1, limit // 8) + 2)


@pytest.mark.parametrize("limit", [1, 4, 32])
def test_share_that_holds_nothing_and_waits_for_nothing_is_not_counted(limit: int) -> None:
    slots, share = Slots(limit), Share()
    for _ in range(3):
        slots.request(nothing, share).release()
    assert slots.taken == 0
    assert slots._shares == set()


def test_ended_share_is_not_asked_to_give_way() -> None:
    slots, large = Slots(1), Share()
    large.begin(lambda: 10**9, lambda _: pytest.fail("it has ended"))
    held = slots.request(nothing, large)
    large.end()
    slots.request(nothing, Share(), 0.0)
    slots.look(1.0)
    held.release()
