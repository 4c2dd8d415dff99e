"""small: thousands of small objects, 16 at a time; what an object costs besides its bytes."""

from benchmarks.clients import Client
from benchmarks.job import Job, KiB
from benchmarks.measure import Figures
from benchmarks.scenarios import CPU, RSS, SECONDS, WIRE, Benchmark, Column
from benchmarks.server import Nginx
from benchmarks.testbed import Case, Sample, Testbed, transfer

CLIENTS = (
    "aioss-resume",
    "aioss-resume/uvloop",
    "aioss-resume/fsync",
    "aioss-resume/synced",
    "oss2",
    "oss-v2/async",
    "aiooss2",
    "obstore",
    "opendal",
    "pypdl",
    "aria2c",
    "curl",
    "rclone",
)
SIZES = ((100 * KiB, 2000), (4 * KiB, 20_000))
BYTES = sum(size * count for size, count in SIZES)


def run(testbed: Testbed) -> list[Sample]:
    """`--size` is the bytes of both cases together: it makes them fewer, not smaller."""
    options, server, cases = testbed.options, Nginx(testbed.folder / "server"), []
    share = min(1.0, (options.size or BYTES) / BYTES)
    for size, count in SIZES:
        stored = server.put(f"small-{size}", size)
        fewer = max(16, int(count * share))
        job = Job(server.endpoint(), "", stored.prefix, size, count=fewer, concurrency=options.concurrency or 16)
        cases.append(Case(f"{fewer} x {size // KiB} KiB", job, CLIENTS))

    def run_once(_case: Case, who: Client, job: Job, _run: int) -> Figures:
        figures = transfer(server, who, job)
        return {**figures, "per_second": job.count / figures["seconds"]}

    with server:
        return testbed.run_all(cases, 3, run_once)


BENCHMARK = Benchmark(
    "small",
    "many small objects, 16 at a time",
    (SECONDS, Column("per_second", "objects/s", digits=0), CPU, RSS, WIRE),
    ("oss2", "oss-v2/async", "obstore", "opendal"),
    run,
)
