"""The rate is kept over any history, and no wait is longer than it has to be."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aioss_resume._core.pacing import _BURST_SECONDS, Pacer

histories = st.lists(st.tuples(st.integers(0, 1 << 24), st.floats(0, 5)), min_size=1, max_size=40)


def drawn(rate, steps, began=1000.0):
    """(when it was drawn, when its drawer goes on, length) of each; the steps are lengths and pauses."""
    pacer, now, found = Pacer(rate, began), began, []
    for length, pause in steps:
        now += pause
        found.append((now, now + pacer.draw(length, now), length))
    return found


@given(st.floats(1.0, 1e9), histories, st.data())
def test_rate_is_kept_within_the_burst_over_any_stretch(rate, steps, data):
    history = drawn(rate, steps)
    first = data.draw(st.integers(0, len(history) - 1))
    last = data.draw(st.integers(first, len(history) - 1))
    brought = sum(length for _, _, length in history[first : last + 1])
    seconds = history[last][1] - history[first][0] + _BURST_SECONDS
    assert brought <= rate * seconds * (1 + 1e-6) + 1e-6 * rate


@given(st.floats(1.0, 1e9), histories)
def test_wait_is_at_most_the_cost_of_everything_drawn(rate, steps):
    brought = 0
    for began, goes_on, length in drawn(rate, steps):
        brought += length
        assert 0 <= goes_on - began <= brought / rate * (1 + 1e-9) + 1e-6


def test_steady_drawing_gets_the_whole_rate():
    pacer, now = Pacer(1000.0, 0.0), 0.0
    for _ in range(500):
        now += pacer.draw(100, now)
    assert now == pytest.approx(50.0 - _BURST_SECONDS)


def test_idle_time_is_saved_up_for_one_burst_only():
    pacer = Pacer(1000.0, 0.0)
    assert pacer.draw(int(1000 * _BURST_SECONDS), 1e6) == 0.0
    assert pacer.draw(1000, 1e6) == pytest.approx(1.0)


@given(st.floats(1.0, 1e9), st.floats(1.0, 1e9), st.integers(1, 1 << 24), st.floats(0, 5))
def test_changed_rate_applies_to_bytes_that_were_drawn_already(before, after, length, pause):
    pacer = Pacer(before, 0.0)
    wait = pacer.draw(length, 0.0)
    now = min(pause, wait)
    pacer.change(after, now)
    assert pacer.wait(now) == pytest.approx((wait - now) * before / after, rel=1e-6, abs=1e-6)


def test_rate_can_be_removed_and_set_again():
    pacer = Pacer(1000.0, 0.0)
    assert pacer.draw(10_000, 0.0) > 9
    pacer.change(None, 1.0)
    assert pacer.wait(1.0) == 0.0
    assert pacer.draw(10**9, 1.0) == 0.0
    pacer.change(100.0, 2.0)
    assert pacer.draw(100, 2.0) == pytest.approx(1.0)
