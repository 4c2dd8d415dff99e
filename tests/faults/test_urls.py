"""U: presigned addresses."""
# ruff: noqa: N802

import asyncio
from collections.abc import AsyncIterator, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import oss2
import pytest
from flow.canary import Watch
from flow.presigned import presigned
from flow.ranged import PART, QUICK, RANGED, SIZE, begins_at, leftover, names, whole
from flow.threaded_server import ThreadedServer

import aioss_resume
from aioss_resume import (
    AccessDeniedError,
    ConfigError,
    Downloader,
    ProtocolError,
    RequestError,
    RetryPolicy,
    SignedURL,
    download_url,
)
from aioss_resume.testing import KiB, LocalOSS

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("reads_may_begin_anywhere")]


@pytest.fixture
async def downloader() -> AsyncIterator[Downloader]:
    async with Downloader(None) as downloader:
        yield downloader


async def interrupt(oss: LocalOSS, url: str, path: Path) -> None:
    """Begin a download and cancel it when the first five parts are written."""
    hold = oss.faults.stall(range=begins_at(5 * PART), times=None)
    reached = asyncio.Event()

    def progress(consumed: int, _: int | None) -> None:
        if consumed >= 5 * PART:
            reached.set()

    task = asyncio.ensure_future(download_url(url, path, progress_callback=progress, **RANGED))
    await reached.wait()
    task.cancel()
    await asyncio.wait([task])
    hold.cancel()


@pytest.mark.parametrize("kind", ["plain", "async"])
@pytest.mark.parametrize("after", [0, 4])
async def test_U01_address_that_expires_is_refreshed_once_for_all_who_wait(
    oss: LocalOSS, bucket: Any, path: Path, content: bytes, kind: str, after: int
) -> None:
    old: list[str] = []

    def refresh(url: str) -> str:
        old.append(url)
        return presigned(bucket, seconds=7200)

    async def refresh_async(url: str) -> str:
        await asyncio.sleep(0)
        return refresh(url)

    first = presigned(bucket, seconds=3600)
    # OSS refuses one request; the requests of the same time wait for the new address.
    oss.faults.status(403, message="Request has expired.", after_requests=after)
    await download_url(first, path, refresh=refresh if kind == "plain" else refresh_async, **RANGED)
    assert path.read_bytes() == content
    assert old == [first]
    assert oss.requests[-1].query["x-oss-expires"] == "7200"


async def test_U01_hundred_waiting_reads_refresh_once(oss: LocalOSS, bucket: Any, content: bytes) -> None:
    calls = []

    def refresh(url: str) -> str:
        calls.append(url)
        return presigned(bucket, seconds=7200)

    url = SignedURL(presigned(bucket, seconds=3600), refresh)
    oss.clock_offset = 5000  # the first address has expired, the second has not
    async with Downloader(None) as downloader:
        found = await asyncio.gather(*(downloader.read(url, start=n, stop=n + 5) for n in range(100)))
        assert found == [content[n : n + 5] for n in range(100)]
        assert len(calls) == 1
        assert await downloader.read(url, stop=3) == content[:3]  # the new address is kept
        assert len(calls) == 1


async def test_U01_failing_refresh_is_called_three_times_for_all_waiting_reads(
    oss: LocalOSS, bucket: Any, content: bytes
) -> None:
    calls = []

    async def refresh(url: str) -> str:
        calls.append(url)
        raise LookupError

    url = SignedURL(presigned(bucket), refresh)
    oss.clock_offset = 5000
    async with Downloader(None) as downloader:
        found = await asyncio.gather(*(downloader.read(url) for _ in range(20)), return_exceptions=True)
    assert all(isinstance(error, AccessDeniedError) for error in found)
    assert len(calls) == 3
    assert content


async def test_U01_expired_address_without_refresh_is_access_denied_with_a_hint(
    oss: LocalOSS, bucket: Any, path: Path, content: bytes, watch: Watch
) -> None:
    url = presigned(bucket)
    watch.secrets |= secrets_of(url)
    oss.clock_offset = 5000
    with watch.raises(AccessDeniedError) as caught:
        await download_url(url, path, **RANGED)
    assert "expired" in str(caught.error)
    assert "refresh" in caught.error.hint
    assert len(content) == SIZE


def refuse(_url: str) -> str:
    raise LookupError("a secret")


def unchanged(url: str) -> str:
    return url


@pytest.mark.parametrize("refresh", [refuse, unchanged, lambda _: "no address", lambda _: None])
async def test_U01_refresh_without_a_new_address_is_access_denied(
    oss: LocalOSS, bucket: Any, path: Path, content: bytes, watch: Watch, refresh: Any
) -> None:
    url = presigned(bucket)
    watch.secrets |= secrets_of(url) | {"a secret"}
    oss.clock_offset = 5000
    with watch.raises(AccessDeniedError) as caught:
        await download_url(url, path, refresh=refresh, **RANGED)
    assert "refresh" in caught.error.hint
    assert len(content) == SIZE


