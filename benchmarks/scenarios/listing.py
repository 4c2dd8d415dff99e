"""list: the keys of a prefix, from a server that answers from memory."""

from benchmarks.clients import Client
from benchmarks.job import Job
from benchmarks.measure import Figures
from benchmarks.scenarios import CPU, REQUESTS, RSS, SECONDS, Benchmark, Column
from benchmarks.scenarios.in_memory import received
from benchmarks.server import Nginx
from benchmarks.testbed import Case, Sample, Testbed

CLIENTS = ("list/aioss-resume", "list/aioss-resume-uvloop", "list/oss2", "list/oss-v2")
KEYS = 200_000
MANY_KEYS = 1_000_000


def run(testbed: Testbed) -> list[Sample]:
    """`--size` is the number of keys."""
    options, server = testbed.options, Nginx(testbed.folder / "server")
    cases = []
    counts = (options.size,) if options.size else (KEYS, MANY_KEYS)
    for count in counts:
        stored = server.put(f"keys-{count}", 1)
        server.list_as(stored, count)
        job = Job(server.endpoint(), "", stored.prefix, count)
        clients = CLIENTS if count < MANY_KEYS else CLIENTS[:1]
        cases.append(Case(f"{count:,} keys", job, clients))

    def run_once(_case: Case, who: Client, job: Job, _run: int) -> Figures:
        figures = received(server, who, job, job.size)
        return {**figures, "per_second": job.size / figures["seconds"]}

    with server:
        return testbed.run_all(cases, 5, run_once)


BENCHMARK = Benchmark(
    "list",
    "pages of 1000 keys",
    (SECONDS, Column("per_second", "keys/s", digits=0), CPU, RSS, REQUESTS),
    ("list/oss2", "list/oss-v2"),
    run,
)
