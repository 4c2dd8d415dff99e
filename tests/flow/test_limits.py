"""How much runs at once, and where a Downloader may be used."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import anyio
import anyio.to_thread
import pytest

from aioss_resume import ConfigError, Downloader, NoSuchKeyError, RequestError, download
from aioss_resume.testing import BytesContent, GeneratedContent, KiB, LocalOSS

pytestmark = pytest.mark.anyio

PART = 100 * KiB
SMALL: dict[str, Any] = {"part_size": PART, "multiget_threshold": PART}
Same = Callable[[Path, GeneratedContent], bool]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "file"


@pytest.mark.parametrize("concurrency", [1, 3])
async def test_download_has_no_more_requests_in_flight_than_its_concurrency(
    oss: LocalOSS, bucket: Any, path: Path, same_bytes: Same, concurrency: int
) -> None:
    stored = oss.put("examplebucket", "key", size=20 * PART)
    oss.faults.delay(0.02, times=None)
    await download(bucket, "key", path, concurrency=concurrency, **SMALL)
    assert oss.peak_in_flight == concurrency
    assert same_bytes(path, stored.content)


async def test_downloads_of_one_downloader_share_its_concurrency(oss: LocalOSS, bucket: Any, tmp_path: Path) -> None:
    for number in range(4):
        oss.put("examplebucket", f"key {number}", size=8 * PART)
    oss.faults.delay(0.02, times=None)
    async with Downloader(bucket, concurrency=5) as downloader:
        await asyncio.gather(*(downloader.download(f"key {n}", tmp_path / str(n), **SMALL) for n in range(4)))
    assert oss.peak_in_flight == 5
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["0", "1", "2", "3"]


async def test_download_keeps_to_its_own_concurrency_within_a_downloader(
    oss: LocalOSS, bucket: Any, path: Path
) -> None:
    oss.put("examplebucket", "key", size=20 * PART)
    oss.faults.delay(0.02, times=None)
    async with Downloader(bucket, concurrency=16) as downloader:
        await downloader.download("key", path, concurrency=2, **SMALL)
    assert oss.peak_in_flight == 2


async def test_many_small_downloads_keep_to_the_downloaders_concurrency(
    oss: LocalOSS, bucket: Any, tmp_path: Path
) -> None:
    for number in range(30):
        oss.put("examplebucket", str(number), b"%d" % number)
    oss.faults.delay(0.01, times=None)
    async with Downloader(bucket, concurrency=3) as downloader:
        results = await asyncio.gather(*(downloader.download(str(n), tmp_path / str(n)) for n in range(30)))
        meta = await downloader.head("7")
    assert oss.peak_in_flight == 3
    assert [result.key for result in results] == [str(number) for number in range(30)]
    assert meta.size == 1
    assert len({request.connection for request in oss.requests}) <= 3


async def test_large_download_does_not_starve_a_small_one(oss: LocalOSS, bucket: Any, tmp_path: Path) -> None:
    oss.put("examplebucket", "large", size=60 * PART)
    oss.put("examplebucket", "small", b"bytes")
    oss.faults.delay(0.01, times=None)
    async with Downloader(bucket, concurrency=2) as downloader:
        large = asyncio.create_task(downloader.download("large", tmp_path / "large", **SMALL))
        await anyio.to_thread.run_sync(oss.wait_for_requests, 4)
        await downloader.download("small", tmp_path / "small")
        assert not large.done()
        await large
    order = [request.key for request in oss.requests]
    assert order.index("small") < 12


@pytest.mark.slow
async def test_no_more_tasks_exist_than_requests_may_fly_however_many_parts(
    oss: LocalOSS, bucket: Any, path: Path
) -> None:
    oss.put("examplebucket", "key", size=300 * PART)
    most = 0
    around = len(asyncio.all_tasks()) + 1  # with the next one
    task = asyncio.create_task(download(bucket, "key", path, concurrency=3, **SMALL))
    while not task.done():
        most = max(most, len(asyncio.all_tasks()) - around)
        await asyncio.sleep(0)
    assert len(oss.requests) >= 300
    # One task for the transfer, one for its flusher, and one for each flying span. aiohttp has one for each new
    # connection.
    assert 2 + 3 <= most <= 2 + 2 * 3


async def test_cancelled_download_gives_its_slots_back(oss: LocalOSS, bucket: Any, tmp_path: Path) -> None:
    oss.put("examplebucket", "key", size=20 * PART)
    oss.put("examplebucket", "other", b"bytes")
    oss.faults.stall(0, times=None, key="key")
    async with Downloader(bucket, concurrency=2) as downloader:
        for number in range(3):
            task = asyncio.create_task(downloader.download("key", tmp_path / str(number), **SMALL))
            await anyio.to_thread.run_sync(oss.wait_for_requests, number + 1)
            task.cancel()
            await asyncio.wait([task])
        with pytest.raises(NoSuchKeyError):
            await downloader.download("none", tmp_path / "none")
        assert (await downloader.download("other", tmp_path / "other")).size == 5


async def test_max_bytes_per_second_still_fetches_the_object(
    oss: LocalOSS, bucket: Any, path: Path, same_bytes: Same
) -> None:
    stored = oss.put("examplebucket", "key", size=10 * PART)
    async with Downloader(bucket, max_bytes_per_second=10e6) as downloader:
        await downloader.download("key", path, **SMALL)
    assert same_bytes(path, stored.content)


async def test_session_of_the_callers_is_used_and_never_closed(
    oss: LocalOSS, bucket: Any, tmp_path: Path, same_bytes: Same
) -> None:
    stored = oss.put("examplebucket", "key", size=5 * PART)
    sent = []

    async def note(*about: Any) -> None:
        sent.append(about)

    tracing = aiohttp.TraceConfig()
    tracing.on_request_start.append(note)
    async with aiohttp.ClientSession(trace_configs=[tracing]) as session:
        for name in ("a", "b"):
            async with Downloader(bucket, session=session) as downloader:
                await downloader.download("key", tmp_path / name, **SMALL)
            assert not session.closed
        assert len(sent) == len(oss.requests)
    assert same_bytes(tmp_path / "a", stored.content)
    assert same_bytes(tmp_path / "b", stored.content)


async def test_session_of_the_callers_that_decompresses_and_redirects_is_used_safely(
    oss: LocalOSS, bucket: Any, path: Path
) -> None:
    oss.put("examplebucket", "key", b"not gzip at all", headers={"Content-Encoding": "gzip"})
    timeout = aiohttp.ClientTimeout(total=1e-9)
    async with (
        aiohttp.ClientSession(headers={"Accept-Encoding": "gzip"}, timeout=timeout) as session,
        Downloader(bucket, session=session) as downloader,
    ):
        await downloader.download("key", path)
    assert path.read_bytes() == b"not gzip at all"


async def test_closed_session_of_the_callers_is_an_error_that_is_not_retried(
    oss: LocalOSS, bucket: Any, path: Path
) -> None:
    oss.put("examplebucket", "key", b"bytes")
    session = aiohttp.ClientSession()
    await session.close()
    async with Downloader(bucket, session=session) as downloader:
        with pytest.raises(RequestError, match="closed"):
            await downloader.download("key", path)
    assert oss.requests == []


async def test_head_says_what_oss_says(oss: LocalOSS, bucket: Any) -> None:
    stored = oss.put(
        "examplebucket",
        "dir/key",
        b"bytes",
        headers={"Content-Type": "text/x-odd", "Content-Encoding": "odd", "x-oss-meta-Author": "me", "Expires": "0"},
        last_modified=1_700_000_000,
    )
    async with Downloader(bucket) as downloader:
        meta = await downloader.head("dir/key")
    assert (meta.key, meta.size, meta.etag) == ("dir/key", 5, stored.etag)
    assert meta.crc64 == BytesContent(b"bytes").crc64
    assert meta.last_modified is not None
    assert meta.last_modified.timestamp() == 1_700_000_000
    assert (meta.content_type, meta.content_encoding) == ("text/x-odd", "odd")
    assert (meta.storage_class, meta.object_type, meta.version_id) == ("Standard", "Normal", None)
    assert dict(meta.user_metadata) == {"author": "me"}
    assert dict(meta.http_headers) == {"expires": "0"}
    assert [request.method for request in oss.requests] == ["HEAD"]


async def test_head_of_a_version_with_headers_and_params(oss: LocalOSS) -> None:
    oss.enable_versioning("versioned")
    old = oss.put("versioned", "key", b"old!")
    oss.put("versioned", "key", b"new")
    async with Downloader(oss.bucket("versioned")) as downloader:
        meta = await downloader.head(
            "key", version_id=old.version_id, headers={"x-oss-request-payer": "requester"}, params={"a": "b c"}
        )
    assert (meta.size, meta.version_id) == (4, old.version_id)
    (request,) = oss.requests
    assert request.headers["x-oss-request-payer"] == "requester"
    assert request.query["a"] == "b c"


async def test_head_is_retried_and_raises_no_such_key(oss: LocalOSS, bucket: Any) -> None:
    oss.put("examplebucket", "key", b"bytes")
    oss.faults.status(503, method="HEAD")
    async with Downloader(bucket) as downloader:
        assert (await downloader.head("key")).size == 5
        with pytest.raises(NoSuchKeyError):
            await downloader.head("none")
    assert [request.status for request in oss.requests] == [503, 200, 404]


async def test_downloader_is_used_within_async_with(oss: LocalOSS, bucket: Any, path: Path) -> None:
    downloader = Downloader(bucket)
    with pytest.raises(ConfigError, match="async with"):
        await downloader.download("key", path)
    async with downloader:
        pass
    with pytest.raises(ConfigError, match="async with"):
        await downloader.download("key", path)
    with pytest.raises(ConfigError, match="async with"):
        await downloader.head("key")
    assert oss.requests == []


async def test_downloader_may_be_entered_again_after_it_was_left(oss: LocalOSS, bucket: Any, tmp_path: Path) -> None:
    oss.put("examplebucket", "key", b"bytes")
    downloader = Downloader(bucket)
    for name in ("a", "b"):
        async with downloader:
            await downloader.download("key", tmp_path / name)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["a", "b"]


async def test_downloader_is_entered_once_at_a_time(bucket: Any) -> None:
    async with Downloader(bucket) as downloader:
        with pytest.raises(ConfigError, match="in use"):
            await downloader.__aenter__()


async def test_downloader_belongs_to_its_event_loop(oss: LocalOSS, bucket: Any, path: Path) -> None:
    async with Downloader(bucket) as downloader:

        async def elsewhere() -> None:
            with pytest.raises(ConfigError, match="event loop"):
                await downloader.download("key", path)
            with pytest.raises(ConfigError, match="event loop"):
                await downloader.head("key")

        await anyio.to_thread.run_sync(lambda: asyncio.run(elsewhere()))
    assert oss.requests == []


async def test_downloads_of_two_loops_exclude_each_other_by_the_lock(oss: LocalOSS, bucket: Any, path: Path) -> None:
    oss.put("examplebucket", "key", size=PART // 2)
    oss.faults.stall(0)
    async with anyio.create_task_group() as group:

        async def run() -> None:
            await download(bucket, "key", path, **SMALL)

        group.start_soon(run)
        await anyio.to_thread.run_sync(oss.wait_for_requests, 1)

        async def elsewhere() -> None:
            with pytest.raises(Exception, match="another process"):
                await download(bucket, "key", path, on_busy="fail", **SMALL)

        await anyio.to_thread.run_sync(lambda: asyncio.run(elsewhere()))
        assert len(oss.requests) == 1
        oss.drop_connections()


async def test_repr_of_a_downloader_says_where_and_whether_it_is_open(bucket: Any) -> None:
    async with Downloader(bucket) as downloader:
        assert repr(downloader) == "<Downloader of oss://examplebucket, open>"
    assert repr(downloader) == "<Downloader of oss://examplebucket, closed>"


@pytest.mark.parametrize(
    "keywords",
    [
        {"concurrency": 0},
        {"concurrency": True},
        {"concurrency": 1.5},
        {"max_bytes_per_second": 0},
        {"max_bytes_per_second": -1},
        {"max_bytes_per_second": "fast"},
        {"session": "session"},
    ],
    ids=repr,
)
async def test_downloader_refuses_bad_arguments(bucket: Any, keywords: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        Downloader(bucket, **keywords)


async def test_leaving_the_block_ends_the_calls_that_run_and_their_downloads_can_be_resumed(
    oss: LocalOSS, bucket: Any, path: Path, same_bytes: Same, gate: Any
) -> None:
    stored = oss.put("examplebucket", "key", size=10 * PART)
    gate.close(5 * PART)
    is_written = asyncio.Event()

    def note_progress(consumed: int, _total: int | None) -> None:
        if consumed == 5 * PART:
            is_written.set()

    async with Downloader(bucket) as downloader:
        call = asyncio.create_task(downloader.download("key", path, **SMALL, progress_callback=note_progress))
        await is_written.wait()
    assert call.done()
    with pytest.raises(RequestError, match="the Downloader was closed") as caught:
        await call
    assert caught.value.__cause__ is caught.value.__context__ is None
    assert sorted(entry.suffix for entry in path.parent.iterdir()) == [".checkpoint", ".part"]
    gate.open()
    oss.clear_requests()
    result = await download(bucket, "key", path, **SMALL)
    assert result.resumed_bytes == 5 * PART
    assert same_bytes(path, stored.content)


@pytest.mark.parametrize("how", ["exception", "cancellation"])
async def test_leaving_the_block_by_an_exception_ends_the_calls_too(
    oss: LocalOSS, bucket: Any, path: Path, gate: Any, how: str
) -> None:
    oss.put("examplebucket", "key", size=10 * PART)
    gate.close(5 * PART)
    calls = []

    async def program() -> None:
        async with Downloader(bucket) as downloader:
            calls.append(asyncio.create_task(downloader.download("key", path, **SMALL)))
            await gate.is_reached()
            if how == "exception":
                raise LookupError("the program's own")
            await asyncio.Event().wait()

    running = asyncio.create_task(program())
    await gate.is_reached()
    if how == "cancellation":
        running.cancel()
    with pytest.raises((LookupError, asyncio.CancelledError)):
        await running
    with pytest.raises(RequestError, match="the Downloader was closed"):
        await calls[0]


async def test_leaving_the_block_ends_a_head_too(oss: LocalOSS, bucket: Any) -> None:
    oss.put("examplebucket", "key", b"bytes")
    hold = oss.faults.never_answer(method="HEAD", times=None)
    async with Downloader(bucket) as downloader:
        call = asyncio.create_task(downloader.head("key"))
        while not hold.hits:  # noqa: ASYNC110  # set by another thread
            await asyncio.sleep(0.001)
    with pytest.raises(RequestError, match="the Downloader was closed"):
        await call


async def test_transfer_that_another_downloader_has_joined_continues(
    oss: LocalOSS, bucket: Any, path: Path, same_bytes: Same, gate: Any
) -> None:
    stored = oss.put("examplebucket", "key", size=10 * PART)
    gate.close(5 * PART)
    async with Downloader(bucket) as stays:
        async with Downloader(bucket) as leaves:
            first = asyncio.create_task(leaves.download("key", path, **SMALL))
            await gate.is_reached()
            second = asyncio.create_task(stays.download("key", path, **SMALL))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        with pytest.raises(RequestError, match="the Downloader was closed"):
            await first
        gate.open()
        assert (await second).verified
    assert same_bytes(path, stored.content)
    assert [request.range for request in oss.requests].count((0, PART)) == 1


async def test_call_with_a_larger_concurrency_raises_the_shared_budget(
    oss: LocalOSS, bucket: Any, tmp_path: Path, gate: Any
) -> None:
    oss.put("examplebucket", "key", size=60 * PART)
    gate.close(PART)
    call = asyncio.create_task(download(bucket, "key", tmp_path / "file", **{**SMALL, "concurrency": 40}))
    while oss.peak_in_flight < 40:  # noqa: ASYNC110  # set by another thread
        await asyncio.sleep(0.001)
    gate.open()
    assert (await call).verified
    assert oss.peak_in_flight == 40
