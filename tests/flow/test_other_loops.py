"""Downloads and streams on the event loop that asyncio has on Windows."""

import asyncio
import ssl
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from flow.proactor import ProactorLoop
from flow.ranged import PART, RANGED, whole

import aioss_resume
from aioss_resume.testing import KiB, LocalOSS, MiB

SIZE = 20 * MiB + 17
SMALL = 100 * KiB


@pytest.fixture
def oss(oss_of_both_schemes: LocalOSS) -> LocalOSS:
    return oss_of_both_schemes


@pytest.mark.parametrize("fault", ["nothing", "reset", "slow"])
def test_downloads_and_streams_are_right(
    oss: LocalOSS, bucket: Any, trusting: ssl.SSLContext, tmp_path: Path, fault: str
) -> None:
    oss.put("examplebucket", "key", size=SIZE, seed=1)
    oss.put("examplebucket", "small", size=SMALL, seed=2)
    if fault == "reset":
        oss.faults.reset_after(PART // 3, times=3)
    elif fault == "slow":
        oss.faults.slow(PART, times=1, range=lambda asked: asked is not None and asked[0] == 3 * PART)

    async def main() -> bytes:
        async with (
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trusting)) as session,
            aioss_resume.Downloader(bucket, session=session) as downloader,
        ):
            large, small = await asyncio.gather(
                downloader.download("key", tmp_path / "file", **{**RANGED, "part_size": 3 * MiB}),
                downloader.download("small", tmp_path / "small"),
            )
            assert large.verified
            assert small.verified
            async with downloader.stream("key") as stream:
                chunks = [chunk async for chunk in stream]
            assert stream.verified
            return b"".join(chunks)

    loop = ProactorLoop()
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        assert runner.run(main()) == whole(SIZE)
    assert (tmp_path / "file").read_bytes() == whole(SIZE)
    assert (tmp_path / "small").read_bytes() == whole(SMALL, 2)
    assert loop.copied > SIZE // 2  # so the body was received by copying, not by aiohttp's own protocol
