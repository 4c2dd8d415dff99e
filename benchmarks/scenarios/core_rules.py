"""core_rules: what planning and bookkeeping cost for a 1 TiB object: pure _core code, no child, no network."""

import random
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from benchmarks.job import GiB, KiB, MiB
from benchmarks.measure import Figures
from benchmarks.scenarios import Benchmark, Column
from benchmarks.testbed import Sample, Testbed, say

if TYPE_CHECKING:
    from aioss_resume._core.checkpoint import Checkpoint
    from aioss_resume._core.transfer import Transfer

SIZE = 1024 * GiB
FLIGHTS = 64
Step = Callable[[], Figures]
"""Does one rule many times: `seconds` of one time, and `bytes` where it makes some."""


def steps() -> dict[str, Step]:
    """What is timed. Each imports by itself: a module that is not there yet costs only its line."""
    return {
        "parse Content-Range": _parse,
        "join two CRCs": _join,
        "plan": _plan,
        "claim": _claim,
        "split (claim_share)": _split,
        "land and join": _land,
        "flush (spans + encode)": _flush,
        "resume (decode + plan)": _resume,
    }


def _parse() -> Figures:
    from aioss_resume._core.ranges import parse_content_range

    headers = [f"bytes {start}-{start + KiB - 1}/{SIZE}" for start in range(0, 20_000 * KiB, KiB)]
    start = time.perf_counter()
    for header in headers:
        assert parse_content_range(header)
    return _each(start, len(headers))


def _join() -> Figures:
    from aioss_resume._core.crc64 import join

    joined, start = 0, time.perf_counter()
    for number in range(2_000):
        joined = join(joined, number, 16 * 1024 * KiB)
    return _each(start, 2_000)


def _plan() -> Figures:
    from aioss_resume._core.transfer import Transfer, choose_part_size

    start = time.perf_counter()
    for _ in range(2_000):
        Transfer(SIZE, part_size=choose_part_size(SIZE, FLIGHTS))
    return _each(start, 2_000)


def _claim() -> Figures:
    transfer, start = _transfer(), time.perf_counter()
    for _ in range(FLIGHTS):
        assert transfer.claim()
    return _each(start, FLIGHTS)


def _split() -> Figures:
    """The tail of the slowest of 64 flights, as often as it takes until there are 128."""
    from aioss_resume._core.transfer import Transfer

    transfer = Transfer(FLIGHTS * GiB, part_size=GiB)
    for number in range(FLIGHTS):
        flight = transfer.claim()
        assert flight
        flight.begin(0.0)
        flight.receive(MiB + number, 1.0)
    start = time.perf_counter()
    for _ in range(FLIGHTS):
        flight = transfer.claim_share(2.0)
        assert flight
        flight.begin(2.0)
    return _each(start, FLIGHTS)


def _land() -> Figures:
    """64 flights in a drawn order, so that each lands between others, and is joined with what is there."""
    from aioss_resume._core.transfer import Transfer

    transfer = Transfer(SIZE, part_size=64 * MiB)
    flights = [flight for flight in (transfer.claim() for _ in range(FLIGHTS)) if flight]
    random.Random(1).shuffle(flights)
    for flight in flights:
        flight.begin(0.0)
        flight.receive(flight.remaining, 1.0)
        flight.write(flight.stop, flight.start)
    start = time.perf_counter()
    for flight in flights:
        transfer.land(flight, 2.0)
    return _each(start, FLIGHTS)


def _flush() -> Figures:
    from aioss_resume._core.checkpoint import encode

    transfer, written, start = _transfer(FLIGHTS), b"", time.perf_counter()
    for _ in range(200):
        written = encode(_checkpoint(transfer))
    return {**_each(start, 200), "bytes": len(written)}


def _resume() -> Figures:
    from aioss_resume._core.checkpoint import decode, encode
    from aioss_resume._core.transfer import Transfer

    written = encode(_checkpoint(_transfer(FLIGHTS)))
    start = time.perf_counter()
    for _ in range(200):
        Transfer(SIZE, part_size=64 * MiB, kept=decode(written).spans)
    return _each(start, 200)


def _transfer(flights: int = 0) -> "Transfer":
    """Of 1 TiB, with so many flights underway, and a landed span between each two: as many spans as they can make."""
    from aioss_resume._core.transfer import Transfer

    transfer = Transfer(SIZE, part_size=64 * MiB)
    for number in range(2 * flights):
        flight = transfer.claim(GiB)
        assert flight
        flight.begin(0.0)
        flight.receive(flight.remaining if number % 2 else GiB // 3, 1.0)
        flight.write(flight.reach, random.Random(number).getrandbits(64))
        if number % 2:
            transfer.land(flight, 2.0)
    return transfer


def _checkpoint(transfer: "Transfer") -> "Checkpoint":
    from aioss_resume._core.checkpoint import Checkpoint
    from aioss_resume._core.objects import ObjectMeta
    from aioss_resume.errors import ObjectName

    key = "exampledir/" + "k" * 200
    meta = ObjectMeta(key=key, size=SIZE, etag="A" * 36, crc64=1 << 63, version_id="v" * 64)
    return Checkpoint(ObjectName("examplebucket", key), None, meta, "f" * 100, transfer.spans())


def _each(start: float, times: int) -> Figures:
    return {"seconds": (time.perf_counter() - start) / times}


def run(testbed: Testbed) -> list[Sample]:
    samples = []
    for number in range(testbed.options.runs or 5):
        for name, step in steps().items():
            try:
                samples.append(Sample(name, "aioss-resume", number, step()))
            except ImportError as error:
                testbed.skipped[f"core_rules: {name}"] = str(error)
                say(f"skipped {name}: {error}")
    return samples


BENCHMARK = Benchmark(
    "core_rules",
    "one step of each rule for an object of 1 TiB with 64 flights; a flush besides its fsync",
    (Column("seconds", "us", 1e-6), Column("bytes", "bytes", digits=0)),
    (),
    run,
)
