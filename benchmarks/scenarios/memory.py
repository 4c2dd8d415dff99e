"""memory: peak RSS against the object's size and the ranges in flight. Each run is killed after a while.

The objects are sparse files of zeros, so that 1 TiB takes no space; what is written is deleted with the run.
"""

import time

from benchmarks.arena import Arena, Case, Sample
from benchmarks.contestants import Contestant
from benchmarks.job import GiB, Job
from benchmarks.measure import Figures, measure
from benchmarks.scenarios import PEAK, Benchmark, Column
from benchmarks.scenarios import RSS as ABOVE
from benchmarks.server import Nginx

EVERYONE = (
    "aioss-resume",
    "aioss-resume/uvloop",
    "oss2",
    "oss-v2",
    "aiooss2",
    "obstore",
    "pypdl",
    "aria2c",
)
BY_SIZE = ((1, 8), (64, 8), (1024, 8))
BY_CONCURRENCY = ((64, 1), (64, 32))
LONG_ENOUGH = 2.0
"""Seconds of transfer: buffers are full long before, and no folder on a tmpfs fills up."""


def run(arena: Arena) -> list[Sample]:
    """`--size` replaces all sizes, `--concurrency` all ranges in flight."""
    options, server, cases = arena.options, Nginx(arena.folder / "server"), {}
    for gibibytes, ranges in (*BY_SIZE, *BY_CONCURRENCY):
        size = options.size or gibibytes * GiB
        concurrency = options.concurrency or ranges
        stored = server.put(f"memory-{size}", size, sparse=True)
        job = Job(server.endpoint(), "", stored.prefix, size, concurrency=concurrency)
        name = f"{size / GiB:g} GiB, {concurrency} in flight"
        cases[name] = Case(name, job, EVERYONE)

    def play(_case: Case, who: Contestant, job: Job, _run: int) -> Figures:
        server.wire()
        figures = measure(who, job, stop=lambda begun: time.monotonic() - begun > LONG_ENOUGH)
        return {**figures, "wire": server.wire()[0]}

    with server:
        return arena.compete(cases.values(), 1, play)


BENCHMARK = Benchmark(
    "memory",
    "parts of 16 MiB, the first two seconds; above: more than the process that had imported everything",
    (ABOVE, PEAK, Column("rss_before", "RSS at start MiB", 1024 * 1024, 1)),
    ("oss2", "obstore"),
    run,
)
