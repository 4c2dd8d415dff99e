"""A cluster that downloads a prefix, in simulated time: the rules of grouping and of the limits at a size that no test
machine has.

    python tests/core/simulated_cluster.py --objects 10000000

Each worker has one thread. A worker that is slow does a tenth of its part of the account's limits, also while others
could use more. A worker that dies loses its group, which another one does again.
"""

import argparse
import heapq
import random
from collections.abc import Iterator
from dataclasses import dataclass

from aioss_resume._core.grouping import Allowance, Budget, Groups, ranges_of


@dataclass(frozen=True)
class Cluster:
    """What the cluster, the account and the objects are.

    Attributes:
        bytes_per_second, requests_per_second: The account's limits.
        slow, dying: Fractions of the workers.
    """

    workers: int = 1000
    objects: int = 10_000_000
    bytes_per_second: float = 10e9 / 8
    requests_per_second: float = 10_000
    slow: float = 0.01
    dying: float = 0.001
    seed: int = 1


@dataclass(frozen=True)
class Outcome:
    """How it went.

    Attributes:
        seconds: Until the last object was there.
        ideal: Seconds that the account's limits alone would take.
        most_used: Most requests in flight of all groups together.
        most_groups: Most groups that the scheduler knew of at the same time.
    """

    seconds: float
    ideal: float
    groups: int
    most_used: int
    most_groups: int

    @property
    def efficiency(self) -> float:
        return self.ideal / self.seconds


def sizes(cluster: Cluster) -> Iterator[int]:
    """Sizes of many small objects and few large ones: a median of 100 KB, a mean of 740 KB."""
    dice = random.Random(cluster.seed)
    for _ in range(cluster.objects):
        yield int(dice.lognormvariate(11.5, 2.0))


def groups_of(cluster: Cluster, groups: Groups) -> Iterator[tuple[int, int]]:
    """Objects and bytes of each group; a range of an object that is split counts as no object, but for the first."""
    count = length = 0
    for size in sizes(cluster):
        if groups.is_split(size):
            for number, range_ in enumerate(ranges_of(size, [], groups.bytes_most)):
                yield (0 if number else 1), range_.length
            continue
        count, length = count + 1, length + size
        if groups.is_full_with(size):
            yield count, length
            count = length = 0
    if count:
        yield count, length


def simulate(cluster: Cluster) -> Outcome:
    dice = random.Random(cluster.seed)
    limit = 4 * cluster.workers
    budget, groups = Budget(limit, cluster.bytes_per_second), Groups()
    slow = {worker for worker in range(cluster.workers) if dice.random() < cluster.slow}
    dying = {worker for worker in range(cluster.workers) if dice.random() < cluster.dying}
    free = list(range(cluster.workers))
    ends: list[tuple[float, int, int, tuple[int, int], Allowance, float]] = []
    waiting, again = groups_of(cluster, groups), list[tuple[int, int]]()
    now, total_bytes, total_objects, started, used, most_used, most_groups = 0.0, 0, 0, 0, 0, 0, 0
    while True:
        while free and (allowance := budget.take(len(free) + len(ends))) is not None:
            group = again.pop() if again else next(waiting, None)
            if group is None:
                budget.give_back(allowance)
                break
            worker = free.pop()
            part = allowance.requests / limit * (0.1 if worker in slow else 1.0)
            seconds = max(
                group[1] / (cluster.bytes_per_second * part),
                max(group[0], 1) / (cluster.requests_per_second * part),
            )
            started, used = started + 1, used + allowance.requests
            heapq.heappush(ends, (now + seconds, started, worker, group, allowance, seconds))
            most_used, most_groups = max(most_used, used), max(most_groups, len(ends))
        if not ends:
            break
        now, _, worker, group, allowance, seconds = heapq.heappop(ends)
        budget.give_back(allowance)
        used -= allowance.requests
        if worker in dying:
            dying.discard(worker)
            again.append(group)
            continue
        free.append(worker)
        groups.note(*group, seconds)
        total_objects, total_bytes = total_objects + group[0], total_bytes + group[1]
    assert total_objects == cluster.objects
    ideal = max(total_bytes / cluster.bytes_per_second, total_objects / cluster.requests_per_second)
    return Outcome(now, ideal, started, most_used, most_groups)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--objects", type=int, default=Cluster.objects)
    parser.add_argument("--workers", type=int, default=Cluster.workers)
    arguments = parser.parse_args()
    outcome = simulate(Cluster(workers=arguments.workers, objects=arguments.objects))
    print(
        f"{outcome.groups} groups, {outcome.seconds:.0f} s, ideal {outcome.ideal:.0f} s: {outcome.efficiency:.3f} of it"
    )
    print(f"at most {outcome.most_used} requests in flight, and {outcome.most_groups} groups known to the scheduler")
