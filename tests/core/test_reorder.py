"""Chunks in any order are handed out in order, each byte once; the horizon keeps to the window."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aioss_resume._core.readahead import FIRST_AHEAD, ReadAhead, choose_stream_part_size, is_worth_handing_out
from aioss_resume._core.reorder import Reorder

KiB = 1024
MiB = 1024 * KiB


@given(st.data(), st.integers(0, 1000))
def test_chunks_in_any_order_are_handed_out_in_order(data: st.DataObject, start: int) -> None:
    chunks = data.draw(st.lists(st.binary(min_size=1, max_size=9), max_size=12))
    whole = b"".join(chunks)
    placed, offset = [], start
    for chunk in chunks:
        placed.append((offset, chunk))
        offset += len(chunk)
    reorder, found = Reorder(start), b""
    for at, chunk in data.draw(st.permutations(placed)):
        reorder.add(at, chunk)
        while reorder.has_next and data.draw(st.booleans()):
            stop = reorder.next_stop()
            found += reorder.take()
            assert reorder.offset == stop == start + len(found)
        assert reorder.kept == sum(len(c) for a, c in placed if a >= reorder.offset and a in reorder._chunks)
    while reorder.has_next:
        found += reorder.take()
    assert found == whole
    assert reorder.kept == 0


WINDOWS = st.integers(256 * 1024, 128 * MiB)


@given(st.data(), WINDOWS, st.integers(0, 2**40), st.integers(1, 2**31))
def test_horizon_stays_within_the_window_and_never_decreases(
    data: st.DataObject, window: int, start: int, length: int
) -> None:
    stop = start + length
    part = choose_stream_part_size(window)
    first = min(FIRST_AHEAD, window)
    ahead = ReadAhead(start, stop, window=window, part_size=part, first=first)
    taken = start
    assert ahead.horizon == min(start + first, stop)
    for _ in range(20):
        before = ahead.horizon
        taken = data.draw(st.integers(taken, ahead.horizon))
        moved = ahead.advance(taken)
        assert moved == (ahead.horizon > before)
        assert before <= ahead.horizon <= min(stop, max(taken + window, before))
        assert ahead.horizon == stop or (ahead.horizon - start - first) % part == 0


@given(WINDOWS, st.integers(1, 2**31))
def test_reader_that_takes_everything_gets_everything(window: int, length: int) -> None:
    """The horizon never stops short of the end: whoever has taken all below it can go on."""
    part = choose_stream_part_size(window)
    first = min(FIRST_AHEAD, window)
    ahead = ReadAhead(0, length, window=window, part_size=part, first=first)
    for _ in range(length // part + 2):
        if ahead.horizon == length:
            break
        assert ahead.advance(ahead.horizon)
    assert ahead.horizon == length


def test_reader_that_leaves_at_once_costs_little() -> None:
    ahead = ReadAhead(0, 10**10, window=64 * MiB, part_size=4 * MiB, first=FIRST_AHEAD)
    ahead.advance(128 * 1024)
    assert ahead.horizon <= 2 * FIRST_AHEAD


def test_first_bytes_are_handed_out_at_once() -> None:
    assert is_worth_handing_out(1, 0.0, is_first=True)
    assert not is_worth_handing_out(1, 0.0, is_first=False)
    assert is_worth_handing_out(256 * 1024, 0.0, is_first=False)
    assert is_worth_handing_out(1, 0.01, is_first=False)


@pytest.mark.parametrize(
    ("window", "part"),
    [
        (64 * KiB, 64 * KiB),
        (1 * MiB, 256 * KiB),
        (4 * MiB, 512 * KiB),
        (8 * MiB, 1 * MiB),
        (16 * MiB, 1 * MiB),
        (64 * MiB, 4 * MiB),
        (1024 * MiB, 8 * MiB),
    ],
)
def test_parts_are_a_sixteenth_of_a_window_and_an_eighth_of_a_small_one(window: int, part: int) -> None:
    assert choose_stream_part_size(window) == part
