"""fair: small reads beside a large download on few slots; and many downloads that are started together."""

from benchmarks.clients import Client
from benchmarks.clients.in_memory import READS
from benchmarks.job import Job, KiB, MiB
from benchmarks.measure import Figures, measure
from benchmarks.proxy import Proxy, Settings
from benchmarks.scenarios import SECONDS, Benchmark, Column
from benchmarks.server import Nginx
from benchmarks.testbed import Case, Sample, Testbed

SPEED = 10e6  # bytes a second of a connection
COUNT = 60
LINK = 200e6  # bytes a second of all connections, where many are started together


def run(testbed: Testbed) -> list[Sample]:
    """`--size` is the size of the large object."""
    options, server = testbed.options, Nginx(testbed.folder / "server")
    large = server.put("large", options.size or 2048 * MiB)
    small = server.put("small", 100 * KiB)
    many = server.put("many", 32 * MiB)
    slow, link = Settings(server.port, speed=SPEED), Settings(server.port, total_speed=LINK)
    with server, Proxy(slow) as connections, Proxy(link) as together:

        def run_once(_case: Case, who: Client, job: Job, run: int) -> Figures:
            connections.reset(options.seed + run)
            together.reset(options.seed + run)
            return measure(who, job)

        beside = Job(connections.endpoint, "", f"{large.prefix} {small.prefix}", large.size, concurrency=4)
        ends = Job(together.endpoint, "", many.prefix, many.size, count=COUNT, concurrency=32)
        cases = [
            Case(f"{READS} reads beside a download", beside, ("fair/alone", "fair/beside")),
            Case(f"{COUNT} x 32 MiB together", ends, ("fair/together",)),
        ]
        return testbed.run_all(cases, 3, run_once)


BENCHMARK = Benchmark(
    "fair",
    "4 slots, 10 MB/s a connection; and 32 slots, a link of 200 MB/s, mean end divided by last end",
    (
        SECONDS,
        Column("download", "download s", digits=2),
        Column("read_max", "slowest read s", digits=3),
        Column("read_median", "median read s", digits=3),
        Column("mean_end", "mean end / last"),
    ),
    ("fair/alone",),
    run,
)
