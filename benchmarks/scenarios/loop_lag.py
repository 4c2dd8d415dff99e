"""loop_lag: how late a ticker of 5 ms comes while a download runs at full speed on the same event loop."""

from dataclasses import replace

from benchmarks.job import GiB, Job
from benchmarks.scenarios import SECONDS, Benchmark, Column
from benchmarks.server import Nginx
from benchmarks.testbed import Case, Sample, Testbed, transfer

CLIENTS = (
    "aioss-resume",
    "aioss-resume/uvloop",
    "aioss-resume/fsync",
    "oss2",
    "oss-v2/async",
    "aiooss2",
    "obstore",
    "pypdl",
)


def run(testbed: Testbed) -> list[Sample]:
    options, server = testbed.options, Nginx(testbed.folder / "server")
    stored = server.put("lag", options.size or GiB)
    with server:
        job = Job(
            server.endpoint(),
            "",
            stored.prefix,
            stored.size,
            concurrency=options.concurrency or 8,
            ticker=True,
        )
        secure = replace(job, endpoint=server.endpoint(tls=True), authority=server.authority)
        cases = [Case("HTTP", job, CLIENTS), Case("TLS", secure, CLIENTS)]
        return testbed.run_all(cases, 3, lambda _case, who, job, _run: transfer(server, who, job))


BENCHMARK = Benchmark(
    "loop_lag",
    "8 ranges in flight, parts of 16 MiB; blocking clients run in a thread beside the loop",
    (
        Column("lag_p99", "p99 ms", 0.001),
        Column("lag_p50", "p50 ms", 0.001),
        Column("lag_max", "max ms", 0.001),
        Column("ticks", "ticks", digits=0),
        SECONDS,
    ),
    ("oss2", "obstore"),
    run,
)
