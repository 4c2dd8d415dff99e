"""read: 64 MiB into memory by one call."""

from benchmarks.job import Job, MiB
from benchmarks.scenarios import CPU, REQUESTS, RSS, SECONDS, Benchmark
from benchmarks.scenarios.in_memory import received
from benchmarks.server import Nginx
from benchmarks.testbed import Case, Sample, Testbed

CLIENTS = ("read/aioss-resume", "read/aioss-resume-uvloop", "read/obstore-ranges", "read/opendal")


def run(testbed: Testbed) -> list[Sample]:
    options, server = testbed.options, Nginx(testbed.folder / "server")
    stored = server.put("read", options.size or 64 * MiB)
    with server:
        job = Job(
            server.endpoint(), "", stored.prefix, stored.size, concurrency=options.concurrency or 4, part_size=8 * MiB
        )
        return testbed.run_all(
            [Case("64 MiB", job, CLIENTS)], 9, lambda _case, who, job, _run: received(server, who, job, stored.size)
        )


BENCHMARK = Benchmark(
    "read",
    "4 ranges in flight, parts of 8 MiB where the caller says so; verified by us alone",
    (SECONDS, CPU, RSS, REQUESTS),
    ("read/obstore-ranges", "read/opendal"),
    run,
)
