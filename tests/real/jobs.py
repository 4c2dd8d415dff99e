"""The library's main jobs, each against a bucket: what it must do there as it does against LocalOSS."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import aioss_resume
from aioss_resume import Downloader, SignedURL
from aioss_resume.testing import GeneratedContent, MiB

SIZE = 24 * MiB
DATA = GeneratedContent(SIZE, seed=8).read(0, SIZE)

Job = Callable[[Any, str, Path], Awaitable[None]]


class Named(NamedTuple):
    text: str
    job: Job


JOBS: list[Named] = []


def does(text: str) -> Callable[[Job], Job]:
    def add(job: Job) -> Job:
        JOBS.append(Named(text, job))
        return job

    return add


@does("download() brings an object in parallel ranges and verifies it")
async def _(bucket: Any, prefix: str, folder: Path) -> None:
    await asyncio.to_thread(bucket.put_object, f"{prefix}large", DATA)
    result = await aioss_resume.download(bucket, f"{prefix}large", folder / "large", part_size=4 * MiB)
    assert (result.verified, result.size, result.requests > 1) == (True, SIZE, True)
    assert (folder / "large").read_bytes() == DATA


@does("a download that was cancelled goes on, and fetches nothing twice")
async def _(bucket: Any, prefix: str, folder: Path) -> None:
    some = asyncio.Event()

    def on_progress(consumed: int, _total: int | None) -> None:
        if consumed > 2 * MiB:
            some.set()

    async with Downloader(bucket, max_bytes_per_second=16 * MiB) as downloader:
        keywords: Any = {"part_size": MiB, "concurrency": 2, "progress_callback": on_progress}
        task = asyncio.ensure_future(downloader.download(f"{prefix}large", folder / "again", **keywords))
        await some.wait()
        task.cancel()
        await asyncio.wait([task])
        result = await downloader.download(f"{prefix}large", folder / "again")
    assert result.resumed_bytes > 0
    assert result.resumed_bytes + result.fetched_bytes == SIZE
    assert (folder / "again").read_bytes() == DATA


@does("slices, suffixes and many ranges are those of Python")
async def _(bucket: Any, prefix: str, folder: Path) -> None:
    async with Downloader(bucket) as downloader:
        assert await downloader.read(f"{prefix}large", start=-8) == DATA[-8:]
        assert await downloader.read(f"{prefix}large", start=5, stop=SIZE + 9) == DATA[5:]
        assert await downloader.read(f"{prefix}large", start=SIZE) == b""
        ranges = [(0, 10), (9_000_000, 9_000_010), (5, 15)]
        assert await downloader.read_ranges(f"{prefix}large", ranges) == [DATA[a:b] for a, b in ranges]


@does("a stream brings the object in order, verified")
async def _(bucket: Any, prefix: str, folder: Path) -> None:
    async with Downloader(bucket) as downloader, downloader.stream(f"{prefix}large") as stream:
        assert b"".join([chunk async for chunk in stream]) == DATA
        assert stream.verified


@does("a presigned address is downloaded and goes on with another signature")
async def _(bucket: Any, prefix: str, folder: Path) -> None:
    def sign(_old: str = "") -> str:
        return str(bucket.sign_url("GET", f"{prefix}large", 300, slash_safe=True))

    result = await aioss_resume.download(bucket, SignedURL(sign(), refresh=sign), folder / "by address")
    assert result.verified
    assert (folder / "by address").read_bytes() == DATA


@does("a prefix is mirrored, and a second run sends listings only")
async def _(bucket: Any, prefix: str, folder: Path) -> None:
    for name in ("a", "d/b", "d/é"):
        await asyncio.to_thread(bucket.put_object, f"{prefix}tree/{name}", name.encode())
    for expected in ({"downloaded": 3}, {"unchanged": 3}):
        async with Downloader(bucket) as downloader:
            async with downloader.download_prefix(f"{prefix}tree/", folder / "tree") as outcomes:
                assert [outcome.error async for outcome in outcomes] == [None] * 3
            assert outcomes.summary().counts == expected
    assert (folder / "tree/d/é").read_bytes() == "d/é".encode()


@does("an object that is replaced is noticed, and a missing one is oss2's error, too")
async def _(bucket: Any, prefix: str, folder: Path) -> None:
    async with Downloader(bucket) as downloader:
        meta = await downloader.head(f"{prefix}tree/a")
        await asyncio.to_thread(bucket.put_object, f"{prefix}tree/a", b"another")
        with pytest.raises(aioss_resume.ObjectChangedError):
            await downloader.read(meta)
        with pytest.raises(aioss_resume.NoSuchKeyError) as caught:
            await downloader.download(f"{prefix}missing", folder / "missing")
        assert caught.value.request_id
        assert not (folder / "missing").exists()


@does("resumable_download() takes oss2's arguments")
async def _(bucket: Any, prefix: str, folder: Path) -> None:
    await aioss_resume.resumable_download(bucket, f"{prefix}large", str(folder / "as oss2"), 0, 4 * MiB, None, 4)
    assert (folder / "as oss2").read_bytes() == DATA
