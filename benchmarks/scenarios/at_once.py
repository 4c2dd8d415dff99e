"""at_once: many calls of download() at the same moment, as a web service makes them, beside one Downloader for all."""

from benchmarks.job import Job, MiB
from benchmarks.scenarios import CPU, RSS, SECONDS, Benchmark, Column
from benchmarks.server import Nginx
from benchmarks.testbed import Case, Sample, Testbed, transfer

CLIENTS = ("aioss-resume/calls", "aioss-resume/one-downloader")
COUNT = 200


def run(testbed: Testbed) -> list[Sample]:
    """`--size` is the size of each of the objects."""
    server = Nginx(testbed.folder / "server")
    stored = server.put("at-once", testbed.options.size or 12 * MiB)
    with server:
        job = Job(server.endpoint(), "", stored.prefix, stored.size, count=COUNT, at_once=True)
        case = Case(f"{COUNT} x {stored.size // MiB} MiB", job, CLIENTS)
        return testbed.run_all([case], 5, lambda _case, who, job, _run: transfer(server, who, job))


BENCHMARK = Benchmark(
    "at_once",
    "200 objects of 12 MiB, all started at once",
    (SECONDS, CPU, RSS, Column("threads", "threads", digits=0), Column("descriptors", "descriptors", digits=0)),
    ("aioss-resume/one-downloader",),
    run,
)
