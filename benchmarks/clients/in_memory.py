"""Clients that bring bytes to the caller instead of a file: whole objects, ranges, streams whose reader discards."""

import asyncio
import random
import time
from typing import Any

from benchmarks.clients import ONE, PythonClient, Transfer
from benchmarks.clients.aioss_resume import bucket_of
from benchmarks.clients.obstore_rust import _store
from benchmarks.clients.opendal_rust import Ranges as OpenDAL
from benchmarks.clients.opendal_rust import _operator
from benchmarks.job import Job, KiB, MiB

RANGES, RANGE = 1000, 64 * KiB
"""How many random ranges of the object are read, and of which length."""
READS = 20
"""How many small reads are made beside a download."""


def random_ranges(job: Job) -> list[tuple[int, int]]:
    generator = random.Random(1)
    starts = [generator.randrange(job.size - RANGE) for _ in range(RANGES)]
    return [(start, start + RANGE) for start in starts]


class Ours(PythonClient):
    """This library, on asyncio or uvloop."""

    package = "aioss-resume"
    module = "aioss_resume"

    def __init__(self, name: str, what: str, *, loop: str = "asyncio") -> None:
        super().__init__(name, {ONE}, loop=loop)
        self.what = what

    def prepare(self, job: Job) -> Transfer:
        import aioss_resume

        bucket = bucket_of(job)

        async def stream(downloader: Any) -> int:
            received = 0
            concurrency: Any = job.concurrency or "auto"
            async with downloader.stream(job.prefix, concurrency=concurrency) as found:
                async for chunk in found:
                    received += len(chunk)
                assert found.verified
            return received

        async def first_byte(downloader: Any) -> float:
            """Seconds, when the connection and the signing key are there already."""
            began = time.perf_counter()
            async with downloader.stream(job.prefix) as found:
                assert await found.read(1)
                return time.perf_counter() - began

        async def read(downloader: Any) -> int:
            return len(await downloader.read(job.prefix, concurrency=job.concurrency))

        async def ranges(downloader: Any) -> int:
            asked = random_ranges(job)
            found = await downloader.read_ranges(job.prefix, asked, concurrency=32)
            return sum(map(len, found))

        async def transfer() -> dict[str, float]:
            async with aioss_resume.Downloader(bucket) as downloader:
                if self.what == "first_byte":
                    await downloader.read(job.prefix, stop=1)
                    return {"first_byte": await first_byte(downloader)}
                actions = {"stream": stream, "read": read, "ranges": ranges}
                return {"received": await actions[self.what](downloader)}

        return transfer


class PlainAiohttp(PythonClient):
    """One request by aiohttp, read to its end, or to its first byte."""

    package = "aiohttp"
    module = "aiohttp"

    def __init__(self, name: str, *, is_first_byte: bool = False) -> None:
        super().__init__(name, {ONE}, loop="asyncio")
        self.is_first_byte = is_first_byte

    def prepare(self, job: Job) -> Transfer:
        import aiohttp

        async def transfer() -> dict[str, float]:
            async with aiohttp.ClientSession() as session:
                if self.is_first_byte:
                    async with session.get(job.url(job.prefix), headers={"Range": "bytes=0-0"}) as response:
                        await response.read()
                    began = time.perf_counter()
                    async with session.get(job.url(job.prefix)) as response:
                        assert await response.content.readany()
                        seconds = time.perf_counter() - began
                        response.close()
                    return {"first_byte": seconds}
                received = 0
                async with session.get(job.url(job.prefix)) as response:
                    async for chunk in response.content.iter_any():
                        received += len(chunk)
            return {"received": received}

        return transfer


