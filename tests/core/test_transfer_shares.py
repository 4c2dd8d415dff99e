"""The tail is shared out: by how much, how often, and that it comes to an end."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aioss_resume._core.transfer import SHARE_LEAST, Transfer, share

MiB = 1 << 20

speeds = st.floats(1.0, 1e10)
latencies = st.floats(0, 5)
lengths = st.integers(0, 1 << 40)


@given(lengths, st.just(0.0) | speeds, st.just(0.0) | speeds, latencies)
def test_piece_is_worth_a_request_or_all_or_nothing(remaining, speed, newcomer, latency):
    taken = share(remaining, speed, newcomer, latency)
    assert 0 <= taken <= remaining
    assert taken in (0, remaining) or min(taken, remaining - taken) >= SHARE_LEAST


@given(lengths, speeds, speeds, latencies)
def test_both_end_together(remaining, speed, newcomer, latency):
    taken = share(remaining, speed, newcomer, latency)
    if 0 < taken < remaining:
        old, new = (remaining - taken) / speed, latency + taken / newcomer
        assert old == pytest.approx(new, rel=1e-6, abs=1 / speed + 1 / newcomer)


@given(lengths, speeds, speeds, latencies)
def test_end_comes_sooner_with_a_newcomer(remaining, speed, newcomer, latency):
    taken = share(remaining, speed, newcomer, latency)
    if taken:
        assert max((remaining - taken) / speed, latency + taken / newcomer) < remaining / speed


@given(st.integers(1, 1 << 40), speeds, latencies)
def test_stalled_flight_gives_all_it_has(remaining, newcomer, latency):
    assert share(remaining, 0.0, newcomer, latency) == remaining


@given(lengths, speeds, speeds, latencies)
def test_flight_that_is_nearly_there_is_left_alone(remaining, speed, newcomer, latency):
    if remaining / speed <= max(0.05, 2 * latency):
        assert share(remaining, speed, newcomer, latency) == 0


def test_piece_that_is_not_worth_a_request_stays():
    assert share(MiB, 1e5, 5e3, 0.0) == 0  # it would be 49,933 bytes
    assert share(MiB, 1e5, 1e4, 0.0) == MiB - round(MiB / 1.1)


def test_equal_speeds_halve():
    assert share(100 * MiB, 1e7, 1e7, 0.0) == 50 * MiB


class Line:
    """A request under way in the little world below."""

    def __init__(self, flight, began):
        self.flight = flight
        self.began = began
        self.is_interrupted = False
        flight.interrupt = self.interrupt
        flight.begin(began)

    def interrupt(self):
        self.is_interrupted = True


def fetched(size, rates, latency, part_size=8 * MiB, most_seconds=120.0):
    """Seconds and requests until all is there; None when it never is. A slot has a rate in bytes a second.

    Time goes in steps; a free slot looks for work whenever a flight landed, and five times a second.
    """
    transfer = Transfer(size, part_size=part_size)
    lines, requests, now, step, look_at = {}, 0, 0.0, 0.01, 0.0
    while not transfer.is_complete:
        if now > most_seconds:
            return None
        if now >= look_at:
            look_at = now + 0.2
            for slot in range(len(rates)):
                if slot not in lines and (flight := transfer.claim() or transfer.claim_share(now)):
                    lines[slot] = Line(flight, now)
                    requests += 1
        now += step
        for slot, line in list(lines.items()):
            flight = line.flight
            if not line.is_interrupted and now - line.began >= latency:
                if flight.reach == flight.start:
                    transfer.note_latency(now - line.began)
                flight.receive(min(flight.remaining, int(rates[slot] * step)), now)
            if line.is_interrupted or not flight.remaining:
                flight.write(flight.reach, 0)
                transfer.land(flight, now)
                del lines[slot]
                look_at = now
    return now, requests


LATENCIES = [0.0, 0.02, 0.1, 0.25, 0.3, 0.6, 2.0]


@pytest.mark.parametrize("latency", LATENCIES)
def test_equal_connections_need_few_more_requests_than_parts(latency):
    ended = fetched(128 * MiB, [20 * MiB] * 8, latency)
    assert ended is not None
    assert ended[1] <= 16 + 8


@pytest.mark.parametrize("latency", LATENCIES)
@pytest.mark.parametrize("slow", [0, MiB // 4, 2 * MiB])
def test_slow_connection_does_not_decide_the_end_nor_cost_requests_without_end(latency, slow):
    ended = fetched(128 * MiB, [20 * MiB] * 7 + [slow], latency)
    assert ended is not None
    seconds, requests = ended
    assert requests <= 16 + 48
    assert seconds <= 3 + 8 * latency


def test_one_connection_after_another_is_not_robbed_while_it_waits_for_its_first_byte():
    transfer = Transfer(8 * MiB, part_size=4 * MiB)
    first, second = transfer.claim(), transfer.claim()
    assert first is not None
    assert second is not None
    first.begin(0.0)
    second.begin(0.0)
    first.receive(first.remaining, 0.3)
    first.write(first.stop, 0)
    transfer.land(first, 0.3)
    newcomer = transfer.claim_share(0.3)
    assert newcomer is not None
    assert second.remaining >= SHARE_LEAST  # it was not called slow


def test_what_never_got_going_changes_hands_once_only():
    transfer = Transfer(8 * MiB, part_size=4 * MiB)
    first, flight = transfer.claim(), transfer.claim()
    assert first is not None
    assert flight is not None
    first.begin(0.0)
    first.receive(first.remaining, 0.5)
    first.write(first.stop, 0)
    transfer.land(first, 0.5)
    flight.begin(0.0)
    woken = []
    flight.interrupt = lambda: woken.append(True)
    heir = transfer.claim_share(100.0)
    assert heir is not None
    assert (flight.remaining, heir.remaining) == (0, 4 * MiB)
    assert woken == [True]
    transfer.land(flight, 100.0)
    heir.begin(100.0)
    for now in (100.3, 101.0, 200.0, 1e6):
        transfer.claim_share(now)  # a part of it may go, never all of it
        assert heir.remaining >= SHARE_LEAST


def test_tail_that_is_not_to_be_shared_is_not():
    transfer = Transfer(8 * MiB, part_size=4 * MiB, tail_is_shared=False)
    first, second = transfer.claim(), transfer.claim()
    assert first is not None
    assert second is not None
    second.begin(0.0)
    first.begin(0.0)
    first.receive(first.remaining, 1.0)
    first.write(first.stop, 0)
    transfer.land(first, 1.0)
    assert not transfer.can_share(100.0)
    assert transfer.claim_share(100.0) is None
