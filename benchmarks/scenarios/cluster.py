"""cluster: one process of a Dask cluster, and two, from a server that limits each connection."""

from benchmarks.clients import Client
from benchmarks.job import GiB, Job, MiB
from benchmarks.measure import Figures
from benchmarks.scenarios import CPU, SECONDS, Benchmark, Column
from benchmarks.server import Nginx
from benchmarks.testbed import Case, Sample, Testbed, transfer

COUNT = 400
SPEED = 10_000_000  # bytes a second of one connection


def run(testbed: Testbed) -> list[Sample]:
    options, server = testbed.options, Nginx(testbed.folder / "server")
    size = (options.size or 4 * GiB) // COUNT // MiB * MiB
    stored = server.put("cluster", size, speeds=(SPEED, SPEED))
    server.list_as(stored, COUNT)
    job = Job(server.endpoint(), "", "cluster", size, count=COUNT, concurrency=options.concurrency or 8)

    def run_once(_case: Case, who: Client, job: Job, _run: int) -> Figures:
        return transfer(server, who, job)

    with server:
        clients = ("cluster/1-process", "cluster/2-processes")
        return testbed.run_all([Case(f"{COUNT} x {size // MiB} MiB", job, clients)], 3, run_once)


BENCHMARK = Benchmark(
    "cluster",
    "8 requests in flight for each process, 10 MB/s for each connection; the start of the cluster is not counted",
    (Column("without_start", "s", digits=2), SECONDS, CPU),
    ("cluster/1-process",),
    run,
)
