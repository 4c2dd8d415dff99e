"""Rows R of the catalogue: what is bounded stays so; small sizes, as the long runs have their own commands."""
# ruff: noqa: N802

import asyncio
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from flow.ranged import PART, QUICK, RANGED, SIZE, CountingClock, whole
from over_old import brings, is_there, put

from aioss_resume import Downloader, RetryPolicy
from aioss_resume.options import READ_BUFFER
from aioss_resume.testing import LocalOSS, MiB

pytestmark = pytest.mark.anyio

MEASURED = textwrap.dedent(
    """
    import asyncio, resource, sys, oss2, aioss_resume
    endpoint, path = sys.argv[1:]
    auth = oss2.AuthV4("local-access-key-id", "local-access-key-secret")
    bucket = oss2.Bucket(auth, endpoint, "examplebucket", region="cn-hangzhou")

    async def main():
        peaks = []
        for key in ("small", "large"):
            await aioss_resume.download(bucket, key, path, fsync=False, concurrency=4)
            peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
        print(peaks[1] - peaks[0])

    asyncio.run(main())
    """
)


async def test_R01_memory_does_not_grow_with_the_object(oss: LocalOSS, path: Path) -> None:
    oss.put("examplebucket", "small", size=1000)
    oss.put("examplebucket", "large", size=256 * MiB)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", MEASURED, oss.endpoint, str(path), stdout=-1, stderr=-1
    )
    said, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    # Each of the four slots has a buffer that is filled, one that is written, and those of aiohttp. 48 MiB are for
    # memory that the allocator keeps.
    assert int(said) < 4 * 4 * MiB + 48 * MiB


@pytest.mark.parametrize("seed", range(2))
async def test_R04_network_that_fails_now_and_then_never_makes_a_wrong_file(
    oss: LocalOSS, bucket: Any, tmp_path: Path, seed: int
) -> None:
    """That descriptors, threads and tasks are as before is watched around every test."""
    put(oss)
    dice: dict[str, Any] = {"times": None, "probability": 0.05}
    oss.faults.reset_after(1000, **dice, seed=seed)
    oss.faults.truncate(5000, **dice, seed=seed + 10)
    oss.faults.status(503, **dice, seed=seed + 20)
    oss.faults.flip_bit(5 * PART, times=None, probability=0.01, seed=seed + 40)
    async with Downloader(bucket, concurrency=8) as downloader:
        for number in range(10):
            path = tmp_path / str(number)
            await downloader.download("key", path, **{**RANGED, "retry": RetryPolicy(attempts=20, wait_initial=0.0)})
            is_there(path)
    oss.faults.clear()  # not every fault with a probability needs to have happened


async def test_R06_event_loop_keeps_running_while_bytes_arrive(oss: LocalOSS, bucket: Any, path: Path) -> None:
    """No time is measured: between two turns of the loop at most what aiohttp has buffered is handled."""
    size = 64 * MiB
    put(oss, size)
    turns = 0

    async def turn() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(turn())
    try:
        await brings(bucket, path, whole(size), part_size=8 * MiB, multiget_threshold=8 * MiB)
    finally:
        task.cancel()
        await asyncio.wait([task])
    assert turns >= size // (2 * READ_BUFFER)


async def test_R07_all_bytes_are_counted_against_the_rate(oss: LocalOSS, bucket: Any, path: Path) -> None:
    put(oss)

    class Frozen(CountingClock):
        def __init__(self, now: float) -> None:
            super().__init__()
            self._now = now

        def now(self) -> float:
            return self._now

    downloader = Downloader(bucket, max_bytes_per_second=PART)
    async with downloader:
        assert downloader._client is not None
        clock = Frozen(downloader._client.clock.now())
        downloader._client.clock = clock
        await downloader.download("key", path, **{**RANGED, "concurrency": 1, "retry": QUICK})
        wait = downloader._client._pacer.wait(clock.now())
    is_there(path)
    assert clock.waits
    # The clock stands still, so the next draw waits for everything beyond one burst, which is at most a second's worth.
    assert (SIZE - 2 * PART) / PART <= wait <= SIZE / PART
