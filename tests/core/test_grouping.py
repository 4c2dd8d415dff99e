"""How a cluster shares out the objects of a prefix, and its limits."""

import pytest
from core.simulated_cluster import Cluster, simulate
from hypothesis import given
from hypothesis import strategies as st

from aioss_resume._core.grouping import (
    GROUP_BYTES,
    GROUP_BYTES_LEAST,
    GROUP_OBJECTS,
    GROUP_OBJECTS_LEAST,
    Allowance,
    Budget,
    Groups,
    ranges_of,
)
from aioss_resume.options import KiB


@given(st.lists(st.tuples(st.integers(0, 2 * GROUP_BYTES), st.floats(0, 1e4)), max_size=300))
def test_groups_are_bounded_and_full(sizes):
    groups, group = Groups(), []
    for size, seconds in sizes:
        group.append(size)
        objects, length = groups.objects_most, groups.bytes_most
        if groups.is_full_with(size):
            assert len(group) >= objects or sum(group) >= length
            assert len(group) == 1 or sum(group[:-1]) < GROUP_BYTES
            groups.note(len(group), sum(group), seconds)
            group = []
        assert GROUP_BYTES_LEAST <= groups.bytes_most <= GROUP_BYTES
        assert GROUP_OBJECTS_LEAST <= groups.objects_most <= GROUP_OBJECTS
    assert len(group) < GROUP_OBJECTS


def test_group_size_adapts_to_the_time_that_groups_take():
    slow, quick = Groups(), Groups()
    for _ in range(100):
        slow.note(25, 16 << 20, 60)
        quick.note(25, 16 << 20, 0.5)
    assert (slow.bytes_most // KiB, slow.objects_most) == (GROUP_BYTES_LEAST // KiB, GROUP_OBJECTS_LEAST)
    assert quick.bytes_most > 0.99 * GROUP_BYTES
    assert quick.objects_most >= GROUP_OBJECTS - 1
    assert slow.is_split(33 << 20)
    assert not quick.is_split(256 << 20)


@given(
    st.integers(1, 100),
    st.one_of(st.none(), st.floats(1, 1e9)),
    st.lists(st.tuples(st.booleans(), st.integers(0, 60)), max_size=80),
)
def test_allowances_never_exceed_the_limits_when_workers_join_or_leave(requests, rate, steps):
    budget, taken = Budget(requests, rate), list[Allowance]()
    for takes, threads in steps:
        if takes:
            allowance = budget.take(threads)
            if allowance is not None:
                assert allowance.requests >= 1
                taken.append(allowance)
            else:
                assert taken
        elif taken:
            budget.give_back(taken.pop(threads % len(taken)))
        assert sum(allowance.requests for allowance in taken) <= requests
        if rate is not None:
            assert sum(allowance.bytes_per_second or 0 for allowance in taken) <= rate * (1 + 1e-9)


def test_every_thread_has_a_group_and_all_of_the_limit_is_used():
    budget = Budget(32, None)
    assert [budget.take(4) for _ in range(5)] == [*[Allowance(8, None)] * 4, None]
    budget = Budget(3, 300)
    assert [budget.take(10) for _ in range(4)] == [*[Allowance(1, 100)] * 3, None]


@given(st.integers(0, 5 * GROUP_BYTES), st.lists(st.tuples(st.integers(0, 2**29), st.integers(1, 2**27)), max_size=6))
def test_ranges_cover_exactly_the_missing_bytes(size, gaps):
    done, at = [], 0
    for gap, length in gaps:
        start, at = at + gap, at + gap + length
        if at > size:
            break
        done.append((start, at))
    ranges = [tuple(range_) for range_ in ranges_of(size, done, GROUP_BYTES)]
    assert all(0 < stop - start <= GROUP_BYTES for start, stop in ranges)
    covered = sorted([*ranges, *done])
    assert [start for start, _ in covered] == [0, *(stop for _, stop in covered)][: len(covered)]
    assert not size or covered[-1][1] == size


@pytest.mark.parametrize("cluster", [Cluster(objects=500_000), Cluster(objects=20_000, workers=3, slow=0, dying=0)])
def test_simulated_large_cluster_nearly_reaches_the_limits_of_the_account(cluster):
    outcome = simulate(cluster)
    assert outcome.most_used <= 4 * cluster.workers
    assert outcome.most_groups <= cluster.workers
    # Half a million objects are over in minutes, so the last groups of the slow workers weigh more than in a long job.
    assert outcome.efficiency > (0.5 if cluster.workers == 1000 else 0.95)
