"""What runs in one Downloader together: views for other buckets, a rate that changes, keys that expire, and slots."""

import asyncio
from pathlib import Path
from typing import Any

import oss2
import pytest
from flow.ranged import PART, QUICK, RANGED, SIZE, whole

from aioss_resume import ConfigError, CredentialsError, Downloader, RequestError
from aioss_resume.testing import KiB, LocalOSS, MiB

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("content")]


async def test_view_of_another_bucket_shares_session_limits_and_end(oss: LocalOSS, bucket: Any, tmp_path: Path) -> None:
    oss.put("otherbucket", "key", b"other")
    events: list[Any] = []
    async with Downloader(bucket, concurrency=1, on_event=events.append) as downloader:
        other = downloader.for_bucket(oss.bucket("otherbucket"))
        assert await downloader.read("key", stop=5) == whole()[:5]
        assert await other.read("key") == b"other"
        await other.download("key", tmp_path / "file", **RANGED)
        assert len({record.connection for record in oss.requests}) == 1
        other.max_bytes_per_second = 10**9
        assert downloader.max_bytes_per_second == 10**9
        with pytest.raises(ConfigError):
            await other.__aenter__()
    assert {event.bucket for event in events} == {"examplebucket", "otherbucket"}
    with pytest.raises(ConfigError, match="not open"):
        await other.read("key")
    for wrong in (None, "bucket"):
        with pytest.raises(ConfigError):
            downloader.for_bucket(wrong)


@pytest.mark.parametrize("rate", [0, -1, "fast", float("nan"), True])
async def test_invalid_rate_is_a_config_error_and_changes_nothing(bucket: Any, rate: Any) -> None:
    async with Downloader(bucket, max_bytes_per_second=5e6) as downloader:
        with pytest.raises(ConfigError):
            downloader.max_bytes_per_second = rate
        assert downloader.max_bytes_per_second == 5e6


async def test_raised_rate_takes_effect_on_what_waits(bucket: Any) -> None:
    """At 1 KiB a second it would take a quarter of an hour: the test would run into its time limit."""
    async with Downloader(bucket, max_bytes_per_second=KiB) as downloader:
        reads = [asyncio.ensure_future(downloader.read("key", part_size=PART)) for _ in range(2)]
        async with downloader.stream("key", part_size=PART) as stream:
            assert await stream.read(1)
            downloader.max_bytes_per_second = None
            assert len(await stream.read()) == SIZE - 1
        assert [await read for read in reads] == [whole(), whole()]


class Expiring:
    """Gives keys that OSS takes for twenty requests, and fails at every third call."""

    def __init__(self, oss: LocalOSS) -> None:
        self.oss = oss
        self.calls = 0
        self.current = ""

    def renew_if_used_up(self) -> None:
        served = [record for record in self.oss.requests if self.current and self.current in str(record.headers)]
        if len(served) >= 20:
            self.oss.expire(self.current)

    async def get_credentials(self) -> Any:
        self.calls += 1
        if self.calls % 3 == 0:
            raise LookupError("the provider is down")
        self.current = f"temporary-id-{self.calls:06d}"
        self.oss.add_credentials(self.current, "secret-of-it", f"token-{self.calls:06d}")
        return oss2.credentials.Credentials(self.current, "secret-of-it", f"token-{self.calls:06d}")


