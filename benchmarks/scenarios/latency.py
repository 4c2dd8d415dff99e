"""latency: 50 ms round trip and 25 MB/s per connection; how much of the link is used?"""

from benchmarks.arena import Arena, Case, Sample
from benchmarks.job import Job, MiB
from benchmarks.proxy import Proxy, Settings
from benchmarks.scenarios import CPU, SECONDS, WIRE, Benchmark, Column
from benchmarks.scenarios.slow_connection import EVERYONE
from benchmarks.scenarios.through_proxy import play_through
from benchmarks.server import Nginx

SPEED = 25e6


def run(arena: Arena) -> list[Sample]:
    options, server = arena.options, Nginx(arena.folder / "server")
    stored = server.put("latency", options.size or 512 * MiB)
    concurrency = options.concurrency or 8
    with server, Proxy(Settings(server.port, round_trip=0.05, speed=SPEED)) as proxy:
        job = Job(proxy.endpoint, "", stored.prefix, stored.size, concurrency=concurrency, part_size=8 * MiB)
        fair = stored.size / (concurrency * SPEED)
        return arena.compete([Case("50 ms", job, EVERYONE)], 3, play_through(server, proxy, options.seed, fair))


BENCHMARK = Benchmark(
    "latency",
    "8 connections of 25 MB/s are the link; 1.00 of it is a transfer without a pause",
    (SECONDS, Column("of_link", "of link"), CPU, WIRE, Column("connections", "connections", digits=0)),
    ("oss2", "obstore", "aria2c"),
    run,
)
