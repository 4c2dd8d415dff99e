"""command: our command beside other commands, from the start of the process to its end."""

from benchmarks.job import GiB, Job, KiB
from benchmarks.scenarios import CPU, PEAK, SECONDS, WIRE, Benchmark
from benchmarks.server import Nginx
from benchmarks.testbed import Case, Sample, Testbed, transfer

SIZE, COUNT = 100 * KiB, 2000


def run(testbed: Testbed) -> list[Sample]:
    options, server = testbed.options, Nginx(testbed.folder / "server")
    large = server.put("large", options.size or GiB)
    small = server.put("small", SIZE)
    server.list_as(small, COUNT)
    one = Job(server.endpoint(), "", large.prefix, large.size, concurrency=8)
    many = Job(server.endpoint(), "", small.prefix, SIZE, count=COUNT, concurrency=16)
    with server:
        cases = [
            Case("get", one, ("command/get", "aria2c", "rclone")),
            Case("mirror 2000 x 100 KiB", many, ("command/mirror", "rclone")),
        ]
        return testbed.run_all(cases, 5, lambda _case, who, job, _run: transfer(server, who, job))


BENCHMARK = Benchmark(
    "command",
    "process start to exit; CRC-64 verified by ours alone",
    (SECONDS, CPU, PEAK, WIRE),
    ("aria2c", "rclone"),
    run,
)
