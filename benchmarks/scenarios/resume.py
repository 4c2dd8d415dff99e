"""resume: killed (SIGKILL) halfway and run again; killed near the end and run again."""

import asyncio
import random
import time
from pathlib import Path

from benchmarks.clients import Client
from benchmarks.job import GiB, Job, MiB
from benchmarks.measure import Figures, RunFailedError, measure
from benchmarks.proxy import Proxy, Settings
from benchmarks.scenarios import CPU, Benchmark, Column
from benchmarks.server import Nginx, Stored
from benchmarks.testbed import Case, Sample, Testbed, say, verify

CLIENTS = ("aioss-resume", "aioss-resume/uvloop", "oss2", "oss-v2", "aiooss2", "aria2c", "curl")
SPEED = 12.5e6
"""Bytes per second and connection until the kill: oss2 can keep up, so what was sent has also arrived."""
CASES = {"killed at 50 %": (0.47, 0.53), "killed at 98 %": (0.97, 0.99)}
"""The share of the object after which it is killed is drawn from these bounds, per run, the same for everyone:
equally paced parts end together, and a kill at exactly half of 1 GiB would hit such an end and cost nothing.

The second case is for the proving: little is left to fetch, so nearly all the time goes into what is kept."""
PROVING = "only proving it"


def run(testbed: Testbed) -> list[Sample]:
    options, server = testbed.options, Nginx(testbed.folder / "server")
    stored = server.put("resume", options.size or GiB)
    concurrency = options.concurrency or 8
    proven = _prove(testbed, server.folder / "objects" / stored.prefix, stored)
    with server, Proxy(Settings(server.port)) as proxy:
        job = Job(
            proxy.endpoint,
            "",
            stored.prefix,
            stored.size,
            concurrency=concurrency,
            part_size=8 * MiB,
            keeps_checkpoint=True,
        )
        cases = [Case(name, job, CLIENTS) for name in CASES]

        def run_once(case: Case, who: Client, job: Job, run: int) -> Figures:
            share = random.Random(f"{options.seed}-{run}").uniform(*CASES[case.name])
            before = _kill(proxy, who, job, share)
            again = _again(proxy, who, job)
            verify(job, stored)
            twice = max(0.0, before + again["wire"] - stored.size)
            return {**again, "twice": twice, "twice_share": twice / stored.size}

        return testbed.run_all(cases, 3, run_once) + proven


def _prove(testbed: Testbed, path: Path, stored: Stored) -> list[Sample]:
    """Our reading back alone, of a file in the page cache: the whole object as one kept span."""
    from aioss_resume._core.spans import Done
    from aioss_resume._io.threads import Threads
    from aioss_resume._io.verify import span_matches_disk

    if testbed.options.only and "aioss-resume" not in testbed.options.only:
        return []

    async def prove() -> float:
        threads, start = Threads(), time.perf_counter()
        assert await span_matches_disk(path, Done(0, stored.size, stored.crc64), threads)
        seconds = time.perf_counter() - start
        await threads.close()
        return seconds

    asyncio.run(prove())  # it is in the page cache now
    samples = []
    for number in range(testbed.options.runs or 3):
        seconds = asyncio.run(prove())
        say(f"{PROVING} / aioss-resume / run {number + 1}: {seconds:.3f} s")
        figures = {"twice": 0.0, "twice_share": 0.0, "seconds": seconds, "proving": stored.size / seconds}
        samples.append(Sample(PROVING, "aioss-resume", number, figures))
    return samples


def _kill(proxy: Proxy, who: Client, job: Job, share: float) -> float:
    """Start it, kill it when that share of the object has gone over the wire; the bytes that had."""
    proxy.reset(0)
    proxy.pace(SPEED)
    figures = measure(who, job, stop=lambda _: proxy.stats()["bytes"] >= share * job.size)
    if not figures.get("killed"):
        raise RunFailedError("it was done before it could be killed: make the object larger")
    time.sleep(0.2)  # the proxy notices the closed connections
    return proxy.stats()["bytes"]


def _again(proxy: Proxy, who: Client, job: Job) -> Figures:
    """Run it to its end, at full speed."""
    proxy.reset(0)
    proxy.pace(0)
    figures = measure(who, job)
    stats = proxy.stats()
    figures |= {"wire": stats["bytes"]}
    if stats["first"]:
        figures["first_byte"] = stats["first"] - figures["started"]
    if kept := figures.get("resumed_bytes"):
        # A lower bound: fetching the rest, joining and renaming are in the same seconds.
        figures["proving"] = kept / figures["seconds"]
    return figures


BENCHMARK = Benchmark(
    "resume",
    "8 ranges of 8 MiB at 12.5 MB/s each until the kill, at full speed after it",
    (
        Column("twice", "fetched twice MiB", MiB, 1),
        Column("twice_share", "% of object", 0.01),
        Column("first_byte", "s to first new byte", digits=3),
        Column("seconds", "s of second run", digits=3),
        Column("proving", "kept GiB per s of it", GiB),
        CPU,
    ),
    ("oss2",),
    run,
)
