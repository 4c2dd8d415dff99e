"""Downloads over an old file: either the object comes as a whole, or the old file stays byte for byte."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from flow.canary import Watch
from flow.ranged import RANGED, SIZE, CountingClock, names, whole

import aioss_resume
from aioss_resume import Downloader, DownloadResult, RetryPolicy, Timeouts
from aioss_resume.testing import LocalOSS

OLD = b"the old file"
HASTY = Timeouts(connect=0.3, response=0.3, stall=0.3)
ATTEMPTS = 3
THRICE = RetryPolicy(attempts=ATTEMPTS, wait_initial=0.0, wait_max=0.0)


@dataclass
class Pins:
    """Whether there may be ranges without If-Match: only where nothing told an ETag that could be pinned."""

    may_be_missing: bool = False


def put(oss: LocalOSS, size: int = SIZE, **keywords: Any) -> None:
    oss.put("examplebucket", "key", size=size, seed=1, **keywords)


async def brings(bucket: Any, path: Path, expected: bytes | None = None, **keywords: Any) -> DownloadResult:
    """A download that succeeds, by many ranges unless told otherwise: the object is there and nothing else of ours."""
    result = await aioss_resume.download(bucket, "key", path, **{**RANGED, **keywords})
    is_there(path, expected)
    assert result.resumed_bytes + result.fetched_bytes == result.size
    return result


async def fails(watch: Watch, kinds: Any, bucket: Any, path: Path, **keywords: Any) -> Any:
    """A download that fails so: the error, which shows no secret. The old file stays."""
    with watch.raises(*(kinds if isinstance(kinds, tuple) else (kinds,))) as caught:
        await aioss_resume.download(bucket, "key", path, **{**RANGED, "retry": THRICE, **keywords})
    assert path.read_bytes() == OLD
    return caught.error


def is_there(path: Path, expected: bytes | None = None) -> None:
    """The object is at the destination, and nothing of ours beside it."""
    assert path.read_bytes() == (whole() if expected is None else expected)
    assert [name for name in names(path.parent) if name.startswith(".")] == []


@asynccontextmanager
async def clocked(bucket: Any, clock: CountingClock) -> AsyncIterator[Downloader]:
    """A Downloader that sleeps by that clock."""
    async with Downloader(bucket) as downloader:
        assert downloader._client is not None
        downloader._client.clock = clock
        yield downloader


@asynccontextmanager
async def with_session(bucket: Any, **connector: Any) -> AsyncIterator[Downloader]:
    """A Downloader over a session of the caller's, whose connector has these options."""
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(**connector)) as session,
        Downloader(bucket, session=session) as downloader,
    ):
        yield downloader
