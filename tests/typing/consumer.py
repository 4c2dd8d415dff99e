"""How a program with strict types uses the public interface. It is checked by mypy and pyright, and not run."""

import os
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, assert_type

import aiohttp

import aioss_resume
from aioss_resume import (
    AiossError,
    AttemptFailed,
    CheckpointStore,
    Downloader,
    DownloadResult,
    Event,
    ObjectListing,
    ObjectMeta,
    ObjectStream,
    Outcome,
    PrefixOutcome,
    PrefixSummary,
    RetryPolicy,
    ServiceError,
    SignedURL,
    Timeouts,
    download,
    download_url,
    resumable_download,
)
from aioss_resume.testing import LocalOSS, RequestRecord


def on_progress(consumed: int, total: int | None) -> None: ...


async def on_progress_async(consumed: int, total: int | None) -> None: ...


def on_event(event: Event) -> None:
    if isinstance(event, AttemptFailed):
        assert_type(event.error, AiossError)
        assert_type(event.attempt, int)
        assert_type(event.wait, float)


async def refresh(old: str) -> str:
    return old


async def one_object(bucket: Any, path: os.PathLike[str]) -> None:
    result = await download(
        bucket,
        "key",
        path,
        version_id="v",
        part_size=1 << 20,
        multiget_threshold=None,
        concurrency="auto",
        store=CheckpointStore("/checkpoints"),
        progress_callback=on_progress,
        headers={"x-oss-request-payer": "requester"},
        params={"response-content-type": "text/plain"},
        overwrite="if_changed",
        on_change="fail",
        on_busy="fail",
        integrity="require",
        fsync=False,
        adopt=True,
        retry=RetryPolicy(attempts=3, deadline=60),
        timeouts=Timeouts(connect=1),
    )
    assert_type(result, DownloadResult)
    assert_type(result.path, Path)
    assert_type(result.version_id, str | None)
    assert_type(result.crc64, int | None)
    assert_type(result.verified, bool)
    assert_type(result.elapsed, float)
    await download(bucket, SignedURL("https://examplehost/key", refresh=refresh), "file", concurrency=8)
    await download(bucket, "key", "file", progress_callback=on_progress_async)
    assert_type(await download_url("https://examplehost/key", "file", refresh=refresh), DownloadResult)
    assert_type(await resumable_download(bucket, "key", "file", num_threads=4), DownloadResult)
    await download(bucket, "key", "file", concurrency="fast")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await download(bucket, "key", "file", num_threads=4)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


async def many_objects(bucket: Any, session: aiohttp.ClientSession) -> None:
    async with Downloader(
        bucket, concurrency=32, max_bytes_per_second=5e6, session=session, on_event=on_event
    ) as downloader:
        assert_type(downloader, Downloader)
        downloader.max_bytes_per_second = None
        assert_type(downloader.for_bucket(bucket), Downloader)
        meta = await downloader.head("key")
        assert_type(meta, ObjectMeta)
        assert_type(meta.last_modified, datetime | None)
        assert_type(await downloader.read(meta, start=-8, integrity="require"), bytes)
        assert_type(await downloader.read_into("key", bytearray(10), start=5), int)
        assert_type(await downloader.read_ranges("key", [(0, 1), (-5, None)], max_gap=0), list[bytes])
        async with downloader.stream("key", window=1 << 20) as stream:
            assert_type(stream, ObjectStream)
            assert_type(stream.meta, ObjectMeta)
            assert_type(await stream.read(5), bytes)
            async for chunk in stream:
                assert_type(chunk, bytes)
            assert_type(stream.verified, bool)
        async with downloader.list("prefix/", delimiter="/") as objects:
            assert_type(objects, ObjectListing)
            async for listed in objects:
                assert_type(listed, ObjectMeta)
            assert_type(objects.prefixes, list[str])
        async with downloader.download_many([("key", "path")], stop_on_error=True, fsync=False) as outcomes:
            results: list[DownloadResult] = []
            async for outcome in outcomes:
                assert_type(outcome, Outcome)
                assert_type(outcome.error, Exception | None)
                if outcome.result is not None:
                    results.append(outcome.result)
        await downloader.sync(results)
        async with downloader.download_prefix("p/", "dir", include="*.csv", delete_extra="force") as mirrored:
            async for done in mirrored:
                assert_type(done, PrefixOutcome)
                assert_type(done.path, Path)
            assert_type(mirrored.summary(), PrefixSummary)


async def errors(bucket: Any) -> int | None:
    try:
        await aioss_resume.download(bucket, "key", "file")
    except aioss_resume.NoSuchKeyError as error:
        assert_type(error.status, int)
        assert_type(error.hint, str | None)
    except ServiceError as error:
        assert_type(error.request_id, str)
        assert_type(error.retry_after, float | None)
    except aioss_resume.LocalFileError as error:
        return error.errno
    except AiossError as error:
        assert_type(error.bucket, str | None)
    return None


def local() -> Sequence[RequestRecord]:
    with LocalOSS() as oss:
        oss.put("examplebucket", "key", b"data")
        oss.faults.reset_after(4096, times=3)
        return oss.requests
