"""large: one object of 1 GiB as fast as the machine can, over HTTP and TLS."""

from benchmarks.job import GiB, Job
from benchmarks.scenarios import CPU, PEAK, RSS, SECONDS, WIRE, Benchmark
from benchmarks.server import Nginx
from benchmarks.testbed import Case, Sample, Testbed, transfer

CLIENTS = (
    "aioss-resume",
    "aioss-resume/uvloop",
    "aioss-resume/fsync",
    "aioss-resume/portable",
    "oss2",
    "oss2/no-crc",
    "oss-v2",
    "oss-v2/async",
    "aiooss2",
    "obstore",
    "opendal",
    "opendal/ranges",
    "obstore/one-stream",
    "pypdl",
    "aria2c",
    "curl",
    "rclone",
)


def run(testbed: Testbed) -> list[Sample]:
    options, server = testbed.options, Nginx(testbed.folder / "server")
    stored = server.put("large", options.size or GiB)
    with server:
        cases = [
            Case(
                "TLS" if tls else "HTTP",
                Job(
                    server.endpoint(tls=tls),
                    "",
                    stored.prefix,
                    stored.size,
                    concurrency=options.concurrency or 4,
                    authority=server.authority if tls else "",
                ),
                CLIENTS,
            )
            for tls in (False, True)
        ]
        return testbed.run_all(cases, 3, lambda _case, who, job, _run: transfer(server, who, job))


BENCHMARK = Benchmark(
    "large",
    "one object, 4 ranges in flight, parts of 16 MiB",
    (SECONDS, CPU, RSS, PEAK, WIRE),
    ("oss2", "oss-v2", "aria2c", "obstore", "opendal"),
    run,
)