class Obstore(PythonClient):
    package = "obstore"
    module = "obstore"

    def __init__(self, name: str, what: str) -> None:
        super().__init__(name, {ONE}, loop="asyncio")
        self.what = what

    def prepare(self, job: Job) -> Transfer:
        import obstore

        async def stream() -> int:
            received = 0
            answer = await obstore.get_async(_store(job), job.prefix)
            async for chunk in answer.stream(min_chunk_size=MiB):
                received += len(memoryview(chunk))
            return received

        async def ranges(asked: list[tuple[int, int]]) -> int:
            found = await obstore.get_ranges_async(
                _store(job), job.prefix, starts=[start for start, _ in asked], ends=[stop for _, stop in asked]
            )
            return sum(len(memoryview(part)) for part in found)

        async def transfer() -> dict[str, float]:
            if self.what == "stream":
                return {"received": await stream()}
            return {"received": await ranges(random_ranges(job) if self.what == "ranges" else job.parts())}

        return transfer


class OpenDALInMemory(OpenDAL):
    def __init__(self, name: str, what: str) -> None:
        super().__init__(name, {ONE}, loop="asyncio")
        self.what = what

    def prepare(self, job: Job) -> Transfer:
        import opendal  # noqa: F401

        async def stream() -> int:
            received = 0
            file = await _operator(job).open(job.prefix, "rb")
            while chunk := await file.read(MiB):
                received += len(chunk)
            return received

        async def read() -> int:
            return len(await _operator(job).read(job.prefix, concurrent=job.concurrency, chunk=job.part_size))

        async def transfer() -> dict[str, float]:
            return {"received": await (stream() if self.what == "stream" else read())}

        return transfer


class Fair(Ours):
    """Downloads that share one Downloader, and when each of them ends; or small reads beside one."""

    def prepare(self, job: Job) -> Transfer:
        import aioss_resume

        bucket = bucket_of(job)

        async def together() -> dict[str, float]:
            ends: list[float] = []
            began = time.monotonic()
            async with aioss_resume.Downloader(bucket, concurrency=job.concurrency) as downloader:

                async def one(key: str) -> None:
                    await downloader.download(key, job.path(key), fsync=False)
                    ends.append(time.monotonic() - began)

                await asyncio.gather(*(one(key) for key in job.every_key()))
            return {"mean_end": sum(ends) / len(ends) / max(ends)}

        async def beside() -> dict[str, float]:
            large, small = job.prefix.split()
            async with aioss_resume.Downloader(bucket, concurrency=job.concurrency) as downloader:
                download = asyncio.ensure_future(downloader.download(large, job.path(large), fsync=False))
                waits: list[float] = []
                if self.what == "beside":
                    await asyncio.sleep(2)
                    for _ in range(READS):
                        began = time.monotonic()
                        assert len(await downloader.read(small)) == 100 * KiB
                        waits.append(time.monotonic() - began)
                        await asyncio.sleep(0.4)
                figures = {"download": (await download).elapsed}
            if waits:
                figures |= {"read_max": max(waits), "read_median": sorted(waits)[READS // 2]}
            return figures

        return together if self.what == "together" else beside


CLIENTS = [
    Fair("fair/alone", "alone"),
    Fair("fair/beside", "beside"),
    Fair("fair/together", "together"),
    Ours("stream/aioss-resume", "stream"),
    Ours("stream/aioss-resume-uvloop", "stream", loop="uvloop"),
    PlainAiohttp("stream/aiohttp"),
    Obstore("stream/obstore", "stream"),
    OpenDALInMemory("stream/opendal", "stream"),
    Ours("first-byte/aioss-resume", "first_byte"),
    PlainAiohttp("first-byte/aiohttp", is_first_byte=True),
    Ours("read/aioss-resume", "read"),
    Ours("read/aioss-resume-uvloop", "read", loop="uvloop"),
    Obstore("read/obstore-ranges", "parts"),
    OpenDALInMemory("read/opendal", "read"),
    Ours("ranges/aioss-resume", "ranges"),
    Ours("ranges/aioss-resume-uvloop", "ranges", loop="uvloop"),
    Obstore("ranges/obstore", "ranges"),
]
