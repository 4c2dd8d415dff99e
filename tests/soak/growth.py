"""What grows: samples of a process at rest, and a judgement of them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from aioss_resume.testing import MiB

_LEAK_PER_HOUR = MiB
_NOISE = 4 * MiB  # allowed in a short run, in which the allocator's arenas still grow
_NOISE_SECONDS = 120.0  # if the second half of a run takes longer, less noise is allowed


@dataclass(frozen=True, slots=True)
class Sample:
    """What a process held when it was at rest; `time` in seconds, `memory` in bytes."""

    time: float
    memory: int
    sockets: int
    files: int
    threads: int
    tasks: int


def slope(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """The slope of a line through the points, by least squares, and its standard error."""
    count = len(points)
    x_mean, y_mean = (sum(values) / count for values in zip(*points, strict=True))
    spread = sum((x - x_mean) ** 2 for x, _ in points)
    if count < 3 or not spread:
        return 0.0, math.inf
    rise = sum((x - x_mean) * (y - y_mean) for x, y in points) / spread
    misses = sum((y - y_mean - rise * (x - x_mean)) ** 2 for x, y in points)
    return rise, math.sqrt(misses / (count - 2) / spread)


def memory_growth(samples: Sequence[Sample]) -> tuple[float, bool]:
    """Bytes an hour over the second half, and whether that is a leak.

    It is one when the slope, less twice its standard error, is above 1 MiB an hour and what a short run may need.
    """
    half = [sample for sample in samples if sample.time >= (samples[0].time + samples[-1].time) / 2]
    rise, error = slope([(sample.time, sample.memory) for sample in half])
    if math.isinf(error):
        return 0.0, False
    seconds = half[-1].time - half[0].time
    noise = _NOISE * min(1.0, _NOISE_SECONDS / seconds)
    permitted = _LEAK_PER_HOUR / 3600 + noise / seconds
    return rise * 3600, rise - 2 * error > permitted


def growing(samples: Sequence[Sample], *, sockets: int, threads: int) -> list[str]:
    """What is more, at rest, than there may ever be.

    Args:
        sockets: Connections that may be kept for the next requests.
        threads: Of the pool.
    """
    found = []
    first, last = samples[0], samples[-1]
    # The first sample is taken after a whole round, when all that lasts exists, except for connections and threads.
    least = min(sample.sockets for sample in samples)
    if last.sockets > least + sockets:
        found.append(f"sockets: {least} at least, {last.sockets} in the end")
    if last.files > first.files:
        found.append(f"descriptors of files: {first.files} at first, {last.files} in the end")
    if last.threads > threads:
        found.append(f"threads: {last.threads} in the end, {threads} at most")
    if last.tasks > 1:
        found.append(f"tasks: {last.tasks} in the end, when nothing runs but the main one")
    rise, is_leak = memory_growth(samples)
    if is_leak:
        found.append(f"memory: {rise / MiB:.1f} MiB an hour over the second half")
    return found
