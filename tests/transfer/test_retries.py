"""Tried again: how often, after how long, how many at once; and the one error that ends it."""

import fcntl
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio.to_thread
import oss2
import pytest
from flow.canary import Watch, assert_pickles, watching  # noqa: F401
from flow.ranged import PART, RANGED, SIZE, CountingClock, begins_at, interrupt, names, whole

import aioss_resume
from aioss_resume import (
    AccessDeniedError,
    Downloader,
    NoSuchKeyError,
    ObjectChangedError,
    RequestError,
    RetryPolicy,
    ServerFaultError,
    ThrottledError,
    Timeouts,
)
from aioss_resume._core.paths import lock_name
from aioss_resume.testing import KiB, LocalOSS

pytestmark = pytest.mark.anyio

COUNTS = 64 * KiB  # bytes of progress after which the attempts start anew
PATIENT = RetryPolicy(wait_initial=0.2, wait_max=20.0)


@pytest.fixture
def path(oss: LocalOSS, tmp_path: Path) -> Path:
    oss.put("examplebucket", "key", size=SIZE, seed=1)
    return tmp_path / "file"


class FrozenClock(CountingClock):
    """A CountingClock whose time stands still: nothing recovers."""

    def now(self) -> float:
        return 1.0


@asynccontextmanager
async def with_clock(bucket: Any, clock: CountingClock) -> AsyncIterator[Downloader]:
    async with Downloader(bucket) as downloader:
        assert downloader._client is not None
        downloader._client.clock = clock
        yield downloader


async def waits(bucket: Any, path: Path, *, chance: float = 0.0, **keywords: Any) -> list[float]:
    """The seconds that a download waited, all in all none of them in earnest."""
    clock = CountingClock(chance)
    async with with_clock(bucket, clock) as downloader:
        await downloader.download("key", path, **{**RANGED, "retry": PATIENT, **keywords})
    assert path.read_bytes() == whole()
    return clock.waits


@pytest.mark.parametrize("status", [429, 500, 503])
@pytest.mark.parametrize("where", [0, PART])
async def test_retry_after_is_honoured(oss: LocalOSS, bucket: Any, path: Path, status: int, where: int) -> None:
    oss.faults.status(status, retry_after=7, range=begins_at(where))
    assert await waits(bucket, path) == [7.0]


async def test_retry_after_as_a_date_is_taken_from_the_servers_own_clock(
    oss: LocalOSS, bucket: Any, path: Path
) -> None:
    date = "Mon, 01 Jan 2024 00:00:{:02} GMT"
    oss.faults.status(503, retry_after=date.format(9), headers={"Date": date.format(0)})
    assert await waits(bucket, path) == [9.0]


@pytest.mark.parametrize("value", ["86400", "9" * 400, "Fri, 31 Dec 9999 23:59:59 GMT"])
async def test_hostile_retry_after_of_a_response_waits_no_longer_than_the_policy(
    oss: LocalOSS, bucket: Any, path: Path, value: str
) -> None:
    oss.faults.status(503, retry_after=value)
    assert await waits(bucket, path) == [20.0]


@pytest.mark.parametrize("value", ["-1", "0", "inf", "nan", "1e9", "soon", "٣", "Thu, 01 Jan 1970 00:00:00 GMT"])
async def test_malformed_retry_after_leaves_the_wait_to_the_policy(
    oss: LocalOSS, bucket: Any, path: Path, value: str
) -> None:
    oss.faults.status(503, headers={"Retry-After": value} if value.isascii() else {})
    assert await waits(bucket, path, chance=0.5) == [0.1]


async def test_retry_after_shorter_than_the_wait_of_the_policy_does_not_shorten_it(
    oss: LocalOSS, bucket: Any, path: Path
) -> None:
    oss.faults.status(503, retry_after=1, times=4)
    assert await waits(bucket, path, chance=1.0) == [1.0, 1.0, 1.0, 1.6]


async def test_waits_double_and_are_spread_by_chance(oss: LocalOSS, bucket: Any, path: Path) -> None:
    oss.faults.status(500, times=5)
    assert await waits(bucket, path, chance=1.0) == [0.2, 0.4, 0.8, 1.6, 3.2]
    oss.faults.status(500, times=5)
    assert await waits(bucket, path, chance=0.25) == [0.05, 0.1, 0.2, 0.4, 0.8]


