"""Rows N of the catalogue: the network and the answers. tests/README.md is the map."""
# ruff: noqa: N802

import asyncio
import gzip
import socket
import ssl
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import aiohttp.abc
import oss2
import pytest
import trustme
from flow.canary import TEMPORARY_ID, TEMPORARY_SECRET, TOKEN, Watch
from flow.ranged import PART, QUICK, RANGED, SIZE, CountingClock, asked, begins_at, interrupt, names, whole
from over_old import ATTEMPTS, HASTY, OLD, THRICE, Pins, brings, clocked, fails, is_there, put, with_session

import aioss_resume
from aioss_resume import (
    AccessDeniedError,
    AiossError,
    IntegrityError,
    ObjectArchivedError,
    ObjectChangedError,
    ProtocolError,
    RequestError,
    RetryPolicy,
    ServerFaultError,
    Timeouts,
)
from aioss_resume.testing import HOSTILE_BODIES, HOSTILE_RETRY_AFTERS, ChaosProxy, GiB, LocalOSS, MiB, Recorder

pytestmark = pytest.mark.anyio

OTHERS = begins_at(PART)
WHERE = pytest.mark.parametrize("where", [0, PART], ids=["first", "others"])
CUTS = pytest.mark.parametrize("cut", [0, PART - 1])
PARTS = range(2, 12)
"""The requests of a download in ranges, but for the first."""


@pytest.mark.parametrize("cut", [0, 1, 3 * MiB, 4 * MiB - 1])
async def test_N01_truncated_body_continues_from_its_last_byte(
    oss: LocalOSS, bucket: Any, path: Path, cut: int
) -> None:
    put(oss, 4 * MiB)
    oss.faults.truncate(cut)
    result = await brings(bucket, path, whole(4 * MiB), multiget_threshold=8 * MiB)
    _, second = asked(oss)
    assert second is not None
    # Bytes that were still in aiohttp's buffer at the reset are lost: at most twice its size and one read.
    assert cut - 2 * MiB <= second[0] <= cut
    assert (result.attempts, result.fetched_bytes) == (2, 4 * MiB)


@pytest.mark.parametrize("fault", ["truncate", "reset_after", "cut_chunked", "cut_unannounced"])
@WHERE
async def test_N01_body_that_is_cut_forever_is_bounded_by_attempts(
    oss: LocalOSS, bucket: Any, path: Path, watch: Watch, fault: str, where: int
) -> None:
    put(oss)
    getattr(oss.faults, fault)(1000, range=begins_at(where), times=None)
    error = await fails(watch, RequestError, bucket, path, concurrency=4)
    assert error.__notes__
    assert len(oss.requests) <= 1 + 4 * ATTEMPTS


@CUTS
@WHERE
async def test_N02_short_body_without_a_length_is_not_complete(
    oss: LocalOSS, bucket: Any, path: Path, cut: int, where: int
) -> None:
    put(oss)
    oss.faults.cut_unannounced(cut, range=begins_at(where))
    assert (await brings(bucket, path)).verified


@CUTS
@WHERE
async def test_N03_bytes_received_before_a_reset_are_kept(
    oss: LocalOSS, bucket: Any, path: Path, cut: int, where: int
) -> None:
    put(oss)
    oss.faults.reset_after(cut, range=begins_at(where))
    assert (await brings(bucket, path)).verified


async def test_N03_object_is_fetched_over_connections_that_keep_breaking(oss: LocalOSS, path: Path) -> None:
    put(oss)
    oss.create_bucket("examplebucket")
    with ChaosProxy("127.0.0.1", oss.port) as proxy:
        proxy.reset_after(2 * PART, times=8)
        await brings(oss.bucket("examplebucket", endpoint=proxy.endpoint), path)
        assert proxy.connections >= 5


@pytest.mark.parametrize("fault", ["reset_before", "close_before"])
@WHERE
async def test_N04_connection_lost_before_the_response_does_not_count_as_an_attempt(
    oss: LocalOSS, bucket: Any, path: Path, fault: str, where: int
) -> None:
    put(oss)
    getattr(oss.faults, fault)(range=begins_at(where))
    await brings(bucket, path, retry=RetryPolicy(attempts=1))


@pytest.mark.parametrize("how", ["close", "reset"])
async def test_N04_stale_connection_does_not_count_as_an_attempt(
    oss: LocalOSS, bucket: Any, path: Path, how: Any
) -> None:
    put(oss)
    oss.faults.close_idle(how, times=5)
    await brings(bucket, path, concurrency=1, retry=RetryPolicy(attempts=1))


@CUTS
@WHERE
async def test_N05_chunked_body_without_its_last_chunk_is_continued(
    oss: LocalOSS, bucket: Any, path: Path, cut: int, where: int
) -> None:
    put(oss)
    oss.faults.cut_chunked(cut, range=begins_at(where))
    assert (await brings(bucket, path)).verified


@pytest.mark.parametrize("announced", [True, False])
@pytest.mark.parametrize("extra", [1, PART])
@WHERE
async def test_N06_more_bytes_than_the_range_are_never_written(
    oss: LocalOSS, bucket: Any, path: Path, announced: bool, extra: int, where: int
) -> None:
    put(oss)
    oss.faults.extra_bytes(extra, announced=announced, range=begins_at(where), times=2)
    assert (await brings(bucket, path)).verified


async def test_N06_bytes_beyond_the_range_are_never_written_without_a_content_length(
    oss: LocalOSS, bucket: Any, path: Path
) -> None:
    put(oss)
    oss.faults.extra_bytes(PART, times=None)
    oss.faults.close_delimited(times=None)
    assert (await brings(bucket, path)).verified


