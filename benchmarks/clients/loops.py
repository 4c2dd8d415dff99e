"""The loops around clients that have none of their own: parts of one object, or many objects, side by side."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from benchmarks.job import Job

ReadRange = Callable[[int, int], Awaitable[Any]]
"""Returns the bytes [start, stop) of the job's object, as something with the buffer protocol."""

ReadObject = Callable[[str], Awaitable[Any]]
"""Returns the bytes of the object with that key."""


async def fetch_ranges(job: Job, read: ReadRange) -> None:
    """As many parts in flight as asked for, each written at its offset in a thread."""
    parts = iter(job.parts())
    file = os.open(job.path(job.prefix), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)

    async def work() -> None:
        for start, stop in parts:
            body = await read(start, stop)
            written = await asyncio.to_thread(os.pwrite, file, memoryview(body), start)
            assert written == stop - start

    await _side_by_side(job, work)
    os.close(file)


async def fetch_objects(job: Job, read: ReadObject) -> None:
    """As many objects in flight as asked for, each written when it is whole in memory."""
    keys = iter(job.every_key())

    async def work() -> None:
        for key in keys:
            Path(job.path(key)).write_bytes(memoryview(await read(key)))

    await _side_by_side(job, work)


async def _side_by_side(job: Job, work: Callable[[], Any]) -> None:
    async with asyncio.TaskGroup() as workers:
        for _ in range(job.concurrency):
            workers.create_task(work())
