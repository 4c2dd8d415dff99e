"""rules: what planning and bookkeeping cost for a 1 TiB object: pure _core code, no child, no network."""

import time
from collections.abc import Callable

from benchmarks.arena import Arena, Sample, say
from benchmarks.job import GiB, KiB
from benchmarks.scenarios import Benchmark, Column

SIZE = 1024 * GiB
Step = Callable[[], int]
"""Does one rule many times and says how often."""


def steps() -> dict[str, Step]:
    """What is timed. Each imports by itself: a module that is not there yet costs only its line."""
    return {"parse Content-Range": _parse, "join two CRCs": _join}
    # To come: plan, claim, split and join of _core.transfer; encode and decode of _core.checkpoint.


def _parse() -> int:
    from aioss_resume._core.ranges import parse_content_range

    for start in range(0, 20_000 * KiB, KiB):
        assert parse_content_range(f"bytes {start}-{start + KiB - 1}/{SIZE}")
    return 20_000


def _join() -> int:
    from aioss_resume._core.crc64 import join

    joined = 0
    for number in range(2_000):
        joined = join(joined, number, 16 * 1024 * KiB)
    return 2_000


def run(arena: Arena) -> list[Sample]:
    samples = []
    for number in range(arena.options.runs or 5):
        for name, step in steps().items():
            start = time.perf_counter()
            try:
                count = step()
            except ImportError as error:
                arena.skipped[f"rules: {name}"] = str(error)
                say(f"skipped {name}: {error}")
                continue
            seconds = (time.perf_counter() - start) / count
            samples.append(Sample(name, "aioss-resume", number, {"seconds": seconds}))
    return samples


BENCHMARK = Benchmark(
    "rules", "one step of each rule for an object of 1 TiB", (Column("seconds", "us", 1e-6),), (), run
)
