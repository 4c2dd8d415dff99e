"""Events and log records: what they say, in which order, and that neither a slow nor a broken hook matters."""

import asyncio
import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from flow.ranged import PART, QUICK, RANGED, SIZE, interrupt

from aioss_resume import (
    AttemptFailed,
    CheckpointFlushed,
    DownloadCommitted,
    Downloader,
    DownloadFailed,
    DownloadFinished,
    DownloadStarted,
    DownloadVerified,
    Event,
    NoSuchKeyError,
    ObjectChanged,
    SpanFetched,
    StreamFinished,
    StreamStarted,
)
from aioss_resume.testing import LocalOSS

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("content")]


async def events_of(bucket: Any, path: Path, **keywords: Any) -> list[Any]:
    events: list[Any] = []
    async with Downloader(bucket, on_event=events.append) as downloader:
        await downloader.download("key", path, **{**RANGED, **keywords})
    return events


async def test_download_sends_its_events_in_order(bucket: Any, tmp_path: Path) -> None:
    events = await events_of(bucket, tmp_path / "file")
    kinds = [type(event) for event in events]
    assert kinds[0] is DownloadStarted
    assert kinds[-3:] == [DownloadVerified, DownloadCommitted, DownloadFinished]
    assert set(kinds[1:-3]) <= {SpanFetched, CheckpointFlushed}
    assert events[0].path == events[-2].path == tmp_path / "file"
    assert (events[0].size, events[0].resumed_bytes) == (SIZE, 0)
    assert sum(event.stop - event.start for event in events if isinstance(event, SpanFetched)) == SIZE
    assert events[-1].result.size == SIZE
    assert len({event.download_id for event in events}) == 1
    assert {(event.bucket, event.key, event.dropped) for event in events} == {("examplebucket", "key", 0)}


async def test_small_download_sends_the_same_events(oss: LocalOSS, bucket: Any, tmp_path: Path) -> None:
    oss.put("examplebucket", "key", b"small")
    events = await events_of(bucket, tmp_path / "file")
    assert [type(event) for event in events] == [DownloadStarted, DownloadVerified, DownloadCommitted, DownloadFinished]


async def test_events_have_failed_attempts_and_resumed_bytes(oss: LocalOSS, bucket: Any, tmp_path: Path) -> None:
    path = tmp_path / "file"
    await interrupt(bucket, oss, path)
    oss.faults.status(503, times=1, after_requests=1)
    events = await events_of(bucket, path)
    assert events[0].resumed_bytes >= 5 * PART
    (failed,) = [event for event in events if isinstance(event, AttemptFailed)]
    assert failed.attempt == 1
    assert failed.wait == 0
    assert failed.error.status == 503


async def test_event_of_a_replaced_object_has_both_etags(oss: LocalOSS, bucket: Any, tmp_path: Path) -> None:
    old = oss.find("examplebucket", "key").etag
    oss.faults.replace_object(after_requests=3)
    events = await events_of(bucket, tmp_path / "file")
    (changed,) = [event for event in events if isinstance(event, ObjectChanged)]
    assert (changed.old_etag, changed.new_etag) == (old, oss.find("examplebucket", "key").etag)


async def test_failure_is_the_last_event(bucket: Any, tmp_path: Path) -> None:
    events: list[Any] = []
    async with Downloader(bucket, on_event=events.append) as downloader:
        with pytest.raises(NoSuchKeyError) as caught:
            await downloader.download("missing", tmp_path / "file", **RANGED)
    assert isinstance(events[-1], DownloadFailed)
    assert str(events[-1].error) == str(caught.value)


async def test_reads_and_streams_send_events_when_they_start_and_finish(oss: LocalOSS, bucket: Any) -> None:
    events: list[Any] = []
    async with Downloader(bucket, on_event=events.append) as downloader:
        await downloader.read("key", 5, 500)
        async with downloader.stream("key", part_size=PART) as stream:
            await stream.read()
        oss.faults.status(404, times=1)
        with pytest.raises(NoSuchKeyError):
            await downloader.read("key", retry=QUICK)
    by_id: dict[str, list[Any]] = {}
    for event in events:
        by_id.setdefault(event.download_id, []).append(event)
    read, streamed, failed = by_id.values()
    assert [type(event) for event in read] == [StreamStarted, SpanFetched, StreamFinished]
    assert (read[0].start, read[0].size, read[2].received_bytes, read[2].error) == (5, 495, 495, None)
    assert type(streamed[0]) is StreamStarted
    assert type(streamed[-1]) is StreamFinished
    assert streamed[-1].received_bytes == SIZE
    assert [type(event) for event in failed] == [StreamFinished]
    assert isinstance(failed[0].error, NoSuchKeyError)


async def test_async_hook_is_awaited_in_order_and_a_slow_one_delays_no_download(bucket: Any, tmp_path: Path) -> None:
    gate, seen = asyncio.Event(), []

    async def hook(event: Event) -> None:
        await gate.wait()
        seen.append(type(event))

    async with Downloader(bucket, on_event=hook) as downloader:
        await downloader.download("key", tmp_path / "file", **RANGED)  # returns although the hook is still blocked
        assert seen == []
        gate.set()
    assert seen[0] is DownloadStarted
    assert seen[-1] is DownloadFinished


async def test_hook_that_raises_is_logged_once_and_not_called_again(
    bucket: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    calls = []

    def hook(event: Event) -> None:
        calls.append(event)
        raise LookupError("the hook's own")

    async with Downloader(bucket, on_event=hook) as downloader:
        for name in ("a", "b"):
            await downloader.download("key", tmp_path / name, **RANGED)
    assert len(calls) == 1
    assert len([record for record in caplog.records if "on_event" in record.message]) == 1


async def test_log_records_have_stable_keys(
    oss: LocalOSS, bucket: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "aioss_resume")
    oss.faults.status(503, times=1, after_requests=2)
    async with Downloader(bucket) as downloader:
        await downloader.download("key", tmp_path / "file", **RANGED)
    records: list[Any] = [record for record in caplog.records if record.name == "aioss_resume"]
    assert [record.levelname for record in records] == ["INFO", "WARNING", "INFO"]
    assert {(record.bucket, record.key) for record in records} == {("examplebucket", "key")}
    assert len({record.download_id for record in records}) == 1
    assert [record.attempt for record in records] == [None, 1, None]
    assert records[1].request_id in [record.request_id for record in oss.requests]


def test_script_without_logging_prints_nothing(oss: LocalOSS, tmp_path: Path) -> None:
    oss.faults.status(503, times=1, after_requests=2)
    program = f"""
import asyncio, oss2, aioss_resume
bucket = oss2.Bucket(oss2.AuthV4({oss.access_key_id!r}, {oss.access_key_secret!r}), {oss.endpoint!r}, "examplebucket",
                     region="cn-hangzhou")
parts = dict(part_size=102400, multiget_threshold=102400)
asyncio.run(aioss_resume.download(bucket, "key", {str(tmp_path / "file")!r}, **parts))
"""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")