CONTRADICTIONS: dict[str, tuple[str, tuple[Any, ...]]] = {
    "N07 200 for a range": ("ignore_range", ()),
    "N08 a byte further": ("shift_range", (1,)),
    "N09 no Content-Range": ("drop_header", ("Content-Range",)),
    "N10 no total": ("total", ("*",)),
    "N10 total is text": ("total", ("many",)),
    "N10 a total below the range": ("total", (1,)),
    "N11 multipart": ("multipart", ()),
    "N12 a byte less": ("content_length", (PART - 1,)),
    "N12 a byte more": ("content_length", (PART + 1,)),
    "N12 no number": ("content_length", ("many",)),
}


def contradictions(row: str) -> Any:
    chosen = {name: fault for name, fault in CONTRADICTIONS.items() if name.startswith(row)}
    return pytest.mark.parametrize("fault", chosen.values(), ids=chosen.keys())


async def comes_once(oss: LocalOSS, bucket: Any, path: Path, fault: tuple[str, tuple[Any, ...]], nth: int) -> None:
    put(oss)
    name, arguments = fault
    handle = getattr(oss.faults, name)(*arguments, nth=nth)
    result = await brings(bucket, path, concurrency=1)
    assert result.verified
    assert result.attempts == result.requests + 1  # the contradicting response was dropped, which cost one request
    assert handle.hits == 1


async def comes_for_ever(
    oss: LocalOSS, bucket: Any, path: Path, watch: Watch, fault: tuple[str, tuple[Any, ...]], where: int
) -> None:
    put(oss)
    name, arguments = fault
    getattr(oss.faults, name)(*arguments, range=begins_at(where), times=None)
    error = await fails(watch, ProtocolError, bucket, path, concurrency=2)
    assert error.__notes__
    assert len(oss.requests) <= (3 if where == 0 else 1 + 2 * 3)
    if where == 0:
        assert names(path.parent) == ["file"]


@contradictions("N07")
@pytest.mark.parametrize("nth", [1, 2, 11])
async def test_N07_whole_object_is_not_written_at_an_offset(
    oss: LocalOSS, bucket: Any, path: Path, fault: Any, nth: int
) -> None:
    await comes_once(oss, bucket, path, fault, nth)


@contradictions("N07")
@WHERE
async def test_N07_ranges_ignored_forever_end_soon(
    oss: LocalOSS, bucket: Any, path: Path, watch: Watch, fault: Any, where: int
) -> None:
    await comes_for_ever(oss, bucket, path, watch, fault, where)
    assert all(record.headers["x-oss-range-behavior"] == "standard" for record in oss.requests)


@contradictions("N08")
@pytest.mark.parametrize("nth", range(1, 11))
async def test_N08_content_range_of_every_answer_is_compared(
    oss: LocalOSS, bucket: Any, path: Path, fault: Any, nth: int
) -> None:
    await comes_once(oss, bucket, path, fault, nth)


@contradictions("N08")
async def test_N08_another_range_forever_ends_soon(
    oss: LocalOSS, bucket: Any, path: Path, watch: Watch, fault: Any
) -> None:
    await comes_for_ever(oss, bucket, path, watch, fault, 0)


@contradictions("N09")
@pytest.mark.parametrize("nth", range(1, 12))
async def test_N09_response_without_a_content_range_is_refused(
    oss: LocalOSS, bucket: Any, path: Path, fault: Any, nth: int
) -> None:
    await comes_once(oss, bucket, path, fault, nth)


@contradictions("N09")
@WHERE
async def test_N09_no_content_range_forever_ends_soon(
    oss: LocalOSS, bucket: Any, path: Path, watch: Watch, fault: Any, where: int
) -> None:
    await comes_for_ever(oss, bucket, path, watch, fault, where)


@contradictions("N10")
@pytest.mark.parametrize("nth", [1, 2, 11])
async def test_N10_total_that_makes_no_sense_is_refused(
    oss: LocalOSS, bucket: Any, path: Path, fault: Any, nth: int
) -> None:
    await comes_once(oss, bucket, path, fault, nth)


@pytest.mark.parametrize("total", [SIZE - 1, SIZE + 1, 1 << 62])
@pytest.mark.parametrize("nth", [2, 7, 11])
async def test_N10_another_total_than_the_pinned_one_is_refused(
    oss: LocalOSS, bucket: Any, path: Path, total: int, nth: int
) -> None:
    await comes_once(oss, bucket, path, ("total", (total,)), nth)


@contradictions("N11")
@pytest.mark.parametrize("nth", [1, 2, 11])
async def test_N11_multipart_ranges_are_refused(oss: LocalOSS, bucket: Any, path: Path, fault: Any, nth: int) -> None:
    await comes_once(oss, bucket, path, fault, nth)


@contradictions("N11")
@WHERE
async def test_N11_multipart_forever_ends_soon(
    oss: LocalOSS, bucket: Any, path: Path, watch: Watch, fault: Any, where: int
) -> None:
    await comes_for_ever(oss, bucket, path, watch, fault, where)


@contradictions("N12")
@pytest.mark.parametrize("nth", [1, 2, 10])
async def test_N12_another_length_than_the_ranges_is_refused(
    oss: LocalOSS, bucket: Any, path: Path, fault: Any, nth: int
) -> None:
    await comes_once(oss, bucket, path, fault, nth)


@contradictions("N12")
async def test_N12_another_length_forever_ends_soon(
    oss: LocalOSS, bucket: Any, path: Path, watch: Watch, fault: Any
) -> None:
    await comes_for_ever(oss, bucket, path, watch, fault, 0)


@pytest.mark.parametrize("offset", [0, PART - 1, PART, SIZE - 1])
async def test_N13_flipped_bit_is_found_and_repaired(oss: LocalOSS, bucket: Any, path: Path, offset: int) -> None:
    put(oss)
    oss.faults.flip_bit(offset)
    assert (await brings(bucket, path)).verified
    assert sum(record.bytes_sent for record in oss.requests) <= 2 * SIZE


