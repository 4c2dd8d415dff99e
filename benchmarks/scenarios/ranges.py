"""ranges: 1000 random ranges of 64 KiB of one object by one call."""

from benchmarks.clients.in_memory import RANGE, RANGES
from benchmarks.job import GiB, Job
from benchmarks.scenarios import CPU, REQUESTS, RSS, SECONDS, WIRE, Benchmark
from benchmarks.scenarios.in_memory import received
from benchmarks.server import Nginx
from benchmarks.testbed import Case, Sample, Testbed

CLIENTS = ("ranges/aioss-resume", "ranges/aioss-resume-uvloop", "ranges/obstore")


def run(testbed: Testbed) -> list[Sample]:
    options, server = testbed.options, Nginx(testbed.folder / "server")
    stored = server.put("ranges", options.size or GiB)
    with server:
        job = Job(server.endpoint(), "", stored.prefix, stored.size)
        return testbed.run_all(
            [Case("1000 x 64 KiB", job, CLIENTS)],
            5,
            lambda _case, who, job, _run: received(server, who, job, RANGES * RANGE),
        )


BENCHMARK = Benchmark(
    "ranges",
    "each client with the gaps that it merges by default (256 KiB; obstore 1 MiB)",
    (SECONDS, CPU, RSS, REQUESTS, WIRE),
    ("ranges/obstore",),
    run,
)
