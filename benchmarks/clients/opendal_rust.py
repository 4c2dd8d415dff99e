"""Apache OpenDAL, written in Rust: it speaks OSS itself, signs V1, checks no CRC-64 and resumes nothing."""

import asyncio
import socket
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from benchmarks.clients import LOOP, MANY, ONE, PythonClient, Transfer
from benchmarks.clients.loops import fetch_objects, fetch_ranges
from benchmarks.job import ACCESS_KEY, ACCESS_SECRET, BUCKET, Job

HOST = f"{BUCKET}.localhost"
"""OpenDAL knows the virtual-host style only, so this name must resolve."""


def _operator(job: Job) -> Any:  # opendal's AsyncOperator, which only the child may import
    from opendal import AsyncOperator

    address = urlsplit(job.endpoint)
    return AsyncOperator(
        "oss",
        bucket=BUCKET,
        endpoint=f"{address.scheme}://localhost:{address.port}",
        access_key_id=ACCESS_KEY,
        access_key_secret=ACCESS_SECRET,
    )


class Ranges(PythonClient):
    """A loop of the caller's own: as many reads of a part in flight as asked for, each part whole in memory."""

    package = "opendal"
    module = "opendal"

    def missing(self) -> str | None:
        if reason := super().missing():
            return reason
        try:
            resolves = socket.gethostbyname(HOST) == "127.0.0.1"
        except OSError:
            resolves = False
        return None if resolves else f'{HOST} does not resolve: add the line "127.0.0.1 {HOST}" to /etc/hosts'

    def prepare(self, job: Job) -> Transfer:
        import opendal  # noqa: F401

        async def one() -> None:
            operator = _operator(job)
            await fetch_ranges(job, lambda start, stop: operator.read(job.prefix, offset=start, size=stop - start))

        async def many() -> None:
            await fetch_objects(job, _operator(job).read)

        return one if job.count == 1 else many


class Whole(Ranges):
    """Its own call for it: read() fetches concurrent ranges, and the whole object is in memory before it is written."""

    def prepare(self, job: Job) -> Transfer:
        if job.count > 1:
            return super().prepare(job)
        import opendal  # noqa: F401

        async def one() -> None:
            read = _operator(job).read
            body = await read(job.prefix, concurrent=job.concurrency, chunk=job.part_size)
            await asyncio.to_thread(Path(job.path(job.prefix)).write_bytes, body)

        return one


CLIENTS = [
    Whole("opendal", {ONE, MANY, LOOP}, loop="asyncio"),
    Ranges("opendal/ranges", {ONE, MANY, LOOP}, loop="asyncio"),
]
