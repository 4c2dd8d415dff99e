"""The scheduler without any file: spans of an object into memory."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from aioss_resume._core.crc64 import crc64
from aioss_resume._core.objects import ObjectMeta
from aioss_resume._core.transfer import Transfer
from aioss_resume._core.window import Window
from aioss_resume._io.fetch import RequestCounts, Source
from aioss_resume._transfer.client import Client
from aioss_resume._transfer.scheduler import SpanScheduler
from aioss_resume._transfer.sink import OpenSink, memory_sinks
from aioss_resume._transfer.span import SpanContext, SpanFetch
from aioss_resume.errors import NoSuchKeyError, ObjectChangedError, ObjectName
from aioss_resume.options import DEFAULT_TIMEOUTS, RetryPolicy
from aioss_resume.testing import GeneratedContent, KiB, LocalOSS

pytestmark = pytest.mark.anyio

PART = 100 * KiB
SIZE = 10 * PART + 77
QUICK = RetryPolicy(wait_initial=0, wait_max=0)


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    client = Client(concurrency=4, max_bytes_per_second=None, session=None)
    client.lease()
    yield client
    await client.end_lease()


def source_of(client: Client, bucket: Any) -> Source:
    return Source(
        client.session,
        client.origin(bucket),
        ObjectName("examplebucket", "key"),
        headers={},
        params={},
        timeouts=DEFAULT_TIMEOUTS,
        clock=client.clock,
        counts=RequestCounts(),
    )


def scheduler_into(
    open_sink: OpenSink, client: Client, source: Source, pinned: ObjectMeta, transfer: Transfer, **more: Any
) -> SpanScheduler:
    context = SpanContext(client, source, pinned, open_sink, QUICK, client.reporter(source.name), client.share())
    return SpanScheduler(context, transfer, Window(4, is_sought=False), **more)


async def test_whole_object_is_fetched_into_memory(oss: LocalOSS, bucket: Any, client: Client) -> None:
    content = oss.put("examplebucket", "key", size=SIZE, seed=1).content
    source = source_of(client, bucket)
    pinned, transfer = await source.head(), Transfer(SIZE, part_size=PART)
    buffer, written = bytearray(SIZE), []

    async def note(length: int) -> None:
        written.append(length)

    scheduler = scheduler_into(memory_sinks(memoryview(buffer)), client, source, pinned, transfer, on_written=note)
    await scheduler.run()
    assert bytes(buffer) == content.read(0, SIZE)
    assert transfer.is_complete
    assert transfer.crc64 == pinned.crc64 == crc64(buffer)
    assert sum(written) == SIZE
    assert oss.peak_in_flight <= 4


async def test_broken_connections_leave_no_gap_and_no_byte_twice(oss: LocalOSS, bucket: Any, client: Client) -> None:
    content = oss.put("examplebucket", "key", size=SIZE, seed=1).content
    source = source_of(client, bucket)
    pinned, transfer = await source.head(), Transfer(SIZE, part_size=PART)
    oss.faults.reset_after(30 * KiB, times=5)
    oss.faults.truncate(50 * KiB, times=3)
    buffer = bytearray(SIZE)
    await scheduler_into(memory_sinks(memoryview(buffer)), client, source, pinned, transfer).run()
    assert bytes(buffer) == content.read(0, SIZE)
    assert transfer.crc64 == pinned.crc64


async def test_error_ends_the_transfer_and_says_what_was_written(oss: LocalOSS, bucket: Any, client: Client) -> None:
    content: GeneratedContent = oss.put("examplebucket", "key", size=SIZE, seed=1).content
    source = source_of(client, bucket)
    pinned, transfer = await source.head(), Transfer(SIZE, part_size=PART)
    oss.faults.status(404, times=None, after_requests=3)
    buffer = bytearray(SIZE)
    with pytest.raises((NoSuchKeyError, ObjectChangedError)):
        await scheduler_into(memory_sinks(memoryview(buffer)), client, source, pinned, transfer).run()
    spans = transfer.spans()
    assert spans
    for span in spans:
        assert buffer[span.start : span.stop] == content.read(span.start, span.stop)
        assert span.crc64 == crc64(buffer[span.start : span.stop])


class IgnoringObserver:
    """A SpanObserver that does nothing."""

    async def on_written(self, length: int) -> None:
        pass

    def on_latency(self, seconds: float) -> None:
        pass

    def on_server_trouble(self) -> None:
        pass


async def test_shortened_flight_receives_nothing_beyond_its_new_end(oss: LocalOSS, bucket: Any, client: Client) -> None:
    """The bytes beyond belong to another flight, which may have written them already."""
    size = 8 * 1024 * KiB
    content = oss.put("examplebucket", "key", size=size, seed=1).content
    source = source_of(client, bucket)
    pinned, transfer, buffer = await source.head(), Transfer(size, part_size=size), bytearray(size)
    flight = transfer.claim()
    assert flight is not None
    oss.faults.slow(4 * 1024 * KiB)
    context = SpanContext(
        client, source, pinned, memory_sinks(memoryview(buffer)), QUICK, client.reporter(source.name), client.share()
    )
    task = asyncio.ensure_future(SpanFetch(context, flight, IgnoringObserver()).run())
    while flight.reach < 300 * KiB:  # noqa: ASYNC110  # until it is in the middle of the first MiB, which one call receives
        await asyncio.sleep(0)
    stop = flight.reach + 100
    flight.shorten(stop)
    await task
    assert buffer[:stop] == content.read(0, stop)
    assert buffer[stop:] == bytes(size - stop)
