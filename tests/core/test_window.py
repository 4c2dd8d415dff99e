"""The window on made-up links: it finds the number that a link is worth, and lets go of one that OSS refuses."""

import random
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aioss_resume._core.window import AUTO_FIRST, Window

MB = 1_000_000
TICK = 0.1


@dataclass
class Link:
    """A link and the requests on it, tick by tick. A request begun at `t` brings bytes from `t + latency` on.

    Attributes:
        each: Most bytes a second of one request.
        total: Of all together.
        bears: More requests in flight than this are refused, each with trouble() and half a second's wait.
        cost: Share of the sum's speed that each request beyond the needed ones costs: they crowd each other out.
        climb: Seconds after its answer until a request has its full speed, as TCP's slow start.
        noise: The speed of each tick is off by up to this share, with `seed`.
    """

    window: Window
    each: float
    latency: float = 0.05
    total: float = float("inf")
    bears: int = 1 << 30
    cost: float = 0.0
    climb: float = 0.0
    noise: float = 0.0
    seed: int = 0
    now: float = 0.0
    received: float = 0.0
    refusals: int = 0
    limits: list[int] = field(default_factory=list)
    begun: list[float] = field(default_factory=list)
    blocked_until: list[float] = field(default_factory=list)

    def __post_init__(self):
        self.random = random.Random(self.seed)

    def run(self, seconds):
        """That many seconds later; returns the bytes that they brought."""
        before = self.received
        for _ in range(round(seconds / TICK)):
            self._fly()
            self._tick()
            self._take_off()
            self._tick()
            self.limits.append(self.window.limit)
            self.received += self._brought()
            self.now += TICK
        return self.received - before

    def _tick(self):
        is_busy = len(self.begun) + len(self.blocked_until) >= self.window.limit
        answered = any(self.now >= start + self.latency for start in self.begun)
        latency = self.latency if answered else 0.0
        self.window.tick(self.now, int(self.received), is_busy=is_busy, latency=latency)

    def _take_off(self):
        while len(self.begun) + len(self.blocked_until) < self.window.limit:
            self._ask()

    def _ask(self):
        if len(self.begun) < self.bears:
            self.begun.append(self.now)
        else:
            self.refusals += 1
            self.blocked_until.append(self.now + 0.5)
            self.window.trouble(self.now)

    def _fly(self):
        """Refused requests ask again, and what is beyond the limit has landed."""
        due = [until for until in self.blocked_until if until <= self.now]
        self.blocked_until = [until for until in self.blocked_until if until > self.now]
        for _ in due:
            if len(self.begun) + len(self.blocked_until) < self.window.limit:
                self._ask()
        del self.begun[self.window.limit :]

    def _brought(self):
        wanted = sum(self.each * self._share_of_tick(start) for start in self.begun)
        crowd = max(0.0, len(self.begun) - self.total / self.each)
        room = self.total * TICK * max(0.5, 1 - self.cost * crowd)
        return min(wanted, room) * (1 + self.random.uniform(-self.noise, self.noise))

    def _share_of_tick(self, start):
        running = self.now + TICK - (start + self.latency)
        speed = min(1.0, running / self.climb) if self.climb and running > 0 else 1.0
        return max(0.0, min(TICK, running)) * speed


def auto(most=32):
    return Window(most, is_sought=True)


def test_automatic_limit_begins_small_and_a_fixed_one_at_its_value():
    assert auto().limit == AUTO_FIRST
    assert auto(2).limit == 2
    assert Window(8, is_sought=False).limit == 8


@pytest.mark.parametrize("latency", [0.1, 0.25, 0.5])
def test_long_fat_link_gets_nearly_the_maximum(latency):
    link = Link(auto(), each=4 * MB / latency, latency=latency)
    link.run(1 + 8 * latency)
    assert link.window.limit == 32
    link.run(30)
    assert min(link.limits[-200:]) == 32


@pytest.mark.parametrize(("most", "share"), [(8, 0.96), (16, 0.93), (32, 0.89)])
def test_link_that_throttles_each_connection_is_used_from_the_beginning(most, share):
    link = Link(auto(most), each=25 * MB, latency=0.05)
    brought = link.run(3)
    assert link.window.limit == most
    assert brought >= share * most * 25 * MB * (3 - 0.05)


@pytest.mark.parametrize("most", [5, 8, 11, 32, 100])
def test_any_maximum_is_reached(most):
    link = Link(auto(most), each=25 * MB)
    link.run(3)
    assert link.window.limit == most


@pytest.mark.parametrize("cost", [0.0, 0.01])
@pytest.mark.parametrize("latency", [0.0, 0.05, 0.2])
def test_shared_link_is_left_to_others(latency, cost):
    link = Link(auto(), each=25 * MB, total=75 * MB, latency=latency, cost=cost)
    link.run(latency)
    brought = link.run(60)
    assert brought >= 0.95 * 75 * MB * 60
    assert max(link.limits) <= 8
    assert sum(link.limits) / len(link.limits) < 5
    assert link.window.limit <= 5


@pytest.mark.parametrize("worth", [6, 8, 10, 12, 20])
def test_limit_stops_growing_when_more_requests_gain_little(worth):
    link = Link(auto(), each=25 * MB, total=worth * 25 * MB)
    link.run(3)
    assert 0.8 * worth <= link.window.limit <= 1.4 * worth
    assert link.run(57) >= 0.93 * worth * 25 * MB * 57


