"""memory: peak RSS against the object's size and the ranges in flight. Each run is killed after a while.

The objects are sparse files of zeros, so that 1 TiB takes no space; what is written is deleted with the run. Whoever
asks first whether there is room (we do) is told so by a tmpfs of 2 TiB, of which two seconds' worth is really filled.
"""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from benchmarks.clients import Client
from benchmarks.job import GiB, Job
from benchmarks.measure import Figures, RunFailedError, measure
from benchmarks.scenarios import PEAK, WIRE, Benchmark, Column
from benchmarks.scenarios import RSS as ABOVE
from benchmarks.server import Nginx
from benchmarks.testbed import Case, Sample, Testbed, say

CLIENTS = (
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
ROOM = "2t"


def run(testbed: Testbed) -> list[Sample]:
    """`--size` replaces all sizes, `--concurrency` all ranges in flight."""
    with _roomy(testbed.folder / "room") as reason:
        if reason:
            say(f"sizes above the free space are skipped: {reason}")
        return _compete(testbed, testbed.folder / "room", reason)


def _compete(testbed: Testbed, room: Path, reason: str | None) -> list[Sample]:
    options, server, cases = testbed.options, Nginx(testbed.folder / "server"), {}
    for gibibytes, ranges in (*BY_SIZE, *BY_CONCURRENCY):
        size = options.size or gibibytes * GiB
        if reason and size > shutil.disk_usage(room).free:
            testbed.skipped[f"{size / GiB:g} GiB"] = reason
            continue
        concurrency = options.concurrency or ranges
        stored = server.put(f"memory-{size}", size, sparse=True)
        job = Job(server.endpoint(), "", stored.prefix, size, concurrency=concurrency)
        name = f"{size / GiB:g} GiB, {concurrency} in flight"
        cases[name] = Case(name, job, CLIENTS)

    def run_once(_case: Case, who: Client, job: Job, _run: int) -> Figures:
        directory = room / "files"
        directory.mkdir()
        server.wire()
        try:
            job = replace(job, directory=str(directory))
            figures = measure(who, job, stop=lambda begun: time.monotonic() - begun > LONG_ENOUGH)
        finally:
            shutil.rmtree(directory)
        if job.size > GiB and not figures.get("killed"):
            raise RunFailedError("it ended by itself: what it held says nothing")
        return {**figures, "wire": server.wire()[0]}

    with server:
        return testbed.run_all(cases.values(), 1, run_once)


@contextmanager
def _roomy(folder: Path) -> Iterator[str | None]:
    """The folder as a tmpfs with room for each object, or as it is, and then the reason why."""
    folder.mkdir()
    if os.geteuid() != 0:
        yield "only root can mount a tmpfs that has room for them"
        return
    argv = ["mount", "-t", "tmpfs", "-o", f"size={ROOM},mode=700", "aioss-bench", str(folder)]
    tried = subprocess.run(argv, capture_output=True, text=True, check=False)
    if tried.returncode:
        yield f"a tmpfs that has room for them could not be mounted: {tried.stderr.strip()}"
        return
    try:
        yield None
    finally:
        subprocess.run(["umount", str(folder)], check=True)


BENCHMARK = Benchmark(
    "memory",
    "parts of 16 MiB, the first two seconds; above: more than the process that had imported everything",
    (ABOVE, PEAK, Column("rss_before", "RSS at start MiB", 1024 * 1024, 1), WIRE),
    ("oss2", "obstore"),
    run,
)
