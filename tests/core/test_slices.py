"""Slices of an object are Python's slices of its bytes."""

from hypothesis import given
from hypothesis import strategies as st

from aioss_resume._core.ranges import Range, Suffix
from aioss_resume._core.slices import Slice

OFFSETS = st.none() | st.integers(-30, 30) | st.integers(-(2**80), 2**80)
SIZES = st.integers(0, 25)


@given(OFFSETS, OFFSETS, st.none() | st.integers(0, 30), SIZES)
def test_slice_equals_a_slice_of_python(start: int | None, stop: int | None, most: int | None, size: int) -> None:
    whole = bytes(range(size))
    found = Slice(start, stop, most).of(size)
    assert whole[found.start : found.stop] == whole[start:stop][:most]
    assert 0 <= found.start <= found.stop


@given(OFFSETS, OFFSETS, st.none() | st.integers(0, 30), SIZES)
def test_slice_that_is_known_to_be_empty_is_empty(
    start: int | None, stop: int | None, most: int | None, size: int
) -> None:
    if Slice(start, stop, most).is_empty:
        assert bytes(size)[start:stop][:most] == b""


@given(OFFSETS, OFFSETS, st.none() | st.integers(0, 30), st.integers(1, 20), st.integers(1, 25))
def test_first_request_brings_the_first_bytes_and_no_more_than_asked(
    start: int | None, stop: int | None, most: int | None, length: int, size: int
) -> None:
    wanted = Slice(start, stop, most)
    if wanted.is_empty:
        return
    asked = wanted.first(length)
    asked.header()  # it can be sent
    found = wanted.of(size)
    if found.length:
        given_bytes = asked.within(size)
        assert given_bytes.start == found.start
        assert given_bytes.length >= 1
    if isinstance(asked, Range):
        assert asked.length <= length
        if stop is not None and stop >= 0:
            assert asked.stop <= stop or asked.start >= 2**62
        assert asked.stop <= 2**63


def test_suffix_needs_no_size() -> None:
    assert Slice(-8, None).first(100) == Suffix(8)
    assert Suffix(8).header() == "bytes=-8"
    assert Suffix(8).within(5) == Range(0, 5)
