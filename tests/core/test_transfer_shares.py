"""The tail is shared out: by how much, how often, and that it comes to an end."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from simulated_network import fetch, steady

from aioss_resume._core.stragglers import SHARE_LEAST, share
from aioss_resume._core.transfer import Transfer

MiB = 1 << 20

speeds = st.floats(1.0, 1e10)
latencies = st.floats(0, 5)
lengths = st.integers(0, 1 << 40)


@given(lengths, st.just(0.0) | speeds, st.just(0.0) | speeds, latencies)
def test_share_is_nothing_everything_or_worth_a_request(remaining, speed, newcomer, latency):
    taken = share(remaining, speed, newcomer, latency)
    assert 0 <= taken <= remaining
    assert taken in (0, remaining) or min(taken, remaining - taken) >= SHARE_LEAST


@given(lengths, speeds, speeds, latencies)
def test_shared_flights_end_at_the_same_time(remaining, speed, newcomer, latency):
    taken = share(remaining, speed, newcomer, latency)
    if 0 < taken < remaining:
        old, new = (remaining - taken) / speed, latency + taken / newcomer
        assert old == pytest.approx(new, rel=1e-6, abs=1 / speed + 1 / newcomer)


@given(lengths, speeds, speeds, latencies)
def test_download_ends_sooner_with_a_shared_tail(remaining, speed, newcomer, latency):
    taken = share(remaining, speed, newcomer, latency)
    if taken:
        assert max((remaining - taken) / speed, latency + taken / newcomer) < remaining / speed


@given(st.integers(1, 1 << 40), speeds, latencies)
def test_stalled_flight_gives_away_all_it_has_left(remaining, newcomer, latency):
    assert share(remaining, 0.0, newcomer, latency) == remaining


@given(lengths, speeds, speeds, latencies)
def test_flight_that_is_nearly_complete_is_not_shared(remaining, speed, newcomer, latency):
    if remaining / speed <= max(0.05, 2 * latency):
        assert share(remaining, speed, newcomer, latency) == 0


def test_share_that_is_too_small_for_a_request_is_not_taken():
    assert share(MiB, 1e5, 5e3, 0.0) == 0  # it would be 49,933 bytes
    assert share(MiB, 1e5, 1e4, 0.0) == MiB - round(MiB / 1.1)


def test_flights_of_equal_speed_share_the_tail_in_halves():
    assert share(100 * MiB, 1e7, 1e7, 0.0) == 50 * MiB


def test_both_halves_may_have_the_least_size():
    assert share(2 * SHARE_LEAST, 1e5, 1e5, 0.0) == SHARE_LEAST


def test_flight_that_ends_within_a_tenth_of_a_second_is_not_shared():
    assert share(MiB, 10.0 * MiB, 10.0 * MiB, 0.0) == 0
    assert share(MiB, 9.0 * MiB, 9.0 * MiB, 0.0) == MiB // 2


def test_flight_that_ends_after_two_latencies_is_shared():
    assert share(2_000_000, 1e6, 1e9, 1.0) == 0
    assert share(2_500_000, 1e6, 1e9, 1.0) > 1_000_000


@pytest.mark.parametrize(("times", "taken"), [(3.5, 0), (4.0, 0), (4.5, 98_304), (1000.0, 98_304)])
def test_short_tail_is_taken_over_if_it_then_ends_four_times_sooner(times, taken):
    assert share(98_304, 65_536.0, 65_536.0 * times, 0.0) == taken


def test_short_tail_that_ends_within_a_quarter_of_a_second_is_not_taken_over():
    assert share(16_384, 65_536.0, 1e9, 0.0) == 0
    assert share(16_385, 65_536.0, 1e9, 0.0) == 16_385


def test_silent_flight_is_assumed_to_be_silent_as_long_again():
    assert share(1000, 1e6, 1e9, 0.0, silent=0.25) == 0
    assert share(1000, 1e6, 1e9, 0.0, silent=0.26) == 1000
    assert share(1000, 1e6, 1e9, 0.1, silent=0.39) == 0  # a new connection would not be four times sooner
    assert share(1000, 1e6, 1e9, 0.1, silent=0.41) == 1000


def test_shared_tail_accounts_for_latency():
    assert share(98_304, 65_536.0, 1e9, 0.7) == 98_304  # 1.5 s by itself
    assert share(98_304, 65_536.0, 1e9, 0.8) == 0


def took_off(transfer, now, most=None):
    flight = transfer.claim(most)
    assert flight is not None
    flight.begin(now)
    return flight


def landed(transfer, now, length, seconds):
    """A flight that got its `length` bytes in `seconds` and has landed: its speed is what a newcomer may expect."""
    flight = took_off(transfer, now - seconds, length)
    flight.receive(length, now)
    flight.write(flight.stop, 0)
    transfer.land(flight, now)


def test_speed_is_unknown_until_there_was_time_to_measure_it():
    flight = Transfer(8 * MiB, part_size=8 * MiB).claim()
    assert flight is not None
    assert flight.speed(5.0) is None
    flight.begin(5.0)
    flight.receive(1000, 5.01)
    assert flight.speed(5.0 + 1 / 128) is None
    assert flight.speed(5.5) == 2000


@pytest.mark.parametrize("now", [1.5, 2.0, 2.25, 3.0, 7.75, 30.0])
def test_speed_of_an_even_flow_is_the_same_at_any_moment(now):
    flight = took_off(Transfer(64 * MiB, part_size=64 * MiB), 1.0)
    for step in range(1, int((now - 1) * 8) + 1):
        flight.receive(MiB // 8, 1 + step / 8)
    assert flight.speed(now) == pytest.approx(MiB)


def test_speed_follows_the_received_bytes_quickly():
    flight = took_off(Transfer(64 * MiB, part_size=64 * MiB), 0.0)
    flight.receive(10 * MiB, 1.0)
    flight.receive(MiB, 2.0)
    flight.receive(MiB, 3.0)
    assert flight.speed(3.0) == pytest.approx(MiB)


def test_flight_that_got_going_and_waits_for_a_second_is_stalled():
    flight = took_off(Transfer(8 * MiB, part_size=8 * MiB), 0.0)
    flight.receive(SHARE_LEAST, 1.0)
    assert flight.speed(9.0) > 0  # nobody said that it waits: it may be writing
    flight.wait(9.0)
    flight.wait(9.5)  # it has waited since 9.0, not since 9.5
    assert flight.speed(9.75) > 0
    assert flight.speed(10.0) == 0.0
    flight.receive(1, 10.0)
    assert flight.speed(10.0) > 0


def test_next_attempt_without_an_answer_is_stalled_too():
    flight = took_off(Transfer(8 * MiB, part_size=8 * MiB), 0.0)
    flight.receive(SHARE_LEAST, 1.0)
    flight.write(SHARE_LEAST, 0)
    flight.begin(5.0)
    assert flight.speed(5.5) > 0
    assert flight.speed(6.0) == 0.0


def test_flight_is_not_judged_before_its_grace_ends_or_bytes_arrive():
    flight = Transfer(8 * MiB, part_size=8 * MiB).claim()
    assert flight is not None
    assert flight.is_young(1e9)  # no attempt began
    flight.begin(10.0)
    flight.begin(10.25)  # the first attempt's beginning counts
    assert flight.is_young(10.5)
    assert not flight.is_young(10.75)
    flight.receive(SHARE_LEAST, 10.25)
    assert not flight.is_young(10.25)


@pytest.mark.parametrize(("latency", "patience"), [(0.0, 0.5), (0.125, 0.5), (0.25, 1.0), (2.0, 8.0)])
def test_grace_is_four_latencies_and_at_least_half_a_second(latency, patience):
    transfer = Transfer(8 * MiB, part_size=8 * MiB)
    transfer.note_latency(latency)
    flight = took_off(transfer, 100.0)
    assert flight.is_young(100.0 + patience)
    assert not flight.is_young(100.1 + patience)


def test_latency_is_the_first_and_then_drifts_by_a_quarter():
    transfer = Transfer(8 * MiB, part_size=8 * MiB)
    assert transfer.latency == 0.0
    for noted, expected in [(0.4, 0.4), (0.8, 0.5), (0.5, 0.5), (0.1, 0.4)]:
        transfer.note_latency(noted)
        assert transfer.latency == pytest.approx(expected)


def test_flight_that_would_end_last_is_shared_whatever_its_place():
    transfer = Transfer(12 * MiB, part_size=4 * MiB)
    fast, slow, short = [took_off(transfer, 0.0) for _ in range(3)]
    fast.receive(2 * MiB, 1.0)
    slow.receive(MiB, 1.0)
    short.receive(4 * MiB - 100_000, 1.0)
    newcomer = transfer.claim_share(1.0)
    assert newcomer is not None
    assert newcomer.stop == 8 * MiB


def test_slow_flight_with_little_left_is_shared_before_a_fast_one_with_much():
    transfer = Transfer(34 * MiB, part_size=32 * MiB)
    fast, slow = took_off(transfer, 0.0), took_off(transfer, 0.0)
    fast.receive(8 * MiB, 1.0)
    slow.receive(MiB // 8, 1.0)
    newcomer = transfer.claim_share(1.0)
    assert newcomer is not None
    assert newcomer.stop == 34 * MiB


@pytest.mark.parametrize(
    "landings",
    [
        [1, 1, 1, 8],  # one that was lucky does not count
        [8] * 20 + [1] * 9,  # nor does what was long ago
    ],
)
def test_expected_speed_of_a_new_flight_is_the_recent_median(landings):
    transfer = Transfer(200 * MiB, part_size=200 * MiB)
    for now, speed in enumerate(landings, start=1):
        landed(transfer, now, speed * MiB, 1.0)
    now = len(landings) + 1.0
    flight = took_off(transfer, now - 1)
    flight.receive(MiB, now)
    remaining = flight.remaining
    newcomer = transfer.claim_share(now)
    assert newcomer is not None
    assert newcomer.remaining == remaining // 2


def test_last_byte_of_a_stalled_connection_is_taken_over():
    transfer = Transfer(4 * MiB, part_size=4 * MiB)
    flight = took_off(transfer, 0.0)
    flight.receive(flight.remaining - 1, 1.0)
    flight.wait(1.0)
    newcomer = transfer.claim_share(3.0)
    assert newcomer is not None
    assert (newcomer.start, newcomer.stop) == (4 * MiB - 1, 4 * MiB)
    assert transfer.claim_share(3.0) is None  # one byte is not worth another flight


def test_stalled_flight_is_taken_over_though_no_other_has_a_speed():
    transfer = Transfer(4 * MiB, part_size=4 * MiB)
    flight = took_off(transfer, 0.0)
    flight.receive(MiB, 0.005)
    flight.wait(0.005)
    newcomer = transfer.claim_share(2.0)
    assert newcomer is not None
    assert newcomer.stop - newcomer.start == 3 * MiB


def test_nothing_is_shared_before_anything_has_a_speed():
    transfer = Transfer(4 * MiB, part_size=4 * MiB)
    took_off(transfer, 0.0)
    assert not transfer.can_share(0.005)


def test_new_flight_with_a_share_may_count_as_slow_too():
    transfer = Transfer(MiB, part_size=MiB)
    landed(transfer, 16.0, MiB // 2, 16.0)
    flight = took_off(transfer, 15.0)
    flight.receive(MiB // 32, 16.0)  # as slow as the one that has ended, and still at its beginning
    newcomer = transfer.claim_share(16.0)
    assert newcomer is not None
    assert flight.remaining > 0
    newcomer.begin(16.0)
    assert not newcomer.is_young(17.0)


def test_nothing_is_shared_while_anything_waits_or_when_all_is_received():
    transfer = Transfer(8 * MiB, part_size=4 * MiB)
    flight = took_off(transfer, 0.0)
    flight.receive(MiB, 1.0)
    assert not transfer.can_share(1.0)
    other = took_off(transfer, 1.0)
    assert transfer.can_share(1.0)
    for each in (flight, other):
        each.receive(each.remaining, 2.0)
    assert not transfer.can_share(9.0)


LATENCIES = [0.0, 0.02, 0.1, 0.25, 0.3, 0.6, 2.0]


@pytest.mark.parametrize("latency", LATENCIES)
def test_equal_connections_need_few_more_requests_than_parts(latency):
    ended = fetch(128 * MiB, 8, lambda _number, _slot: steady(20 * MiB), part_size=8 * MiB, latency=latency)
    assert ended.requests <= 16 + 8


@pytest.mark.parametrize("latency", LATENCIES)
@pytest.mark.parametrize("slow", [0, MiB // 4, 2 * MiB])
def test_slow_connection_does_not_delay_the_end_and_costs_few_requests(latency, slow):
    def sender(_number, slot):
        return steady(slow if slot == 7 else 20 * MiB)

    ended = fetch(128 * MiB, 8, sender, part_size=8 * MiB, latency=latency)
    assert ended.requests <= 16 + 48
    assert ended.seconds <= 3 + 8 * latency


def test_new_flight_keeps_its_span_while_it_waits_for_its_first_byte():
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
    assert second.remaining >= SHARE_LEAST  # it did not count as slow, so it kept this


def test_flight_without_a_byte_is_taken_over_only_once():
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
    flight.on_shortened = lambda: woken.append(True)
    heir = transfer.claim_share(100.0)
    assert heir is not None
    assert (flight.remaining, heir.remaining) == (0, 4 * MiB)
    assert woken == [True]
    transfer.land(flight, 100.0)
    heir.begin(100.0)
    for now in (100.3, 101.0, 200.0, 1e6):
        transfer.claim_share(now)  # it may lose a part, but never all
        assert heir.remaining >= SHARE_LEAST


def test_tail_is_not_shared_if_sharing_is_off():
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
