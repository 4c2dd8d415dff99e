"""second_run: a prefix that is there already: nothing is read, and only listings are sent."""

from benchmarks.clients import Client
from benchmarks.job import Job
from benchmarks.measure import Figures, RunFailedError
from benchmarks.scenarios import CPU, RSS, SECONDS, Benchmark, Column
from benchmarks.server import PAGE_KEYS, Nginx
from benchmarks.testbed import Case, Sample, Testbed, transfer

COUNT = 100_000


def run(testbed: Testbed) -> list[Sample]:
    options, server = testbed.options, Nginx(testbed.folder / "server")
    stored = server.put("second", 16)
    count = options.size or COUNT
    job = Job(server.endpoint(), "", "second", stored.size, count=count, concurrency=32)
    server.list_as(stored, count)

    def run_once(_case: Case, who: Client, job: Job, _run: int) -> Figures:
        figures = transfer(server, who, job)
        listings = 2 * -(-job.count // PAGE_KEYS)
        if figures["requests"] != job.count + listings:
            raise RunFailedError(f"{figures['requests']} requests for {job.count} objects and {listings} listings")
        return figures

    with server:
        return testbed.run_all([Case(f"{count:,} files", job, ("many/second-run",))], 1, run_once)


BENCHMARK = Benchmark(
    "second_run",
    "the first run is part of the seconds; files a second are those of the second run alone",
    (SECONDS, Column("second_run", "files/s", digits=0), CPU, RSS),
    (),
    run,
)