async def test_expiring_keys_a_failing_provider_a_wrong_clock_and_resets_all_at_once(
    oss: LocalOSS, tmp_path: Path
) -> None:
    size = 40 * MiB
    oss.put("examplebucket", "large", size=size, seed=1)
    oss.clock_offset = 3600  # an hour ahead
    oss.faults.reset_after(50 * KiB, times=None, probability=0.02, seed=1)
    provider = Expiring(oss)
    bucket = oss.bucket("examplebucket", auth=oss2.ProviderAuthV4(provider))
    done = asyncio.Event()

    async def expire() -> None:
        while not done.is_set():
            provider.renew_if_used_up()
            await asyncio.sleep(0.01)

    expiring = asyncio.ensure_future(expire())
    async with Downloader(bucket) as downloader:
        download = asyncio.ensure_future(
            downloader.download("large", tmp_path / "large", part_size=MiB // 4, multiget_threshold=MiB, retry=QUICK)
        )
        async with downloader.stream("large", part_size=MiB // 4, window=8 * MiB, retry=QUICK) as stream:
            assert await stream.read() == whole(size)
            assert stream.verified
        assert (await download).verified
        done.set()
        await expiring
    assert provider.calls > 5
    assert (tmp_path / "large").read_bytes() == whole(size)


async def test_hundred_tasks_share_one_fetch_of_an_async_provider(oss: LocalOSS, content: bytes) -> None:
    provider = Expiring(oss)
    bucket = oss.bucket("examplebucket", auth=oss2.ProviderAuthV4(provider))
    async with Downloader(bucket) as downloader:
        found = await asyncio.gather(*(downloader.read("key", n, n + 10) for n in range(100)))
    assert found == [content[n : n + 10] for n in range(100)]
    assert provider.calls == 1


async def test_provider_that_goes_on_failing_is_an_error_and_not_an_expired_key_in_silence(oss: LocalOSS) -> None:
    class Once(Expiring):
        async def get_credentials(self) -> Any:
            if self.calls:
                raise LookupError("down")
            return await super().get_credentials()

    provider = Once(oss)
    async with Downloader(oss.bucket("examplebucket", auth=oss2.ProviderAuthV4(provider))) as downloader:
        assert len(await downloader.read("key", stop=5)) == 5
        oss.expire(provider.current)
        with pytest.raises(CredentialsError, match="LookupError"):
            await downloader.read("key", stop=5)


async def test_empty_reads_and_streams_hold_no_slot(bucket: Any) -> None:
    async with Downloader(bucket, concurrency=1) as downloader:
        for start in (SIZE, SIZE + 5, -10):
            for stop in (0, -20, None):
                async with asyncio.timeout(20), downloader.stream("key", start, stop) as found:
                    assert await found.read() == whole()[start:stop]
                async with asyncio.timeout(20):
                    assert await downloader.read("key", start, stop) == whole()[start:stop]
                    assert await downloader.read_ranges("key", [(start, stop)]) == [whole()[start:stop]]
        assert downloader._client is not None
        assert downloader._client.slots.taken == 0


async def test_stream_that_is_left_before_it_has_begun_keeps_nothing(oss: LocalOSS, bucket: Any) -> None:
    async with Downloader(bucket, concurrency=1) as downloader:
        for _ in range(3):
            async with downloader.stream("key", part_size=PART):
                pass
            assert downloader._client is not None
            assert downloader._client.slots.taken == 0
    async with Downloader(bucket) as downloader:
        stream = await downloader.stream("key", part_size=PART).__aenter__()
    with pytest.raises(RequestError, match="was closed"):
        await stream.read()


async def read(downloader: Downloader) -> None:
    await downloader.read("key", part_size=PART)


async def read_into(downloader: Downloader) -> None:
    await downloader.read_into("key", bytearray(SIZE), part_size=PART)


async def read_ranges(downloader: Downloader) -> None:
    await downloader.read_ranges("key", [(0, 5), (5 * PART, None), (-7, None)], part_size=PART)


async def stream(downloader: Downloader) -> None:
    async with downloader.stream("key", part_size=PART, window=3 * PART) as found:
        async for _ in found:
            await asyncio.sleep(0)


async def head(downloader: Downloader) -> None:
    await downloader.head("key")


@pytest.mark.parametrize("call", [read, read_into, read_ranges, stream, head])
async def test_call_cancelled_at_any_step_leaves_nothing(bucket: Any, call: Any) -> None:
    """Steps of the loop are counted; those after the call's own end change nothing."""
    async with Downloader(bucket, concurrency=3) as downloader:
        for steps in [*range(30), *range(30, 400, 7)]:
            task = asyncio.ensure_future(call(downloader))
            for _ in range(steps):
                if task.done():
                    break
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled() or task.exception() is None
            assert downloader._client is not None
            assert downloader._client.slots.taken == 0
            assert not downloader._client.slots.has_waiting
        assert len(await downloader.read("key")) == SIZE  # the Downloader still works


async def test_reads_and_streams_end_with_their_downloader(oss: LocalOSS, bucket: Any) -> None:
    hold = oss.faults.stall(times=None)
    async with Downloader(bucket) as downloader:
        calls = [asyncio.ensure_future(call(downloader)) for call in (read, read_into, read_ranges, stream)]
        await asyncio.to_thread(oss.wait_for_requests, 4)
    for call in calls:
        with pytest.raises(RequestError, match="was closed"):
            await call
    hold.cancel()


async def test_small_read_beside_a_large_download_gets_a_slot_before_a_part_ends(
    oss: LocalOSS, bucket: Any, tmp_path: Path
) -> None:
    """All slots are held by parts that never end by themselves: one of them ends early."""
    oss.put("examplebucket", "large", size=200 * MiB, seed=2)
    oss.faults.slow(2 * MiB, times=None, key="large")
    async with Downloader(bucket, concurrency=2) as downloader:
        large = asyncio.ensure_future(downloader.download("large", tmp_path / "large", part_size=64 * MiB))
        await asyncio.to_thread(oss.wait_for_requests, 2)
        await asyncio.to_thread(oss.wait_for_bytes, MiB)
        for _ in range(3):
            assert len(await downloader.read("key")) == SIZE
        assert not large.done()
        large.cancel()
        await asyncio.wait([large])