@pytest.mark.parametrize("other", ["/examplebucket/other?x=1", "host", "https"])
async def test_U01_refresh_that_returns_another_object_is_a_config_error(
    oss: LocalOSS, bucket: Any, path: Path, content: bytes, watch: Watch, other: str
) -> None:
    url = presigned(bucket)
    watch.secrets |= secrets_of(url)
    oss.clock_offset = 5000

    def refresh(old: str) -> str:
        if other == "host":
            return old.replace("127.0.0.1", "localhost")
        if other == "https":
            return old.replace("http:", "https:")
        return f"{oss.endpoint}{other}"

    with watch.raises(ConfigError):
        await download_url(url, path, refresh=refresh, **RANGED)
    assert len(content) == SIZE


async def test_U01_refresh_that_hangs_keeps_to_the_deadline(
    oss: LocalOSS, bucket: Any, path: Path, content: bytes
) -> None:
    async def refresh(_: str) -> str:
        await asyncio.sleep(3600)
        raise AssertionError

    oss.clock_offset = 5000
    with pytest.raises(RequestError, match="deadline"):
        await download_url(presigned(bucket), path, refresh=refresh, retry=RetryPolicy(deadline=0.2))
    assert len(content) == SIZE


async def test_U01_newly_signed_address_continues_an_old_download(
    oss: LocalOSS, bucket: Any, path: Path, content: bytes
) -> None:
    await interrupt(oss, presigned(bucket), path)
    result = await download_url(presigned(bucket, seconds=9999), path, **RANGED)
    assert path.read_bytes() == content
    assert result.resumed_bytes >= 5 * PART
    assert result.verified


def secrets_of(url: str) -> set[str]:
    query = urlsplit(url).query
    return {part.partition("=")[2] for part in query.split("&") if "signature=" in part.lower() or "redential=" in part}


async def test_U02_nothing_of_an_addresss_query_is_stored_logged_or_shown(
    oss: LocalOSS, bucket: Any, path: Path, content: bytes, watch: Watch
) -> None:
    url = presigned(bucket)
    secrets = secrets_of(url)
    assert len(secrets) == 2
    watch.secrets |= secrets
    events: list[Any] = []
    async with Downloader(None, on_event=events.append) as downloader:
        signed = SignedURL(url)
        result = await downloader.download(signed, path, **RANGED)
        await downloader.read(signed)
        oss.faults.status(500, times=1)
        await downloader.read(signed, retry=QUICK)
        # A server that echoes the address in its error.
        oss.faults.status(403, message=url, times=1)
        with watch.raises(AccessDeniedError):
            await downloader.read(signed)
    path.unlink()
    await interrupt(oss, url, path)
    assert leftover(path.parent, "checkpoint")
    shown = [repr(signed), str(signed), repr(result), str(result), *map(repr, events), *names(path.parent)]
    shown += [each.read_bytes().decode("latin-1") for each in path.parent.iterdir()]
    assert not [text for text in shown for secret in secrets if secret in text]
    assert len(content) == SIZE


@pytest.mark.parametrize("key", ["a+b", "a%2Bb", "a b", "a//b", "ü/😀", "a%2Fb", "a?b&c=d", "a#b", "x" * 300])
@pytest.mark.parametrize("slash_safe", [True, False])
async def test_U03_path_and_query_are_sent_byte_for_byte(
    oss: LocalOSS, bucket: Any, path: Path, key: str, slash_safe: bool
) -> None:
    oss.put("examplebucket", key, b"content of " + key.encode())
    url = presigned(bucket, key, slash_safe=slash_safe)
    await download_url(url, path)
    assert path.read_bytes() == b"content of " + key.encode()
    assert oss.requests[0].key == key
    await download_url(url + "#fragment", path)


@pytest.mark.parametrize("version", ["V1", "V4"])
async def test_U03_both_versions_of_signatures_are_accepted(
    oss: LocalOSS, path: Path, content: bytes, version: str
) -> None:
    auth = (oss2.Auth if version == "V1" else oss2.AuthV4)(oss.access_key_id, oss.access_key_secret)
    url = presigned(oss.bucket("examplebucket", auth=auth))
    result = await download_url(url, path, **RANGED)
    assert path.read_bytes() == content
    assert result.verified
    for record in oss.requests:
        assert not [name for name in record.headers if name.lower().startswith(("x-oss-", "authorization", "date"))]
        assert record.method == "GET"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "no address",
        "ftp://host/key",
        "http://",
        "http://user:pa55word@host/key",
        "http://host/a b",
        "http://hö/",
        5,
    ],
)
async def test_U03_invalid_address_is_a_config_error(oss: LocalOSS, path: Path, watch: Watch, url: Any) -> None:
    watch.secrets.add("pa55word")
    with watch.raises(ConfigError):
        await download_url(url, path)
    assert oss.requests == []


