"""prefix: a prefix of very small objects into a directory, with its manifest, beside a batch that has the keys."""

from benchmarks.clients import Client
from benchmarks.job import Job, KiB
from benchmarks.measure import Figures
from benchmarks.scenarios import CPU, RSS, SECONDS, Benchmark, Column
from benchmarks.server import Nginx
from benchmarks.testbed import Case, Sample, Testbed, transfer

CLIENTS = ("many/prefix", "many/prefix-uvloop", "many/aioss-resume", "many/aioss-resume-uvloop")
SIZE, COUNT = 4 * KiB, 20_000


def run(testbed: Testbed) -> list[Sample]:
    options, server = testbed.options, Nginx(testbed.folder / "server")
    stored = server.put("prefix", SIZE)
    job = Job(server.endpoint(), "", "prefix", SIZE, count=options.size or COUNT, concurrency=options.concurrency or 16)
    server.list_as(stored, job.count)

    def run_once(_case: Case, who: Client, job: Job, _run: int) -> Figures:
        figures = transfer(server, who, job)
        return {**figures, "per_second": job.count / figures["seconds"]}

    with server:
        return testbed.run_all([Case(f"{job.count} x {stored.size // KiB} KiB", job, CLIENTS)], 3, run_once)


BENCHMARK = Benchmark(
    "prefix",
    "16 requests in flight, no fsync",
    (SECONDS, Column("per_second", "objects/s", digits=0), CPU, RSS),
    ("many/aioss-resume", "many/aioss-resume-uvloop"),
    run,
)
