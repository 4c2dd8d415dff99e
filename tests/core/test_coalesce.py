"""Ranges merged into requests cover what was asked for, and nothing twice."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from aioss_resume._core.coalesce import merged, overlapping
from aioss_resume._core.ranges import Range

RANGES = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 9)).map(lambda pair: Range(pair[0], sum(pair))))


@given(RANGES, st.integers(0, 12))
def test_merged_ranges_cover_each_byte_once_and_keep_their_distance(ranges: list[Range], max_gap: int) -> None:
    found = merged(ranges, max_gap)
    assert all(range_.length > 0 for range_ in found)
    assert all(after.start - before.stop > max_gap for before, after in itertools.pairwise(found))
    asked = {offset for range_ in ranges for offset in range(*range_)}
    covered = {offset for range_ in found for offset in range(*range_)}
    assert asked <= covered
    for offset in covered - asked:  # within a gap that is small enough
        before = max(each for each in asked if each < offset)
        after = min(each for each in asked if each > offset)
        assert after - before - 1 <= max_gap


@given(RANGES)
def test_merging_without_a_gap_covers_only_requested_bytes(ranges: list[Range]) -> None:
    asked = {offset for range_ in ranges for offset in range(*range_)}
    assert {offset for range_ in merged(ranges, 0) for offset in range(*range_)} == asked


@given(RANGES, st.integers(0, 60), st.integers(1, 9))
def test_overlapping_finds_all_and_only_those_with_common_bytes(ranges: list[Range], start: int, length: int) -> None:
    islands = merged(ranges, 0)
    wanted = Range(start, start + length)
    expected = [at for at, each in enumerate(islands) if each.start < wanted.stop and wanted.start < each.stop]
    assert overlapping(islands, wanted) == expected