async def test_waits_grow_no_longer_than_wait_max(oss: LocalOSS, bucket: Any, path: Path) -> None:
    oss.faults.reset_after(0, range=(0, PART), times=5)
    policy = RetryPolicy(wait_initial=4.0, wait_max=10.0)
    assert await waits(bucket, path, chance=1.0, retry=policy) == [4.0, 8.0, 10.0, 10.0, 10.0]


@pytest.mark.parametrize("attempts", [1, 2, 4])
async def test_span_is_tried_as_often_as_the_policy_allows(
    oss: LocalOSS, bucket: Any, path: Path, watch: Watch, attempts: int
) -> None:
    oss.faults.status(500, range=begins_at(PART), times=None)
    policy = RetryPolicy(attempts=attempts, wait_initial=0.0, wait_max=0.0)
    with watch.raises(ServerFaultError) as caught:
        await aioss_resume.download(bucket, "key", path, **{**RANGED, "retry": policy, "concurrency": 1})
    assert len(oss.requests) == 1 + attempts
    noted = f"after {attempts} attempts, the last {attempts} of them without progress"
    assert getattr(caught.error, "__notes__", []) == ([noted] if attempts > 1 else [])


@pytest.mark.slow
async def test_attempts_start_over_after_progress_that_counts(oss: LocalOSS, bucket: Any, path: Path) -> None:
    oss.faults.stall(COUNTS, times=4)
    policy = RetryPolicy(attempts=2, wait_initial=0.0, wait_max=0.0)
    result = await aioss_resume.download(bucket, "key", path, fsync=False, retry=policy, timeouts=Timeouts(stall=0.3))
    assert [record.range for record in oss.requests[1:]] == [(n * COUNTS, SIZE) for n in (1, 2, 3, 4)]
    assert (result.attempts, result.fetched_bytes) == (5, SIZE)
    assert path.read_bytes() == whole()


@pytest.mark.slow
async def test_too_little_progress_does_not_start_the_attempts_over(
    oss: LocalOSS, bucket: Any, path: Path, watch: Watch
) -> None:
    oss.faults.stall(COUNTS - 1, times=None)
    policy = RetryPolicy(attempts=3, wait_initial=0.0, wait_max=0.0)
    with watch.raises(RequestError) as caught:
        await aioss_resume.download(bucket, "key", path, fsync=False, retry=policy, timeouts=Timeouts(stall=0.3))
    assert len(oss.requests) == 3
    assert caught.error.__notes__ == ["after 3 attempts, the last 3 of them without progress"]


async def test_note_counts_attempts_with_and_without_progress(
    oss: LocalOSS, bucket: Any, path: Path, watch: Watch
) -> None:
    oss.faults.stall(COUNTS, times=2)
    oss.faults.status(500, after_requests=2, times=None)
    policy = RetryPolicy(attempts=3, wait_initial=0.0, wait_max=0.0)
    with watch.raises(ServerFaultError) as caught:
        await aioss_resume.download(bucket, "key", path, fsync=False, retry=policy, timeouts=Timeouts(stall=0.3))
    assert len(oss.requests) == 4
    assert caught.error.__notes__ == ["after 4 attempts, the last 3 of them without progress"]


async def test_each_span_has_attempts_of_its_own(oss: LocalOSS, bucket: Any, path: Path) -> None:
    for start in range(0, SIZE, PART):
        oss.faults.status(503, range=(start, min(start + PART, SIZE)), times=2)
    policy = RetryPolicy(attempts=3, wait_initial=0.0, wait_max=0.0)
    result = await aioss_resume.download(bucket, "key", path, **{**RANGED, "retry": policy})
    assert path.read_bytes() == whole()
    assert (result.requests, result.attempts) == (11, 33)


