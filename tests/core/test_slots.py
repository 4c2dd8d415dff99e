"""Slots: first come, first served, never more than the limit."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aioss_resume._core.slots import Slots


def nothing():
    pass


@given(st.integers(1, 5), st.lists(st.none() | st.integers(0, 30), max_size=80))
def test_slots_are_granted_in_order_and_never_beyond_the_limit(limit, steps):
    """A step is None, to ask, or the number of the asker that ends."""
    slots = Slots(limit)
    asked, ended, woken = [], set(), []
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


def test_giving_back_twice_frees_one_slot():
    slots = Slots(1)
    first, second, third = slots.request(nothing), slots.request(nothing), slots.request(nothing)
    first.release()
    first.release()
    assert (second.granted, third.granted, slots.taken) == (True, False, 1)


def test_asker_that_gave_up_is_passed_over():
    slots = Slots(1)
    first, second, third = slots.request(nothing), slots.request(nothing), slots.request(nothing)
    second.release()
    first.release()
    assert (second.granted, third.granted) == (False, True)


@pytest.mark.parametrize("limit", [1, 2, 7])
def test_two_that_ask_one_at_a_time_get_equal_shares(limit):
    slots, turns = Slots(limit), {"large": 0, "small": 0}
    open_ = [(who, slots.request(nothing)) for who in ["large"] * limit + ["small"]]
    asked = {"large": slots.request(nothing), "small": open_.pop()[1]}
    for _ in range(200):
        open_.pop(0)[1].release()
        (who,) = [who for who, slot in asked.items() if slot.granted]
        turns[who] += 1
        open_.append((who, asked[who]))
        asked[who] = slots.request(nothing)
    assert turns == {"large": 100, "small": 100}


def test_slot_may_be_given_back_as_soon_as_it_is_granted():
    slots, ended = Slots(1), []
    first = slots.request(nothing)
    queue = []
    for number in range(50):
        queue.append(slots.request(lambda number=number: (ended.append(number), queue[number].release())))
    first.release()
    assert ended == list(range(50))
    assert slots.taken == 0
