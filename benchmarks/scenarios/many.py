"""many: small objects through one batch, beside tasks that call download()."""

from benchmarks.clients import Client
from benchmarks.job import Job, KiB
from benchmarks.measure import Figures
from benchmarks.scenarios import CPU, RSS, SECONDS, WIRE, Benchmark, Column
from benchmarks.server import Nginx
from benchmarks.testbed import Case, Sample, Testbed, transfer

CLIENTS = ("many/aioss-resume", "many/aioss-resume-uvloop", "aioss-resume", "aioss-resume/uvloop", "obstore")
SIZE, COUNT = 100 * KiB, 2000


def run(testbed: Testbed) -> list[Sample]:
    options, server = testbed.options, Nginx(testbed.folder / "server")
    stored = server.put("many", SIZE)
    job = Job(server.endpoint(), "", "many", SIZE, count=options.size or COUNT, concurrency=options.concurrency or 16)

    def run_once(_case: Case, who: Client, job: Job, _run: int) -> Figures:
        figures = transfer(server, who, job)
        return {**figures, "per_second": job.count / figures["seconds"]}

    with server:
        return testbed.run_all([Case(f"{job.count} x {stored.size // KiB} KiB", job, CLIENTS)], 5, run_once)


BENCHMARK = Benchmark(
    "many",
    "16 requests in flight; `aioss-resume` is 16 tasks that call download()",
    (SECONDS, Column("per_second", "objects/s", digits=0), CPU, RSS, WIRE),
    ("aioss-resume", "obstore"),
    run,
)