async def test_deadline_ends_the_wait_for_another_process_and_keeps_what_was_written(
    oss: LocalOSS, bucket: Any, path: Path, watch: Watch
) -> None:
    await interrupt(bucket, oss, path)
    kept = names(path.parent)
    descriptor = os.open(path.with_name(lock_name("file")), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        with watch.raises(RequestError) as caught:
            await aioss_resume.download(bucket, "key", path, **{**RANGED, "retry": RetryPolicy(deadline=0.1)})
        assert "deadline" in str(caught.error)
        assert oss.requests == []
        assert path.with_name(lock_name("file")).exists()
    finally:
        path.with_name(lock_name("file")).unlink()
        os.close(descriptor)
    assert names(path.parent) == kept
    result = await aioss_resume.download(bucket, "key", path, **RANGED)
    assert result.resumed_bytes == 5 * PART
    assert path.read_bytes() == whole()


async def test_deadline_leaves_the_old_file(oss: LocalOSS, bucket: Any, path: Path, watch: Watch) -> None:
    path.write_bytes(b"old")
    oss.faults.stall(0, times=None)
    with watch.raises(RequestError):
        await aioss_resume.download(bucket, "key", path, **{**RANGED, "retry": RetryPolicy(deadline=0.1)})
    assert path.read_bytes() == b"old"


async def test_deadline_that_is_not_reached_changes_nothing(oss: LocalOSS, bucket: Any, path: Path) -> None:
    await aioss_resume.download(bucket, "key", path, **{**RANGED, "retry": RetryPolicy(deadline=100)})
    assert path.read_bytes() == whole()


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_storm_of_refusals_halves_the_requests_in_flight(
    oss: LocalOSS, bucket: Any, path: Path, status: int
) -> None:
    oss.put("examplebucket", "key", size=60 * PART)
    storm = oss.faults.status(status, range=begins_at(PART), times=8)

    def count_anew(asked: Any) -> bool:
        if asked is not None and asked[0] == 30 * PART:  # by then, all requests with errors have ended
            oss.clear_requests()
        return True

    oss.faults.delay(0.02, times=None, range=count_anew)
    async with with_clock(bucket, FrozenClock()) as downloader:
        await downloader.download("key", path, **{**RANGED, "concurrency": 8})
    assert storm.hits == 8
    assert oss.peak_in_flight == 4
    assert path.stat().st_size == 60 * PART


async def test_failures_that_are_not_the_servers_do_not_reduce_concurrency(
    oss: LocalOSS, bucket: Any, path: Path
) -> None:
    oss.put("examplebucket", "key", size=60 * PART)
    oss.faults.reset_after(1000, range=begins_at(PART), times=8)
    oss.faults.delay(0.02, times=None)
    async with with_clock(bucket, FrozenClock()) as downloader:
        await downloader.download("key", path, **{**RANGED, "concurrency": 8})
    assert oss.peak_in_flight == 8


@pytest.mark.parametrize("concurrency", [1, 2, 8])
async def test_concurrent_failures_give_one_plain_error(
    oss: LocalOSS, bucket: Any, path: Path, watch: Watch, concurrency: int
) -> None:
    oss.faults.status(403, range=begins_at(PART), times=None)
    with watch.raises(AccessDeniedError) as caught:
        await aioss_resume.download(bucket, "key", path, **{**RANGED, "concurrency": concurrency})
    assert not isinstance(caught.error, BaseExceptionGroup)
    assert caught.error.__cause__ is None
    assert caught.error.__context__ is None
    assert len(oss.requests) <= 1 + concurrency


async def test_most_important_of_concurrent_failures_is_raised(
    oss: LocalOSS, bucket: Any, path: Path, watch: Watch
) -> None:
    policy = RetryPolicy(attempts=1)
    oss.faults.status(500, range=begins_at(2 * PART), times=None)
    oss.faults.delete_object(range=(PART, 2 * PART))
    with watch.raises(ObjectChangedError, ServerFaultError) as caught:
        await aioss_resume.download(bucket, "key", path, **{**RANGED, "retry": policy})
    assert not isinstance(caught.error, BaseExceptionGroup)
    assert caught.error.__context__ is None


ANSWERS = [
    (400, "InvalidArgument"),
    (400, "InvalidRequest"),
    (400, "InvalidObjectName"),
    (400, "NotImplemented"),
    (400, "Unheard"),
    (403, "AccessDenied"),
    (403, "SignatureDoesNotMatch"),
    (403, "InvalidAccessKeyId"),
    (403, "SecurityTokenExpired"),
    (403, "InvalidObjectState"),
    (403, "UserDisable"),
    (404, "NoSuchKey"),
    (404, "NoSuchBucket"),
    (404, "NoSuchVersion"),
    (404, "SymlinkTargetNotExist"),
    (405, "MethodNotAllowed"),
    (409, "BucketNotEmpty"),
    (409, "ObjectNotAppendable"),
    (411, "MissingContentLength"),
    (412, "PreconditionFailed"),
    (416, "InvalidRange"),
    (429, "QpsLimitExceeded"),
    (500, "InternalError"),
    (502, "BadGateway"),
    (503, "ServiceUnavailable"),
    (503, "DownloadTrafficRateLimitExceeded"),
]


@pytest.mark.parametrize(("status", "code"), ANSWERS)
async def test_except_clause_for_oss2s_class_catches_our_error(
    oss: LocalOSS, bucket: Any, path: Path, watch: Watch, status: int, code: str
) -> None:
    body = f"<Error><Code>{code}</Code><Message>said why</Message></Error>".encode()
    answer = SimpleNamespace(status=status, headers={}, read=BytesIO(body).read)
    theirs = oss2.exceptions.make_exception(answer)
    oss.faults.status(status, oss_code=code, message="said why", times=None)
    policy = RetryPolicy(attempts=2, wait_initial=0.0, wait_max=0.0)
    with watch.raises(type(theirs)) as caught:
        await aioss_resume.download(bucket, "key", path, **{**RANGED, "retry": policy})
    ours = caught.error
    assert isinstance(ours, aioss_resume.ServiceError)
    assert (ours.status, ours.code) == (theirs.status, theirs.code) == (status, code)
    assert ours.message == theirs.message
    assert ours.request_id == oss.requests[-1].request_id
    assert len(oss.requests) == (2 if status in (416, 429) or status >= 500 else 1)
    assert names(path.parent) == []


@pytest.mark.parametrize("status", [403, 404, 412, 416, 500, 503])
async def test_error_midway_is_one_of_ours_that_pickles_and_loses_nothing(
    oss: LocalOSS, bucket: Any, path: Path, status: int
) -> None:
    failing = oss.faults.status(status, range=begins_at(5 * PART), times=None)
    keywords = {**RANGED, "on_change": "fail", "concurrency": 1}
    with pytest.raises(oss2.exceptions.ServerError) as caught:
        await aioss_resume.download(bucket, "key", path, **keywords)
    assert_pickles(caught.value)
    failing.cancel()
    result = await aioss_resume.download(bucket, "key", path, **keywords)
    assert path.read_bytes() == whole()
    assert result.resumed_bytes == (0 if status in (412, 416) else 5 * PART)


async def test_request_timeout_of_oss_is_retried(oss: LocalOSS, bucket: Any, path: Path) -> None:
    oss.faults.status(400, oss_code="RequestTimeout")
    oss.faults.status(409, oss_code="RequestTimeout", range=begins_at(PART))
    result = await aioss_resume.download(bucket, "key", path, **RANGED)
    assert path.read_bytes() == whole()
    assert result.attempts == result.requests + 2


async def test_refused_connection_is_a_request_error_with_a_note(
    oss: LocalOSS, bucket: Any, path: Path, watch: Watch
) -> None:
    await anyio.to_thread.run_sync(oss.stop)
    with watch.raises(RequestError) as caught:
        await aioss_resume.download(bucket, "key", path, **RANGED)
    assert caught.error.__notes__ == ["after 6 attempts, the last 6 of them without progress"]
    assert names(path.parent) == []


async def test_error_that_is_not_retried_has_no_note(oss: LocalOSS, bucket: Any, path: Path, watch: Watch) -> None:
    with watch.raises(NoSuchKeyError) as caught:
        await aioss_resume.download(bucket, "other", path, **RANGED)
    assert not hasattr(caught.error, "__notes__")


async def test_throttled_download_that_continues_ends_with_the_file(oss: LocalOSS, bucket: Any, path: Path) -> None:
    oss.faults.status(503, probability=0.4, times=None, seed=3)
    policy = RetryPolicy(attempts=30, wait_initial=0.0, wait_max=0.0)
    try:
        result = await aioss_resume.download(bucket, "key", path, **{**RANGED, "retry": policy})
    except ThrottledError:
        pytest.fail("thirty attempts were not enough")
    assert path.read_bytes() == whole()
    assert result.attempts > result.requests == 11