@pytest.mark.parametrize("keywords", [{"version_id": "1"}, {"params": {"a": "b"}}, {"headers": {"x-oss-a": "b"}}])
async def test_U03_keyword_that_would_have_to_be_signed_is_a_config_error(
    oss: LocalOSS, bucket: Any, path: Path, keywords: Any
) -> None:
    with pytest.raises(ConfigError):
        await download_url(presigned(bucket), path, **keywords)
    assert oss.requests == []


async def test_U03_downloader_without_a_bucket_serves_nothing_but_addresses(downloader: Downloader, path: Path) -> None:
    for call in (downloader.read("key"), downloader.head("key"), downloader.download("key", path)):
        with pytest.raises(ConfigError, match="no bucket"):
            await call
    with pytest.raises(ConfigError, match="no bucket"):
        downloader.stream("key")


class Plain(BaseHTTPRequestHandler):
    """A server of files that is not OSS: it knows ranges, and neither ETag nor CRC-64."""

    protocol_version = "HTTP/1.1"
    content = whole()
    last_modified = "Sat, 28 Nov 2026 00:00:00 GMT"

    def do_GET(self) -> None:
        first, _, last = self.headers["Range"].removeprefix("bytes=").partition("-")
        size = len(self.content)
        start = int(first) if first else max(0, size - int(last))
        stop = min(int(last) + 1, size) if first and last else size
        if start >= size:
            self.send_response(416)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{size}")
        self.send_header("Content-Length", str(stop - start))
        self.send_header("Last-Modified", self.last_modified)
        self.end_headers()
        self.wfile.write(self.content[start:stop])

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def plain_server() -> Iterator[str]:
    with ThreadedServer(Plain) as server:
        yield f"http://{server.where}/some/file?token=abcdefghij"


async def test_U03_any_server_that_supports_ranges_works(plain_server: str, downloader: Downloader, path: Path) -> None:
    url = SignedURL(plain_server)
    result = await downloader.download(url, path, **RANGED)
    assert path.read_bytes() == whole()
    assert not result.verified
    assert await downloader.read(url, start=-10) == whole()[-10:]
    assert await downloader.read(url, start=10**9) == b""
    async with downloader.stream(url, part_size=PART) as stream:
        assert await stream.read() == whole()
        assert not stream.verified
    assert (await downloader.head(url)).size == SIZE


async def test_U04_whole_object_instead_of_a_range_is_taken_from_its_start(
    oss: LocalOSS, bucket: Any, path: Path, content: bytes
) -> None:
    oss.faults.ignore_range(times=None)
    result = await download_url(presigned(bucket), path, **RANGED)
    assert path.read_bytes() == content
    assert result.verified
    assert len(oss.requests) == 1


async def test_U04_whole_object_in_the_middle_is_never_written_at_an_offset(
    oss: LocalOSS, bucket: Any, path: Path, content: bytes
) -> None:
    oss.faults.ignore_range(times=3, range=begins_at(2 * PART))
    result = await download_url(presigned(bucket), path, **RANGED)
    assert path.read_bytes() == content
    assert result.verified


async def test_U04_cut_whole_object_goes_on_from_its_last_byte(
    oss: LocalOSS, bucket: Any, path: Path, content: bytes
) -> None:
    oss.faults.ignore_range(times=None)
    oss.faults.truncate(300 * KiB, times=1)
    result = await download_url(presigned(bucket), path, **RANGED)
    assert path.read_bytes() == content
    assert result.fetched_bytes == SIZE


async def test_U04_slices_of_a_server_that_ignores_ranges_are_right(oss: LocalOSS, bucket: Any, content: bytes) -> None:
    oss.faults.ignore_range(times=None)
    url = SignedURL(presigned(bucket))
    async with Downloader(None) as downloader:
        for start, stop in [(5, 500_000), (-7, None), (None, None), (SIZE, None), (700_000, -3)]:
            assert await downloader.read(url, start=start, stop=stop) == content[start:stop]
            async with downloader.stream(url, start, stop, window=256 * KiB) as stream:
                assert await stream.read() == content[start:stop]
        assert await downloader.read_ranges(url, [(900_000, 900_005), (3, 9)]) == [
            content[900_000:900_005],
            content[3:9],
        ]


async def test_U04_stream_whose_last_chunk_fills_the_window_ends(oss: LocalOSS, bucket: Any, content: bytes) -> None:
    """The reader takes the last chunk only after fetching has ended, so fetching must not wait for room then."""
    oss.faults.ignore_range(times=None)
    url = SignedURL(presigned(bucket))
    async with (
        asyncio.timeout(30),
        Downloader(None) as downloader,
        downloader.stream(url, window=256 * KiB) as stream,
    ):
        while downloader.requests_in_flight:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        assert await stream.read() == content


async def test_U04_bucket_is_still_asked_for_ranges_as_http_has_them(oss: LocalOSS, bucket: Any, path: Path) -> None:
    """OSS heeds the header that is signed; a 200 for a range of a bucket is refused as before."""
    oss.put("examplebucket", "key", size=SIZE, seed=1)
    oss.faults.ignore_range(times=None)
    with pytest.raises(ProtocolError):
        await aioss_resume.download(bucket, "key", path, **RANGED)
