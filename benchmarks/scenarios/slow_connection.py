"""slow_connection: one connection, or one request, in ten runs at 1 MB/s and the others at 20; who waits for it?"""

from benchmarks.clients import Client
from benchmarks.job import Job, MiB
from benchmarks.measure import Figures
from benchmarks.proxy import Proxy, Settings
from benchmarks.scenarios import CPU, SECONDS, WIRE, Benchmark, Column
from benchmarks.scenarios.through_proxy import through_proxy
from benchmarks.server import Nginx
from benchmarks.testbed import Case, Sample, Testbed, transfer

CLIENTS = (
    "aioss-resume",
    "aioss-resume/uvloop",
    "aioss-resume/auto",
    "oss2",
    "oss-v2",
    "aiooss2",
    "obstore",
    "opendal",
    "opendal/ranges",
    "pypdl",
    "aria2c",
    "rclone",
)
FAST, SLOW = 20_000_000, 1_000_000
RUNS = 10


def run(testbed: Testbed) -> list[Sample]:
    """Per connection through a proxy that paces evenly; per request by nginx, which sends its share once a second."""
    options, server = testbed.options, Nginx(testbed.folder / "server")
    size, concurrency = options.size or 256 * MiB, options.concurrency or 8
    even = server.put("even", size)
    drawn = server.put("drawn", size, speeds=(FAST, SLOW))
    fair = size / (concurrency * FAST)

    def by_request(_case: Case, who: Client, job: Job, _run: int) -> Figures:
        figures = transfer(server, who, job)
        return {**figures, "fair": figures["seconds"] / fair}

    with server, Proxy(Settings(server.port, speed=FAST, slow_speed=SLOW)) as proxy:
        by_connection = through_proxy(server, proxy, options.seed, fair)
        samples = []
        for name, endpoint, stored, run_once in (
            ("1 connection in 10 slow", proxy.endpoint, even, by_connection),
            ("1 request in 10 slow", server.endpoint(), drawn, by_request),
        ):
            job = Job(endpoint, "", stored.prefix, size, concurrency=concurrency, part_size=8 * MiB)
            samples += testbed.run_all([Case(name, job, CLIENTS)], RUNS, run_once)
        return samples


BENCHMARK = Benchmark(
    "slow_connection",
    "8 ranges of 8 MiB; the fair share is the time in which as many fast connections would do it",
    (SECONDS, Column("fair", "of fair share"), CPU, WIRE, Column("connections", "connections", digits=0)),
    ("oss2", "obstore", "aria2c"),
    run,
)
