"""slow_connection: one connection in ten brings 1 MB/s, the others 20; who waits for the slow one?"""

from benchmarks.arena import Arena, Case, Sample
from benchmarks.job import Job, MiB
from benchmarks.proxy import Proxy, Settings
from benchmarks.scenarios import CPU, SECONDS, WIRE, Benchmark, Column
from benchmarks.scenarios.through_proxy import play_through
from benchmarks.server import Nginx

EVERYONE = (
    "aioss-resume",
    "aioss-resume/uvloop",
    "aioss-resume/auto",
    "oss2",
    "oss-v2",
    "aiooss2",
    "obstore",
    "pypdl",
    "aria2c",
    "rclone",
)
FAST, SLOW = 20e6, 1e6


def run(arena: Arena) -> list[Sample]:
    options, server = arena.options, Nginx(arena.folder / "server")
    stored = server.put("slow", options.size or 256 * MiB)
    concurrency = options.concurrency or 8
    fair = stored.size / (concurrency * FAST)
    settings = Settings(server.port, speed=FAST, slow_speed=SLOW)
    with server, Proxy(settings) as proxy:
        job = Job(proxy.endpoint, "", stored.prefix, stored.size, concurrency=concurrency, part_size=8 * MiB)
        case = Case("1 in 10 slow", job, EVERYONE)
        return arena.compete([case], 5, play_through(server, proxy, options.seed, fair))


BENCHMARK = Benchmark(
    "slow_connection",
    "8 ranges of 8 MiB; the fair share is the time in which as many fast connections would do it",
    (SECONDS, Column("fair", "of fair share"), CPU, WIRE, Column("connections", "connections", digits=0)),
    ("oss2", "obstore", "aria2c"),
    run,
)
