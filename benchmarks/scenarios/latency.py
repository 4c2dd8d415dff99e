"""latency: 50 ms round trip, 25 MB/s per connection and 200 MB/s in sum; how much of the link is used?"""

from benchmarks.job import Job, MiB
from benchmarks.proxy import Proxy, Settings
from benchmarks.scenarios import CPU, SECONDS, WIRE, Benchmark, Column
from benchmarks.scenarios.slow_connection import CLIENTS
from benchmarks.scenarios.through_proxy import through_proxy
from benchmarks.server import Nginx
from benchmarks.testbed import Case, Sample, Testbed

SPEED = 25e6
TOTAL = 200e6
"""Of all connections: what the link allows, also to one that opens more of them than 8."""


def run(testbed: Testbed) -> list[Sample]:
    options, server = testbed.options, Nginx(testbed.folder / "server")
    stored = server.put("latency", options.size or 512 * MiB)
    concurrency = options.concurrency or 8
    with server, Proxy(Settings(server.port, round_trip=0.05, speed=SPEED, total_speed=TOTAL)) as proxy:
        job = Job(proxy.endpoint, "", stored.prefix, stored.size, concurrency=concurrency, part_size=8 * MiB)
        fair = stored.size / TOTAL
        return testbed.run_all([Case("50 ms", job, CLIENTS)], 3, through_proxy(server, proxy, options.seed, fair))


BENCHMARK = Benchmark(
    "latency",
    "the link has 200 MB/s, a connection 25; 1.00 is a transfer without a pause; auto picks ranges and parts itself",
    (SECONDS, Column("of_link", "of link"), CPU, WIRE, Column("connections", "connections", digits=0)),
    ("oss2", "obstore", "aria2c"),
    run,
)