@pytest.mark.parametrize("size", [1000, SIZE])
async def test_N13_bit_that_always_flips_leaves_the_old_file_and_nothing_else(
    oss: LocalOSS, bucket: Any, path: Path, watch: Watch, size: int
) -> None:
    put(oss, size)
    oss.faults.flip_bit(size // 2, times=None)
    await fails(watch, IntegrityError, bucket, path)
    assert names(path.parent) == ["file"]
    assert sum(record.bytes_sent for record in oss.requests) == 2 * size
    oss.faults.clear()
    await brings(bucket, path, whole(size))


@pytest.mark.parametrize("after", [0, 1000])
@WHERE
async def test_N14_stalled_body_is_requested_again(
    oss: LocalOSS, bucket: Any, path: Path, after: int, where: int
) -> None:
    put(oss)
    oss.faults.stall(after, range=begins_at(where))
    await brings(bucket, path, timeouts=HASTY, concurrency=1)


async def test_N14_stall_forever_ends(oss: LocalOSS, bucket: Any, path: Path, watch: Watch) -> None:
    put(oss)
    oss.faults.stall(1000, range=OTHERS, times=None)
    await fails(watch, RequestError, bucket, path, timeouts=HASTY, concurrency=1)
    assert len(oss.requests) == 1 + ATTEMPTS


async def test_N15_drip_is_given_up_and_continues_over_another_connection(
    oss: LocalOSS, bucket: Any, path: Path
) -> None:
    put(oss)
    oss.faults.slow(20_000)
    timeouts = Timeouts(min_speed=1_000_000, min_speed_window=0.1)
    await brings(bucket, path, multiget_threshold=2 * SIZE, timeouts=timeouts)
    first, second = oss.requests
    assert first.connection != second.connection
    assert first.bytes_sent < SIZE


async def test_N15_drip_forever_ends(oss: LocalOSS, bucket: Any, path: Path, watch: Watch) -> None:
    put(oss)
    oss.faults.slow(20_000, times=None)
    timeouts = Timeouts(min_speed=1_000_000, min_speed_window=0.1)
    await fails(watch, RequestError, bucket, path, multiget_threshold=2 * SIZE, timeouts=timeouts)
    assert len(oss.requests) == ATTEMPTS


@pytest.mark.parametrize("fault", ["delay", "never_answer"])
@WHERE
async def test_N16_answer_that_does_not_begin_has_a_limit_of_its_own(
    oss: LocalOSS, bucket: Any, path: Path, fault: str, where: int
) -> None:
    put(oss)
    arguments = (30,) if fault == "delay" else ()
    getattr(oss.faults, fault)(*arguments, range=begins_at(where))
    await brings(bucket, path, timeouts=Timeouts(response=0.3), concurrency=1)


async def test_N16_headers_that_drip_are_not_waited_for_without_end(
    oss: LocalOSS, bucket: Any, path: Path, watch: Watch
) -> None:
    put(oss)
    oss.faults.drip_headers(20, times=None)
    await fails(watch, RequestError, bucket, path, timeouts=HASTY)
    assert len(oss.requests) == ATTEMPTS


def unanswered(port: int) -> int:
    """How many connections to a port of this machine wait for an answer to their SYN."""
    rows = [line.split() for table in ("tcp", "tcp6") for line in Path(f"/proc/net/{table}").read_text().splitlines()]
    return sum(row[2].endswith(f":{port:04X}") and row[3] == "02" for row in rows)


@pytest.fixture
def black_hole() -> Iterator[Any]:
    """A function that makes a port of an address take no connection and refuse none: its queue is full.

    Source: Linux drops a SYN for which there is no room (net.ipv4.tcp_abort_on_overflow is about what comes after it).
    """
    with ExitStack() as stack:

        def dig(host: str, port: int) -> int:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            listener = stack.enter_context(socket.socket(family))
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((host, port))
            listener.listen(0)
            where = listener.getsockname()
            for _ in range(4):
                filler = stack.enter_context(socket.socket(family))
                filler.setblocking(False)
                with suppress(BlockingIOError):
                    filler.connect(where)
            assert unanswered(where[1]) > 0
            return int(where[1])

        yield dig


def bucket_at(endpoint: str) -> Any:
    return oss2.Bucket(oss2.AuthV4("an-access-key-id", "an-access-key-secret"), endpoint, "examplebucket", region="r")


async def test_N17_black_hole_has_a_limit_of_time(path: Path, watch: Watch, black_hole: Any) -> None:
    bucket = bucket_at(f"http://127.0.0.1:{black_hole('127.0.0.1', 0)}")
    error = await fails(watch, RequestError, bucket, path, timeouts=HASTY)
    assert "could not connect in time" in str(error)
    assert [f"after {ATTEMPTS} attempts" in note for note in error.__notes__] == [True]
    assert names(path.parent) == ["file"]


async def test_N17_handshake_that_is_never_answered_has_a_limit_of_time(path: Path, watch: Watch) -> None:
    # The kernel accepts the connection, and no program answers.
    with socket.create_server(("127.0.0.1", 0)) as listener:
        bucket = bucket_at(f"https://127.0.0.1:{listener.getsockname()[1]}")
        error = await fails(watch, RequestError, bucket, path, timeouts=Timeouts(connect=0.3))
    assert "could not connect in time" in str(error)
    assert names(path.parent) == ["file"]


async def test_N17_connecting_to_a_black_hole_can_be_cancelled(path: Path, black_hole: Any) -> None:
    port = black_hole("127.0.0.1", 0)
    before = unanswered(port)
    task = asyncio.create_task(aioss_resume.download(bucket_at(f"http://127.0.0.1:{port}"), "key", path, **RANGED))
    while unanswered(port) == before:  # noqa: ASYNC110  # the kernel sets no event
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert unanswered(port) == before
    assert path.read_bytes() == OLD
    assert names(path.parent) == ["file"]


class Resolver(aiohttp.abc.AbstractResolver):
    """Says what it is told to, but for some times.

    Attributes:
        asked: How often it was.
    """

    def __init__(self, *addresses: str, failures: range = range(0)) -> None:
        self.asked = 0
        self._addresses = addresses
        self._failures = failures

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[aiohttp.abc.ResolveResult]:
        self.asked += 1
        if self.asked - 1 in self._failures:
            raise OSError(None, "no such name")
        return [
            aiohttp.abc.ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in self._addresses
        ]

    async def close(self) -> None: ...


def named(oss: LocalOSS) -> Any:
    return oss.bucket("examplebucket", endpoint=f"http://oss-cn-hangzhou.example.com:{oss.port}")


async def test_N17_next_address_is_tried(oss: LocalOSS, path: Path, black_hole: Any) -> None:
    put(oss)
    black_hole("127.0.0.2", oss.port)
    async with with_session(named(oss), resolver=Resolver("127.0.0.2", "127.0.0.1")) as downloader:
        await downloader.download("key", path, **{**RANGED, "concurrency": 2, "retry": RetryPolicy(attempts=1)})
    is_there(path)


@pytest.mark.parametrize("failures", [range(3), range(1, 4)], ids=["first", "others"])
async def test_N18_name_that_is_found_later_fetches_the_object(oss: LocalOSS, path: Path, failures: range) -> None:
    put(oss)
    clock = CountingClock()
    resolver = Resolver("127.0.0.1", failures=failures)
    async with with_session(named(oss), resolver=resolver, use_dns_cache=False) as downloader:
        assert downloader._client is not None
        downloader._client.clock = clock
        result = await downloader.download("key", path, **{**RANGED, "retry": RetryPolicy()})
    is_there(path)
    assert resolver.asked >= 4
    assert result.attempts == result.requests + 3
    assert sum(wait > 0 for wait in clock.waits) >= 3


async def test_N18_error_for_an_unknown_host_names_the_host_only(oss: LocalOSS, path: Path, watch: Watch) -> None:
    resolver = Resolver(failures=range(100))
    async with with_session(named(oss), resolver=resolver) as downloader:
        with watch.raises(RequestError) as caught:
            await downloader.download("key", path, **{**RANGED, "retry": THRICE})
    assert "oss-cn-hangzhou.example.com" in str(caught.error)
    assert "://examplebucket.oss" not in str(caught.error)
    assert resolver.asked == ATTEMPTS
    assert path.read_bytes() == OLD


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def served_with(certificate: trustme.LeafCert) -> LocalOSS:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return LocalOSS(tls=context, strict_faults=True)


def trusting(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


@pytest.mark.parametrize("wrong", ["expired", "another host's", "of an unknown authority"])
async def test_N20_bad_certificate_is_refused_once_and_nothing_is_sent(
    path: Path, watch: Watch, authority: trustme.CA, wrong: str
) -> None:
    over = datetime.now(UTC) - timedelta(days=1) if wrong == "expired" else None
    certificate = authority.issue_cert("192.0.2.1" if wrong == "another host's" else "127.0.0.1", not_after=over)
    with served_with(certificate) as oss:
        put(oss)
        tls: Any = True if wrong == "of an unknown authority" else trusting(authority)
        async with with_session(oss.bucket("examplebucket"), ssl=tls) as downloader:
            with watch.raises(RequestError) as caught:
                await downloader.download("key", path, **RANGED)
        assert oss.requests == []
    assert "certificate" in str(caught.error)
    assert not getattr(caught.error, "__notes__", [])  # not tried again
    assert path.read_bytes() == OLD


@CUTS
@WHERE
async def test_N21_tls_body_cut_without_close_notify_is_not_complete(
    path: Path, authority: trustme.CA, cut: int, where: int
) -> None:
    with served_with(authority.issue_cert("127.0.0.1")) as oss:
        put(oss)
        oss.faults.cut_tls(cut, range=begins_at(where))
        async with with_session(oss.bucket("examplebucket"), ssl=trusting(authority)) as downloader:
            assert (await downloader.download("key", path, **RANGED)).verified
    is_there(path)


@pytest.mark.parametrize("status", [500, 502, 504])
@pytest.mark.parametrize("times", [1, 5])
@WHERE
async def test_N22_temporary_server_fault_is_retried(
    oss: LocalOSS, bucket: Any, path: Path, status: int, times: int, where: int
) -> None:
    put(oss)
    oss.faults.status(status, times=times, range=begins_at(where))
    result = await brings(bucket, path)
    assert result.attempts == result.requests + times


@pytest.mark.parametrize("status", [500, 502, 504])
async def test_N22_lasting_server_fault_is_an_error_with_a_hint(
    oss: LocalOSS, bucket: Any, path: Path, watch: Watch, status: int
) -> None:
    put(oss)
    oss.faults.status(status, times=None)
    error = await fails(watch, ServerFaultError, bucket, path)
    assert (error.status, error.request_id) == (status, oss.requests[-1].request_id)
    assert error.__notes__ == [f"after {ATTEMPTS} attempts, the last {ATTEMPTS} of them without progress"]
    assert len(oss.requests) == ATTEMPTS
    assert names(path.parent) == ["file"]


async def test_N22_server_fault_ends_with_the_deadline(oss: LocalOSS, bucket: Any, path: Path, watch: Watch) -> None:
    put(oss)
    oss.faults.status(500, times=None)
    policy = RetryPolicy(attempts=1000, deadline=0.2, wait_initial=0.01, wait_max=0.01)
    await fails(watch, RequestError, bucket, path, retry=policy)


@pytest.mark.parametrize("concurrency", [1, 8])
async def test_N23_requests_in_a_storm_are_bounded_by_the_attempts_of_each_span(
    oss: LocalOSS, bucket: Any, path: Path, watch: Watch, concurrency: int
) -> None:
    put(oss)
    oss.faults.storm(range=OTHERS)
    await fails(watch, AiossError, bucket, path, concurrency=concurrency)
    assert len(oss.requests) <= 1 + concurrency * ATTEMPTS


async def test_N23_download_survives_a_storm_that_spares_half_of_the_requests(
    oss: LocalOSS, bucket: Any, path: Path
) -> None:
    put(oss)
    oss.faults.storm(0.5, range=OTHERS, seed=3)
    await brings(bucket, path, retry=RetryPolicy(attempts=20, wait_initial=0.0, wait_max=0.0))


@pytest.mark.parametrize("code", [429, 503])
async def test_N24_throttled_download_slows_down_and_completes(
    oss: LocalOSS, bucket: Any, path: Path, code: int
) -> None:
    put(oss)
    oss.faults.throttle(most_in_flight=2, code=code)
    oss.faults.delay(0.005, times=None)
    policy = RetryPolicy(attempts=1000, wait_initial=0.01, wait_max=0.01)
    await brings(bucket, path, retry=policy, concurrency=8)


@pytest.mark.parametrize(
    ("asked_for", "headers"),
    [("7", {}), ("Mon, 01 Jan 2024 00:00:07 GMT", {"Date": "Mon, 01 Jan 2024 00:00:00 GMT"})],
    ids=["seconds", "date"],
)
@pytest.mark.parametrize("code", [429, 503])
async def test_N24_retry_after_is_waited_for(
    oss: LocalOSS, bucket: Any, path: Path, code: int, asked_for: str, headers: dict[str, str]
) -> None:
    put(oss)
    oss.faults.status(code, retry_after=asked_for, headers=headers, range=OTHERS)
    clock = CountingClock(0.0)
    async with clocked(bucket, clock) as downloader:
        await downloader.download("key", path, **{**RANGED, "retry": RetryPolicy()})
    is_there(path)
    assert clock.waits == [7.0]


@pytest.mark.parametrize("value", [value for value in HOSTILE_RETRY_AFTERS if value.isascii()])
async def test_N25_hostile_retry_after_is_clamped(oss: LocalOSS, bucket: Any, path: Path, value: str) -> None:
    put(oss)
    oss.faults.retry_after(value)
    clock = CountingClock(0.5)
    async with clocked(bucket, clock) as downloader:
        await downloader.download("key", path, **{**RANGED, "retry": RetryPolicy(wait_max=5.0)})
    is_there(path)
    assert len(clock.waits) == 1
    assert 0 <= clock.waits[0] <= 5.0


def temporary(oss: LocalOSS) -> Any:
    """A bucket whose requests carry a security token."""
    oss.add_credentials(TEMPORARY_ID, TEMPORARY_SECRET, TOKEN)
    return oss.bucket(
        "examplebucket", auth=oss2.StsAuth(TEMPORARY_ID, TEMPORARY_SECRET, TOKEN, auth_version=oss2.AUTH_VERSION_4)
    )


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
@WHERE
async def test_N26_redirect_to_another_host_is_never_followed(
    oss: LocalOSS, path: Path, watch: Watch, code: int, where: int
) -> None:
    put(oss)
    with Recorder() as elsewhere:
        oss.faults.redirect(f"{elsewhere.url}/a?b=c", code, range=begins_at(where), times=None)
        error = await fails(watch, ProtocolError, temporary(oss), path, concurrency=1)
        assert elsewhere.connections == 0
        assert elsewhere.requests == []
    assert "http://127.0.0.1" in str(error)
    assert "b=c" not in str(error)
    assert "endpoint" in error.hint


@pytest.mark.parametrize(
    "location",
    ["file:///etc/passwd", "http://169.254.169.254/latest/", "//127.0.0.1:{port}/", "ftp://127.0.0.1:{port}/"],
)
async def test_N27_redirect_to_another_scheme_is_never_followed(
    oss: LocalOSS, path: Path, watch: Watch, location: str
) -> None:
    put(oss)
    with Recorder() as elsewhere:
        oss.faults.redirect(location.format(port=elsewhere.port), times=None)
        await fails(watch, ProtocolError, temporary(oss), path)
        assert elsewhere.connections == 0


async def test_N27_redirect_from_https_to_http_is_never_followed(
    path: Path, watch: Watch, authority: trustme.CA
) -> None:
    with served_with(authority.issue_cert("127.0.0.1")) as oss, Recorder() as elsewhere:
        put(oss)
        oss.faults.redirect(elsewhere.url, times=None)
        async with with_session(temporary(oss), ssl=trusting(authority)) as downloader:
            with watch.raises(ProtocolError):
                await downloader.download("key", path, **{**RANGED, "retry": QUICK})
        assert elsewhere.connections == 0
    assert path.read_bytes() == OLD


@pytest.mark.parametrize("fault", ["redirect_loop", "bare_redirect"])
async def test_N28_redirect_to_nowhere_ends_soon(
    oss: LocalOSS, bucket: Any, path: Path, watch: Watch, fault: str
) -> None:
    put(oss)
    getattr(oss.faults, fault)(times=None)
    await fails(watch, ProtocolError, bucket, path)
    assert len(oss.requests) == 3


class Provider:
    """New temporary keys each time it is asked."""

    def __init__(self, oss: LocalOSS) -> None:
        self.oss = oss
        self.asked = 0

    def get_credentials(self) -> Any:
        self.asked += 1
        number = self.asked
        self.oss.add_credentials(f"{TEMPORARY_ID}-{number}", f"{TEMPORARY_SECRET}-{number}", f"{TOKEN}-{number}")
        return oss2.credentials.Credentials(
            f"{TEMPORARY_ID}-{number}", f"{TEMPORARY_SECRET}-{number}", f"{TOKEN}-{number}"
        )


@pytest.mark.parametrize("nth", [1, 2, 6, 11])
async def test_N29_keys_that_expire_midway_are_fetched_once_and_no_part_twice(
    oss: LocalOSS, path: Path, nth: int
) -> None:
    put(oss)
    provider = Provider(oss)
    oss.faults.expire_at(nth)
    await brings(oss.bucket("examplebucket", auth=oss2.ProviderAuthV4(provider)), path)
    assert provider.asked == 2
    ranges = [record.range for record in oss.requests if record.status == 206]
    assert len(set(ranges)) == len(ranges)


async def test_N29_unknown_key_midway_is_fetched_again(oss: LocalOSS, path: Path) -> None:
    put(oss)
    provider = Provider(oss)
    oss.faults.status(403, oss_code="InvalidAccessKeyId", range=OTHERS)
    await brings(oss.bucket("examplebucket", auth=oss2.ProviderAuthV4(provider)), path)
    assert provider.asked == 2


@pytest.mark.parametrize("seconds", [-86_400, 1_000_000])
@pytest.mark.parametrize("nth", [1, 5])
async def test_N30_clock_offset_is_learned_from_the_response(
    oss: LocalOSS, bucket: Any, path: Path, seconds: float, nth: int
) -> None:
    put(oss)
    oss.faults.skew(seconds, nth=nth)
    await brings(bucket, path, concurrency=1)
    assert [record.status for record in oss.requests].count(403) == 1


async def test_N31_denial_midway_is_not_retried_and_keeps_the_written_bytes(
    oss: LocalOSS, bucket: Any, path: Path, watch: Watch
) -> None:
    put(oss)
    fault = oss.faults.status(403, range=begins_at(5 * PART), times=None)
    error = await fails(watch, AccessDeniedError, bucket, path, concurrency=1)
    assert error.code == "AccessDenied"
    assert error.request_id in str(error)
    assert error.hint
    assert fault.hits == 1
    fault.cancel()
    assert (await brings(bucket, path)).resumed_bytes == 5 * PART


@pytest.mark.parametrize("nth", [2, 7, 11])
@pytest.mark.parametrize("on_change", ["restart", "fail"])
async def test_N32_deleted_object_is_never_begun_again(
    oss: LocalOSS, bucket: Any, path: Path, watch: Watch, nth: int, on_change: Any
) -> None:
    put(oss)
    oss.faults.delete_at(nth)
    error = await fails(watch, ObjectChangedError, bucket, path, on_change=on_change, concurrency=1)
    assert error.is_deleted
    assert len(oss.requests) == nth


@pytest.mark.parametrize("nth", [2, 3, 7, 11])
async def test_N33_object_replaced_midway_is_the_new_one_completely(
    oss: LocalOSS, bucket: Any, path: Path, nth: int
) -> None:
    put(oss)
    new = whole(SIZE, 2)
    oss.faults.replace_at(nth, new)
    assert (await brings(bucket, path, new)).verified


@pytest.mark.parametrize("nth", [2, 7, 11])
async def test_N33_object_replaced_midway_is_an_error_with_on_change_fail(
    oss: LocalOSS, bucket: Any, path: Path, watch: Watch, nth: int
) -> None:
    put(oss)
    oss.faults.replace_at(nth, whole(SIZE, 2))
    await fails(watch, ObjectChangedError, bucket, path, on_change="fail", concurrency=1)
    assert len(oss.requests) == nth + 1  # the last one asks whether only the ETag has changed
    assert oss.requests[-1].range == (0, 1)
    assert names(path.parent) == ["file"]


async def test_N33_object_replaced_forever_ends(oss: LocalOSS, bucket: Any, path: Path, watch: Watch) -> None:
    put(oss)
    handle = oss.faults.replace_object(range=(PART, 2 * PART), times=None)
    await fails(watch, ObjectChangedError, bucket, path, concurrency=1)
    assert handle.hits == 4  # the first run, and three begun anew


@pytest.mark.parametrize("nth", PARTS)
@pytest.mark.parametrize("on_change", ["restart", "fail"])
async def test_N34_etag_of_every_answer_is_compared(
    oss: LocalOSS, bucket: Any, path: Path, watch: Watch, nth: int, on_change: Any
) -> None:
    put(oss)
    new = whole(SIZE, 2)
    oss.faults.ignore_if_match(times=None)
    oss.faults.replace_at(nth, new)
    if on_change == "restart":
        assert (await brings(bucket, path, new)).verified
    else:
        await fails(watch, ObjectChangedError, bucket, path, on_change="fail", concurrency=1)


@pytest.mark.parametrize("nth", [1, 2, 11])
@pytest.mark.parametrize("stale_crc", [False, True])
async def test_N35_other_bytes_under_the_same_etag_are_never_mixed(
    oss: LocalOSS, bucket: Any, path: Path, watch: Watch, nth: int, stale_crc: bool
) -> None:
    put(oss)
    new = whole(SIZE, 2)
    oss.faults.stealth_replace(new, nth=nth, stale_crc=stale_crc)
    if stale_crc:  # the CRC-64 of OSS is that of the old bytes, so nothing can be verified
        await fails(watch, IntegrityError, bucket, path)
    else:
        assert (await brings(bucket, path, new)).verified


@pytest.mark.parametrize("etag", ["weak", "none"])
@pytest.mark.parametrize("nth", [2, 11])
async def test_N36_without_a_strong_etag_the_rest_pins_the_object(
    oss: LocalOSS, bucket: Any, path: Path, pins: Pins, etag: str, nth: int
) -> None:
    pins.may_be_missing = True
    put(oss)
    _ = oss.faults.weak_etag(times=None) if etag == "weak" else oss.faults.drop_header("ETag", times=None)
    new = whole(SIZE, 2)
    oss.faults.replace_at(nth, new)
    assert (await brings(bucket, path, new)).verified


async def test_N36_with_nothing_to_know_the_object_by_it_is_not_resumed(
    oss: LocalOSS, bucket: Any, path: Path, pins: Pins
) -> None:
    pins.may_be_missing = True
    put(oss)
    oss.faults.weak_etag(times=None)
    oss.faults.drop_header("x-oss-hash-crc64ecma", times=None)
    await interrupt(bucket, oss, path)
    result = await brings(bucket, path)
    assert (result.resumed_bytes, result.verified) == (0, False)


@pytest.mark.parametrize("total", [0, PART, SIZE])
async def test_N38_range_that_is_gone_starts_over_and_ends(
    oss: LocalOSS, bucket: Any, path: Path, watch: Watch, total: int
) -> None:
    put(oss)
    oss.faults.not_satisfiable(total, range=OTHERS)
    await brings(bucket, path)
    path.write_bytes(OLD)
    handle = oss.faults.not_satisfiable(total, range=OTHERS, times=None)
    await fails(watch, ObjectChangedError, bucket, path, concurrency=1)
    assert handle.hits == 4


@pytest.mark.parametrize("size", [1000, SIZE])
async def test_N39_without_a_crc64_require_fails_and_auto_is_unverified(
    oss: LocalOSS, bucket: Any, path: Path, watch: Watch, size: int
) -> None:
    put(oss, size)
    oss.faults.drop_header("x-oss-hash-crc64ecma", times=None)
    await fails(watch, IntegrityError, bucket, path, integrity="require")
    assert len(oss.requests) == 1
    assert names(path.parent) == ["file"]
    assert not (await brings(bucket, path, whole(size), integrity="auto")).verified


@pytest.mark.parametrize("text", ["-1", "0x1", "1e3", "18446744073709551616", "9" * 400, ""])
async def test_N40_malformed_crc64_of_an_answer_is_refused(
    oss: LocalOSS, bucket: Any, path: Path, watch: Watch, text: str
) -> None:
    put(oss)
    oss.faults.malformed_crc(text, times=None)
    await fails(watch, ProtocolError, bucket, path)
    assert len(oss.requests) == 3


async def test_N41_object_stored_as_gzip_stays_as_it_is(oss: LocalOSS, bucket: Any, path: Path) -> None:
    stored = gzip.compress(whole(SIZE), compresslevel=1, mtime=0)
    oss.put("examplebucket", "key", stored, headers={"Content-Encoding": "gzip"})
    assert (await brings(bucket, path, stored)).verified
    assert len(oss.requests) > 5


@WHERE
async def test_N42_body_compressed_on_the_way_is_refused(
    oss: LocalOSS, bucket: Any, path: Path, watch: Watch, where: int
) -> None:
    put(oss)
    fault = oss.faults.gzip_in_flight(range=begins_at(where), times=None)
    await fails(watch, ProtocolError, bucket, path)
    fault.cancel()
    oss.faults.gzip_in_flight(range=begins_at(where))
    await brings(bucket, path)
    assert all(record.headers["Accept-Encoding"] == "identity" for record in oss.requests)


async def test_N42_body_that_only_claims_to_be_compressed_is_refused_where_the_first_was_not(
    oss: LocalOSS, bucket: Any, path: Path, watch: Watch
) -> None:
    put(oss)
    oss.faults.claim_gzip(range=OTHERS, times=None)
    await fails(watch, ProtocolError, bucket, path)


async def test_N43_empty_object_is_an_empty_file(oss: LocalOSS, bucket: Any, path: Path) -> None:
    oss.put("examplebucket", "key", b"")
    result = await brings(bucket, path, b"")
    assert (result.size, result.verified, result.crc64) == (0, True, 0)
    assert oss.requests[-1].range is None


@pytest.mark.parametrize("storage_class", ["Archive", "ColdArchive", "DeepColdArchive"])
async def test_N44_error_for_an_archived_object_says_what_to_do(
    oss: LocalOSS, bucket: Any, path: Path, watch: Watch, storage_class: str
) -> None:
    put(oss, storage_class=storage_class)
    error = await fails(watch, ObjectArchivedError, bucket, path)
    assert "restore" in error.hint
    assert len(oss.requests) == 1


@WHERE
async def test_N45_login_page_is_no_object(oss: LocalOSS, bucket: Any, path: Path, watch: Watch, where: int) -> None:
    put(oss)
    fault = oss.faults.html(range=begins_at(where), times=None)
    await fails(watch, ProtocolError, bucket, path, concurrency=1)
    fault.cancel()
    oss.faults.html(range=begins_at(where))
    await brings(bucket, path)


@pytest.mark.parametrize("code", [200, 206])
async def test_N45_login_page_of_any_kind_is_no_small_object(
    oss: LocalOSS, bucket: Any, path: Path, watch: Watch, code: int
) -> None:
    put(oss, 1000)
    oss.faults.html(code=code, times=None)
    await fails(watch, ProtocolError, bucket, path)
    assert names(path.parent) == ["file"]


async def test_N46_proxy_that_wants_a_password_is_not_asked_again(
    oss: LocalOSS, bucket: Any, path: Path, watch: Watch
) -> None:
    put(oss)
    oss.faults.proxy_auth(times=None)
    error = await fails(watch, RequestError, bucket, path)
    assert "407" in str(error)
    assert len(oss.requests) == 1


async def test_N47_interim_responses_are_skipped(oss: LocalOSS, bucket: Any, path: Path) -> None:
    put(oss, 1000)
    oss.faults.informational(50)
    await brings(bucket, path, whole(1000))


@pytest.mark.parametrize("count", [2000, None])
async def test_N47_flood_of_interim_responses_is_given_up(
    oss: LocalOSS, bucket: Any, path: Path, watch: Watch, count: int | None
) -> None:
    put(oss, 1000)
    fault = oss.faults.informational(count, times=None)
    with suppress(RequestError, ProtocolError):
        await aioss_resume.download(bucket, "key", path, **{**RANGED, "retry": THRICE, "timeouts": HASTY})
    assert path.read_bytes() == (OLD if count is None else whole(1000))
    assert fault.hits <= ATTEMPTS


WIRE: dict[str, tuple[str, tuple[Any, ...]]] = {
    "long line": ("long_header", (64 * 1024,)),
    "many headers": ("many_headers", (40_000,)),
    "two lengths": ("duplicate_content_length", (1,)),
    "no colon": ("raw_header", (b"no header at all",)),
    "NUL": ("raw_header", (b"X-A: \0",)),
    "garbage": ("garbage", (4096,)),
    "not HTTP": ("raw", (b"SSH-2.0-OpenSSH_9.6\r\n",)),
}


@pytest.mark.parametrize("fault", WIRE.values(), ids=WIRE.keys())
async def test_N48_bad_http_gives_an_aioss_error_or_the_right_object(
    oss: LocalOSS, bucket: Any, path: Path, watch: Watch, fault: tuple[str, tuple[Any, ...]]
) -> None:
    put(oss)
    name, arguments = fault
    handle = getattr(oss.faults, name)(*arguments)
    await brings(bucket, path)
    handle.cancel()
    path.write_bytes(OLD)
    getattr(oss.faults, name)(*arguments, times=None)
    with suppress(ProtocolError, RequestError):
        await aioss_resume.download(bucket, "key", path, **{**RANGED, "retry": THRICE})
    assert path.read_bytes() in (OLD, whole())


@pytest.mark.parametrize("length", [None, GiB])
@pytest.mark.parametrize("code", [403, 500])
async def test_N49_endless_error_body_is_not_read_to_its_end(
    oss: LocalOSS, bucket: Any, path: Path, watch: Watch, length: int | None, code: int
) -> None:
    put(oss)
    oss.faults.error_body(length, code=code, times=None)
    error = await fails(watch, (AccessDeniedError, ServerFaultError), bucket, path)
    assert len(str(error)) < 4000
    assert len(oss.requests) == (1 if code == 403 else ATTEMPTS)
    assert all(record.bytes_sent < 64 * MiB for record in oss.requests)  # no more than the socket buffers hold


async def test_N49_error_body_that_drips_is_not_waited_for(
    oss: LocalOSS, bucket: Any, path: Path, watch: Watch
) -> None:
    put(oss)
    body = b"HTTP/1.1 403 No\r\nContent-Length: 1000\r\n\r\n<Error><Code>AccessDenied</Code>"
    oss.faults.raw(body, then="hang")
    error = await fails(watch, AccessDeniedError, bucket, path, timeouts=HASTY)
    assert error.code == "AccessDenied"


@pytest.mark.parametrize("kind", HOSTILE_BODIES)
async def test_N50_hostile_error_body_leaves_the_status(
    oss: LocalOSS, bucket: Any, path: Path, watch: Watch, kind: Any
) -> None:
    put(oss)
    oss.faults.hostile_body(kind, times=None)
    error = await fails(watch, ServerFaultError, bucket, path)
    assert error.status == 500
    assert str(error).isprintable()
    assert len(str(error)) < 8000


@pytest.fixture(scope="module")
def needs_six() -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("there is no IPv6 here")


FAMILIES = pytest.mark.parametrize("addresses", [("::1", "127.0.0.1"), ("127.0.0.1", "::1")])
ONCE: dict[str, Any] = {**RANGED, "retry": RetryPolicy(attempts=1), "concurrency": 2}


@FAMILIES
async def test_N51_refused_address_family_is_skipped(oss: LocalOSS, path: Path, addresses: tuple[str, str]) -> None:
    put(oss)
    async with with_session(named(oss), resolver=Resolver(*addresses)) as downloader:
        await downloader.download("key", path, **ONCE)
    is_there(path)


@FAMILIES
async def test_N51_address_family_without_answers_is_skipped(
    oss: LocalOSS, path: Path, addresses: tuple[str, str], black_hole: Any, needs_six: None
) -> None:
    put(oss)
    black_hole("::1", oss.port)
    async with with_session(named(oss), resolver=Resolver(*addresses)) as downloader:
        await downloader.download("key", path, **ONCE)
    is_there(path)


async def test_N51_ipv6_is_used_if_there_is_no_ipv4(path: Path, needs_six: None) -> None:
    with LocalOSS(host="::1") as oss:
        put(oss)
        async with with_session(named(oss), resolver=Resolver("127.0.0.1", "::1")) as downloader:
            await downloader.download("key", path, **ONCE)
        is_there(path)


async def test_N52_small_pool_fetches_the_object_and_nobody_waits_in_it(oss: LocalOSS, bucket: Any, path: Path) -> None:
    put(oss, 5 * PART)
    # Four requests that wait in the pool for each other would exceed their time limit.
    oss.faults.delay(0.15, times=None)
    options = {**RANGED, "timeouts": Timeouts(connect=0.1, response=0.3), "retry": RetryPolicy(attempts=1)}
    async with with_session(bucket, limit=1) as downloader:
        await downloader.download("key", path, **options)
    is_there(path, whole(5 * PART))
    assert oss.peak_in_flight == 1


@pytest.mark.parametrize("by", ["timeouts", "deadline"])
async def test_N52_pool_that_the_app_never_gives_back_is_not_waited_for_without_end(
    oss: LocalOSS, bucket: Any, path: Path, watch: Watch, by: str
) -> None:
    put(oss)
    limits: dict[str, Any] = {"timeouts": HASTY, "retry": THRICE}
    if by == "deadline":
        limits = {"retry": RetryPolicy(deadline=0.3)}
    oss.make_public("examplebucket")
    oss.faults.stall(0, range=(0, 1), times=1)
    async with with_session(bucket, limit=1) as downloader:
        assert downloader._session is not None
        url = f"{oss.endpoint}/examplebucket/key"
        async with downloader._session.get(url, headers={"Range": "bytes=0-0"}):
            with watch.raises(RequestError):
                await downloader.download("key", path, **{**RANGED, **limits})
    assert path.read_bytes() == OLD
    assert len(oss.requests) == 1
