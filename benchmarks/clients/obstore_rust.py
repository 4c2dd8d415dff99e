"""obstore: object_store, written in Rust; the bytes come to Python, which writes them. No CRC, no resume."""

import asyncio
from pathlib import Path
from typing import Any

from benchmarks.clients import LOOP, MANY, ONE, PythonClient, Transfer
from benchmarks.clients.loops import fetch_objects, fetch_ranges
from benchmarks.job import BUCKET, Job, MiB


def _store(job: Job) -> Any:  # obstore's HTTPStore, which only the child may import
    from obstore.store import HTTPStore

    options: Any = {"allow_http": True}  # its ClientConfig exists for type checkers only
    if job.authority:
        options["root_certificate"] = Path(job.authority).read_bytes()
    return HTTPStore.from_url(f"{job.endpoint}/{BUCKET}", client_options=options)


class Ranges(PythonClient):
    """As many ranges in flight as asked for; a whole part is in memory before it is written."""

    package = "obstore"
    module = "obstore"

    def prepare(self, job: Job) -> Transfer:
        import obstore

        async def one() -> None:
            store = _store(job)
            await fetch_ranges(
                job, lambda start, stop: obstore.get_range_async(store, job.prefix, start=start, end=stop)
            )

        async def many() -> None:
            store = _store(job)

            async def read(key: str) -> Any:  # its Bytes, which only the child may import
                return await (await obstore.get_async(store, key)).bytes_async()

            await fetch_objects(job, read)

        return one if job.count == 1 else many


class Stream(Ranges):
    """One request, written as it comes."""

    def prepare(self, job: Job) -> Transfer:
        import obstore

        async def one() -> None:
            answer = await obstore.get_async(_store(job), job.prefix)
            with open(job.path(job.prefix), "wb", buffering=0) as file:
                async for chunk in answer.stream(min_chunk_size=MiB):
                    await asyncio.to_thread(file.write, memoryview(chunk))

        return one


CLIENTS = [
    Ranges("obstore", {ONE, MANY, LOOP}, loop="asyncio"),
    Stream("obstore/one-stream", {ONE, LOOP}, loop="asyncio"),
]