def test_connections_that_still_speed_up_do_not_count_as_a_gain():
    link = Link(auto(), each=25 * MB, total=75 * MB, climb=0.6)
    link.run(60)
    assert max(link.limits) <= 16
    assert link.window.limit <= 8


def test_connections_that_speed_up_slowly_are_all_used():
    link = Link(auto(), each=25 * MB, climb=0.5)
    link.run(20)
    assert link.window.limit == 32


def test_link_that_becomes_wider_is_noticed():
    link = Link(auto(), each=25 * MB, total=75 * MB)
    link.run(10)
    link.total = float("inf")
    link.run(15)
    assert link.window.limit == 32


def test_flights_that_end_do_not_disturb_the_measurement():
    window, received = auto(), 0
    for step in range(300):  # the scheduler ticks after a flight has ended, before the next one begins
        received += round(window.limit * 25 * MB * 0.01)
        window.tick(step / 100, received, is_busy=False, latency=0.01)
        window.tick(step / 100, received, is_busy=True, latency=0.01)
    assert window.limit == 32


def test_limit_does_not_grow_while_slots_are_idle():
    window, received = auto(), 0
    for step in range(100):
        received += 25 * MB * (1 + step)
        window.tick(step / 10, received, is_busy=False)
    assert window.limit == AUTO_FIRST


@pytest.mark.parametrize("bears", [1, 3, 6, 10, 20])
@pytest.mark.parametrize("is_sought", [True, False])
def test_requests_in_flight_stay_near_what_the_server_allows_in_total(bears, is_sought):
    link = Link(Window(32, is_sought=is_sought), each=25 * MB, bears=bears)
    link.run(15)
    early = link.refusals
    brought = link.run(60)
    assert max(link.limits[-600:]) <= bears + max(1, bears // 8)
    assert link.refusals - early <= (60 if bears == 1 else 30)  # a limit of 1 can only grow by doubling
    assert early <= 80
    assert brought >= 0.6 * bears * 25 * MB * 60


def test_storm_of_refusals_is_one_sign_of_trouble():
    window = Window(32, is_sought=False)
    for step in range(10):
        window.trouble(step * 0.09)
    assert window.limit == 16


def test_lasting_trouble_halves_again_and_again():
    window = Window(32, is_sought=False)
    for step in range(100):
        window.trouble(step * 0.1)
    assert window.limit == 1


@given(st.integers(1, 100))
def test_fixed_number_recovers_in_small_steps(most):
    window = Window(most, is_sought=False)
    window.trouble(0.0)
    assert window.limit == max(1, most // 2)
    now, seen = 0.0, [window.limit]
    while window.needs_ticks:
        now += TICK
        window.tick(now, 0, is_busy=True)
        seen.append(window.limit)
        assert now < 60
    assert window.limit == most
    assert all(0 <= after - before <= max(1, before // 8) for before, after in pairwise(seen))


def test_fixed_number_needs_ticks_only_after_trouble():
    window = Window(8, is_sought=False)
    assert not window.needs_ticks
    window.trouble(0.0)
    assert window.needs_ticks
    assert auto().needs_ticks


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("worth", [3, 8, 100])
def test_noisy_link_does_not_make_the_number_jump(seed, worth):
    link = Link(auto(), each=25 * MB, total=worth * 25 * MB, noise=0.2, seed=seed)
    link.run(5)
    brought = link.run(55)
    late = link.limits[50:]
    changes = sum(before != after for before, after in pairwise(late))
    assert changes <= 2 * 55 / 5 + 4
    assert all(after <= 2 * before for before, after in pairwise(late))
    assert brought >= 0.85 * min(worth, 32) * 25 * MB * 55
    assert sum(late) / len(late) <= 3 * max(worth, AUTO_FIRST)


happenings = st.one_of(
    st.just("trouble"),
    st.integers(0, 40),  # narrow() to so many requests
    st.tuples(st.integers(-(10**6), 10**10), st.booleans(), st.floats(0, 2)),
)


@given(
    st.integers(1, 64),
    st.booleans(),
    st.lists(st.tuples(st.floats(0, 3), happenings), max_size=200),
)
def test_number_keeps_its_bounds_and_halves_at_most_once_a_second(most, is_sought, story):
    window, now, received, halved = Window(most, is_sought=is_sought), 0.0, 0, float("-inf")
    for wait, what in story:
        now += wait
        before = window.limit
        if what == "trouble":
            window.trouble(now)
            if window.limit < before:
                assert now - halved >= 1.0 - 1e-9
                assert window.limit == max(1, before // 2)
                halved = now
        elif isinstance(what, int):
            window.narrow(what)
            most = max(1, min(most, what))
            assert window.limit == min(before, most)
        else:
            gained, is_busy, latency = what
            received += gained
            window.tick(now, received, is_busy=is_busy, latency=latency)
            assert window.limit >= before // 2  # a tick takes back no more than the last growth
            assert window.limit <= 2 * before
        assert 1 <= window.limit <= most


def test_window_narrowed_during_a_trial_respects_the_limit():
    window = Window(32, is_sought=True)
    window.tick(0.0, MB, is_busy=True)
    window.tick(0.1, 11 * MB, is_busy=True)
    assert window.limit == 2 * AUTO_FIRST
    window.narrow(3)
    for second in range(1, 20):
        window.tick(second, (11 + 200 * second) * MB, is_busy=True)
        assert window.limit <= 3
