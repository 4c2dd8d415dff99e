"""small: thousands of small objects, 16 at a time; what an object costs besides its bytes."""

from benchmarks.arena import Arena, Case, Sample, transfer
from benchmarks.contestants import Contestant
from benchmarks.job import Job, KiB
from benchmarks.measure import Figures
from benchmarks.scenarios import CPU, RSS, SECONDS, WIRE, Benchmark, Column
from benchmarks.server import Nginx

EVERYONE = (
    "aioss-resume",
    "aioss-resume/uvloop",
    "aioss-resume/fsync",
    "aioss-resume/synced",
    "oss2",
    "oss-v2/async",
    "aiooss2",
    "obstore",
    "pypdl",
    "aria2c",
    "curl",
    "rclone",
)
SIZES = ((100 * KiB, 2000), (4 * KiB, 20_000))
BYTES = sum(size * count for size, count in SIZES)


def run(arena: Arena) -> list[Sample]:
    """`--size` is the bytes of both cases together: it makes them fewer, not smaller."""
    options, server, cases = arena.options, Nginx(arena.folder / "server"), []
    share = min(1.0, (options.size or BYTES) / BYTES)
    for size, count in SIZES:
        stored = server.put(f"small-{size}", size)
        fewer = max(16, int(count * share))
        job = Job(server.endpoint(), "", stored.prefix, size, count=fewer, concurrency=options.concurrency or 16)
        cases.append(Case(f"{fewer} x {size // KiB} KiB", job, EVERYONE))

    def play(_case: Case, who: Contestant, job: Job, _run: int) -> Figures:
        figures = transfer(server, who, job)
        return {**figures, "per_second": job.count / figures["seconds"]}

    with server:
        return arena.compete(cases, 3, play)


BENCHMARK = Benchmark(
    "small",
    "many small objects, 16 at a time",
    (SECONDS, Column("per_second", "objects/s", digits=0), CPU, RSS, WIRE),
    ("oss2", "oss-v2/async", "obstore"),
    run,
)
