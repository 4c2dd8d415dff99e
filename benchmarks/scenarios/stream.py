"""stream: one object in order, to a reader that discards it; beside download(), and over a long way."""

from benchmarks.clients import Client
from benchmarks.job import GiB, Job, MiB
from benchmarks.measure import Figures, measure
from benchmarks.proxy import Proxy, Settings
from benchmarks.scenarios import CPU, REQUESTS, RSS, SECONDS, Benchmark, Column
from benchmarks.scenarios.in_memory import received
from benchmarks.server import Nginx
from benchmarks.testbed import Case, Sample, Testbed

CLIENTS = (
    "stream/aioss-resume",
    "stream/aioss-resume-uvloop",
    "aioss-resume",
    "aioss-resume/uvloop",
    "stream/obstore",
    "stream/opendal",
    "stream/aiohttp",
)
FAR = ("stream/aioss-resume", "stream/aiohttp")
SPEED, TOTAL = 25e6, 200e6  # bytes a second of a connection, and of all


def run(testbed: Testbed) -> list[Sample]:
    options, server = testbed.options, Nginx(testbed.folder / "server")
    near, far = server.put("near", options.size or GiB), server.put("far", min(options.size or GiB, 512 * MiB))
    with server, Proxy(Settings(server.port, round_trip=0.05, speed=SPEED, total_speed=TOTAL)) as proxy:

        def run_once(case: Case, who: Client, job: Job, run: int) -> Figures:
            if case.name == "loopback":
                return received(server, who, job, near.size)
            proxy.reset(options.seed + run)
            figures = received(server, who, job, far.size)
            return {**figures, "of_link": far.size / TOTAL / figures["seconds"]}

        here = Job(server.endpoint(), "", near.prefix, near.size, concurrency=options.concurrency or 4)
        there = Job(proxy.endpoint, "", far.prefix, far.size, concurrency=0)
        small = Job(server.endpoint(), "", near.prefix, near.size)
        cases = [
            Case("loopback", here, CLIENTS),
            Case("50 ms", there, FAR),
        ]
        samples = testbed.run_all(cases, 3, run_once)

        first = [Case("first byte", small, ("first-byte/aioss-resume", "first-byte/aiohttp"))]
        return samples + testbed.run_all(first, 9, lambda _case, who, job, _run: measure(who, job))


BENCHMARK = Benchmark(
    "stream",
    "in order, 4 ranges ahead, verified by us alone; over 50 ms a connection has 25 MB/s, the link 200",
    (SECONDS, CPU, RSS, REQUESTS, Column("of_link", "of link"), Column("first_byte", "first byte ms", 0.001)),
    ("aioss-resume", "stream/obstore", "stream/opendal", "stream/aiohttp", "first-byte/aiohttp"),
    run,
)
