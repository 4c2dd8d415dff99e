"""service: the latency of a trivial endpoint while one download and ten streams run in the same process."""

from benchmarks.job import GiB, Job
from benchmarks.measure import measure
from benchmarks.scenarios import CPU, SECONDS, Benchmark, Column
from benchmarks.server import Nginx
from benchmarks.testbed import Case, Sample, Testbed


def run(testbed: Testbed) -> list[Sample]:
    options, server = testbed.options, Nginx(testbed.folder / "server")
    stored = server.put("service", options.size or GiB)
    with server:
        job = Job(server.endpoint(), "", stored.prefix, stored.size)
        case = Case("50 requests a second", job, ("service/idle", "service/busy"))
        return testbed.run_all([case], 3, lambda _case, who, job, _run: measure(who, job))


BENCHMARK = Benchmark(
    "service",
    "uvicorn, server, load and streams share the two cores",
    (Column("p99", "p99 ms", 0.001), Column("p50", "p50 ms", 0.001), SECONDS, CPU),
    ("service/idle",),
    run,
)
