"""Objects of every size and kind, from a first request to a file that is the object."""

import dataclasses
import gzip
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aioss_resume import IntegrityError, NoSuchKeyError, RetryPolicy, download
from aioss_resume.testing import BytesContent, GeneratedContent, KiB, LocalOSS, MiB

pytestmark = pytest.mark.anyio

PART = 128 * KiB
THRESHOLD = 512 * KiB
SMALL = {"part_size": PART, "multiget_threshold": THRESHOLD}
Same = Callable[[Path, GeneratedContent], bool]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "file"


SIZES = [
    0,
    1,
    PART - 1,
    PART,
    THRESHOLD - 1,
    THRESHOLD,
    THRESHOLD + 1,
    THRESHOLD + PART,
    THRESHOLD + 5 * PART,
    THRESHOLD + 5 * PART + 1,
]


@pytest.mark.parametrize("size", SIZES)
async def test_file_of_any_size_is_the_object(
    oss: LocalOSS, bucket: Any, path: Path, same_bytes: Same, size: int
) -> None:
    stored = oss.put("examplebucket", "key", size=size)
    result = await download(bucket, "key", path, **SMALL)
    assert same_bytes(path, stored.content)
    assert [entry.name for entry in path.parent.iterdir()] == ["file"]
    assert (result.size, result.resumed_bytes, result.fetched_bytes) == (size, 0, size)
    assert result.resumed_bytes + result.fetched_bytes == result.size
    assert result.verified
    assert {request.method for request in oss.requests} == {"GET"}


@pytest.mark.parametrize("size", [1, PART, THRESHOLD - 1, THRESHOLD])
async def test_object_that_fits_the_first_range_takes_one_request(
    oss: LocalOSS, bucket: Any, path: Path, size: int
) -> None:
    oss.put("examplebucket", "key", size=size)
    result = await download(bucket, "key", path, **SMALL)
    assert [request.range for request in oss.requests] == [(0, THRESHOLD)]
    assert (result.requests, result.attempts) == (1, 1)


async def test_empty_object_takes_a_range_and_then_a_get_without_conditions(
    oss: LocalOSS, bucket: Any, path: Path
) -> None:
    oss.put("examplebucket", "key", b"")
    result = await download(bucket, "key", path)
    first, second = oss.requests
    assert (first.status, first.range) == (416, (0, 10 * MiB))
    assert (second.status, second.range) == (200, None)
    assert "If-Match" not in second.headers
    assert path.read_bytes() == b""
    assert (result.size, result.fetched_bytes, result.crc64, result.verified) == (0, 0, 0, True)


@pytest.mark.parametrize(
    ("keywords", "asked"),
    [
        ({}, 10 * MiB),
        ({"part_size": 100 * KiB}, 10 * MiB),
        ({"part_size": 12 * MiB}, 12 * MiB),
        ({"multiget_threshold": 11 * MiB}, 11 * MiB),
        ({"part_size": 100 * KiB, "multiget_threshold": 0}, 100 * KiB),
        ({"part_size": 300 * KiB, "multiget_threshold": 200 * KiB}, 300 * KiB),
    ],
)
async def test_first_get_asks_for_the_larger_of_part_size_and_threshold(
    oss: LocalOSS, bucket: Any, path: Path, same_bytes: Same, keywords: dict[str, Any], asked: int
) -> None:
    stored = oss.put("examplebucket", "key", size=13 * MiB)
    await download(bucket, "key", path, **keywords)
    assert oss.requests[0].range == (0, asked)
    assert same_bytes(path, stored.content)


async def test_every_get_but_the_first_pins_the_etag(oss: LocalOSS, bucket: Any, path: Path) -> None:
    stored = oss.put("examplebucket", "key", size=THRESHOLD + 9 * PART)
    await download(bucket, "key", path, **SMALL)
    first, *others = oss.requests
    assert "If-Match" not in first.headers
    assert len(others) >= 9
    assert {request.headers.get("If-Match") for request in others} == {f'"{stored.etag}"'}


async def test_ranges_are_disjoint_no_larger_than_a_part_and_cover_the_object(
    oss: LocalOSS, bucket: Any, path: Path
) -> None:
    oss.put("examplebucket", "key", size=THRESHOLD + 9 * PART + 7)
    oss.faults.delay(0.02, times=None)
    await download(bucket, "key", path, **SMALL, concurrency=2)
    asked = sorted(request.range for request in oss.requests)
    edge = 0
    for start, stop in asked:
        assert start == edge
        assert stop - start <= (THRESHOLD if start == 0 else PART)
        edge = stop
    assert edge == THRESHOLD + 9 * PART + 7


async def test_result_has_every_field(oss: LocalOSS, path: Path) -> None:
    oss.enable_versioning("versioned")
    stored = oss.put("versioned", "dir/key", b"twelve bytes")
    result = await download(oss.bucket("versioned"), "dir/key", str(path))
    elapsed = result.elapsed
    assert elapsed > 0
    assert dataclasses.asdict(result) == {
        "path": path,
        "key": "dir/key",
        "version_id": stored.version_id,
        "size": 12,
        "etag": BytesContent(b"twelve bytes").etag,
        "crc64": BytesContent(b"twelve bytes").crc64,
        "verified": True,
        "resumed_bytes": 0,
        "fetched_bytes": 12,
        "requests": 1,
        "attempts": 1,
        "elapsed": elapsed,
        "skipped": False,
    }
    with pytest.raises(dataclasses.FrozenInstanceError):
        result.size = 13  # type: ignore[misc]


async def test_request_that_failed_counts_as_an_attempt(oss: LocalOSS, bucket: Any, path: Path) -> None:
    oss.put("examplebucket", "key", b"bytes")
    oss.faults.status(500)
    result = await download(bucket, "key", path, retry=RetryPolicy(wait_initial=0))
    assert (result.requests, result.attempts) == (1, 2)


async def test_str_of_a_result_is_one_line_for_a_person(oss: LocalOSS, bucket: Any, path: Path) -> None:
    oss.put("examplebucket", "key", size=1234)
    fetched = await download(bucket, "key", path)
    skipped = await download(bucket, "key", path, overwrite="if_changed")
    for result in (fetched, skipped):
        line = str(result)
        assert "\n" not in line
        assert re.search(r"1,234 bytes", line)
        assert str(path) in line
        assert "verified" in line


async def test_another_version_is_fetched_by_its_id(oss: LocalOSS, tmp_path: Path) -> None:
    oss.enable_versioning("versioned")
    old = oss.put("versioned", "key", size=THRESHOLD + 3 * PART, seed=1)
    oss.put("versioned", "key", size=THRESHOLD + 3 * PART, seed=2)
    bucket = oss.bucket("versioned")
    by_keyword = await download(bucket, "key", tmp_path / "a", version_id=old.version_id, **SMALL)
    by_params = await download(bucket, "key", tmp_path / "b", params={"versionId": old.version_id}, **SMALL)
    assert by_keyword.version_id == by_params.version_id == old.version_id
    assert by_keyword.crc64 == by_params.crc64 == old.content.crc64
    assert {request.version_id for request in oss.requests} == {old.version_id}


async def test_current_version_is_fetched_without_an_id(oss: LocalOSS, path: Path) -> None:
    oss.enable_versioning("versioned")
    oss.put("versioned", "key", b"old")
    new = oss.put("versioned", "key", b"new")
    result = await download(oss.bucket("versioned"), "key", path)
    assert path.read_bytes() == b"new"
    assert result.version_id == new.version_id


async def test_params_are_sent_with_every_request(oss: LocalOSS, bucket: Any, path: Path) -> None:
    oss.put("examplebucket", "key", size=THRESHOLD + 2 * PART)
    params = {"response-content-type": "text/x-odd; a=b&c", "response-cache-control": "no-cache"}
    await download(bucket, "key", path, params=params, **SMALL)
    assert len(oss.requests) > 1
    assert all(request.query == params for request in oss.requests)


async def test_headers_are_sent_with_every_request(oss: LocalOSS, bucket: Any, path: Path) -> None:
    oss.put("examplebucket", "key", size=THRESHOLD + 2 * PART)
    headers = {"x-oss-request-payer": "requester", "x-oss-traffic-limit": "838860800", "User-Agent": "odd/1"}
    await download(bucket, "key", path, headers=headers, **SMALL)
    assert len(oss.requests) > 1
    for request in oss.requests:
        assert {name: request.headers.get(name) for name in headers} == headers


async def test_error_of_oss_for_odd_headers_reaches_the_caller(oss: LocalOSS, bucket: Any, path: Path) -> None:
    oss.put("examplebucket", "key", b"bytes")
    with pytest.raises(Exception, match="InvalidArgument") as caught:
        await download(bucket, "key", path, headers={"x-oss-traffic-limit": "1"})
    assert caught.value.status == 400  # type: ignore[attr-defined]
    assert len(oss.requests) == 1


async def test_processed_object_comes_in_one_request_without_a_range(
    oss: LocalOSS, bucket: Any, path: Path, same_bytes: Same
) -> None:
    stored = oss.put("examplebucket", "key.png", size=2 * MiB + 5)
    seen: list[tuple[int, int | None]] = []
    result = await download(
        bucket,
        "key.png",
        path,
        params={"x-oss-process": "image/resize,w_100"},
        progress_callback=lambda consumed, total: seen.append((consumed, total)),
        **SMALL,
    )
    (request,) = oss.requests
    assert request.range is None
    assert request.query == {"x-oss-process": "image/resize,w_100"}
    assert same_bytes(path, stored.content)
    assert [entry.name for entry in path.parent.iterdir()] == ["file"]
    assert (result.size, result.fetched_bytes, result.verified, result.crc64) == (2 * MiB + 5, 2 * MiB + 5, False, None)
    assert {total for _, total in seen} == {None}
    assert seen[-1] == (2 * MiB + 5, None)


async def test_processed_object_that_is_cut_leaves_the_old_file_and_starts_over(
    oss: LocalOSS, bucket: Any, path: Path, same_bytes: Same
) -> None:
    stored = oss.put("examplebucket", "key", size=2 * MiB)
    path.write_bytes(b"old")
    oss.faults.reset_after(MiB, times=2)
    params = {"x-oss-process": "image/resize,w_100"}
    with pytest.raises(Exception, match="lost"):
        await download(bucket, "key", path, params=params, retry=RetryPolicy(attempts=1))
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in path.parent.iterdir()] == ["file"]
    result = await download(bucket, "key", path, params=params, retry=RetryPolicy(wait_initial=0))
    assert same_bytes(path, stored.content)
    assert (result.requests, result.attempts) == (1, 2)


async def test_processed_object_cannot_satisfy_integrity_require(oss: LocalOSS, bucket: Any, path: Path) -> None:
    oss.put("examplebucket", "key", size=2 * MiB)
    with pytest.raises(IntegrityError):
        await download(bucket, "key", path, params={"x-oss-process": "image/info"}, integrity="require")
    assert list(path.parent.iterdir()) == []


async def test_object_stored_as_gzip_arrives_byte_for_byte(oss: LocalOSS, bucket: Any, tmp_path: Path) -> None:
    data = gzip.compress(bytes(range(256)) * 4000, mtime=0)
    oss.put("examplebucket", "small", data, headers={"Content-Encoding": "gzip", "Content-Type": "text/plain"})
    large = oss.put("examplebucket", "large", size=THRESHOLD + 3 * PART, headers={"Content-Encoding": "gzip"})
    await download(bucket, "small", tmp_path / "small")
    result = await download(bucket, "large", tmp_path / "large", **SMALL)
    assert (tmp_path / "small").read_bytes() == data
    assert result.crc64 == large.content.crc64
    assert result.verified


async def test_text_is_never_compressed_on_the_way(oss: LocalOSS, bucket: Any, path: Path) -> None:
    oss.put("examplebucket", "key", b"text " * 1000, headers={"Content-Type": "text/plain"})
    params = {"x-oss-process": "style/none"}
    await download(bucket, "key", path)
    await download(bucket, "key", path, params=params)
    assert {request.headers.get("Accept-Encoding") for request in oss.requests} == {"identity"}
    assert path.read_bytes() == b"text " * 1000


async def test_folder_object_becomes_an_empty_file(oss: LocalOSS, bucket: Any, path: Path) -> None:
    oss.put("examplebucket", "folder/", b"")
    result = await download(bucket, "folder/", path)
    assert path.read_bytes() == b""
    assert (result.size, result.key) == (0, "folder/")


async def test_whole_response_to_the_first_range_is_accepted(oss: LocalOSS, bucket: Any, path: Path) -> None:
    oss.put("examplebucket", "folder/", b"not empty")  # OSS ignores ranges of folder objects
    oss.faults.ignore_range()
    result = await download(bucket, "folder/", path)
    assert path.read_bytes() == b"not empty"
    assert result.verified
    assert len(oss.requests) == 1


@pytest.mark.parametrize("size", [0, 1000, THRESHOLD + 3 * PART])
async def test_enable_crc_false_downloads_without_comparing(
    oss: LocalOSS, path: Path, same_bytes: Same, size: int
) -> None:
    stored = oss.put("examplebucket", "key", size=size, crc64=12345)
    result = await download(oss.bucket("examplebucket", enable_crc=False), "key", path, **SMALL)
    assert same_bytes(path, stored.content)
    assert not result.verified
    assert result.crc64 == 12345


async def test_enable_crc_false_contradicts_integrity_require(oss: LocalOSS, path: Path) -> None:
    with pytest.raises(ValueError, match="enable_crc"):
        await download(oss.bucket("examplebucket", enable_crc=False), "key", path, integrity="require")
    assert oss.requests == []


@pytest.mark.parametrize("size", [0, 1000, THRESHOLD + 3 * PART])
async def test_without_a_crc64_integrity_auto_downloads_unverified(
    oss: LocalOSS, bucket: Any, path: Path, same_bytes: Same, size: int
) -> None:
    stored = oss.put("examplebucket", "key", size=size, no_crc=True)
    result = await download(bucket, "key", path, **SMALL)
    assert same_bytes(path, stored.content)
    assert not result.verified
    assert result.crc64 is None
    assert [entry.name for entry in path.parent.iterdir()] == ["file"]


@pytest.mark.parametrize("size", [0, 1000, THRESHOLD + 3 * PART])
async def test_without_a_crc64_integrity_require_fails_after_one_response_and_leaves_nothing(
    oss: LocalOSS, bucket: Any, tmp_path: Path, size: int
) -> None:
    oss.put("examplebucket", "key", size=size, no_crc=True)
    with pytest.raises(IntegrityError, match="no CRC-64"):
        await download(bucket, "key", tmp_path / "made" / "file", integrity="require", **SMALL)
    assert list(tmp_path.iterdir()) == []
    assert len(oss.requests) == (1 if size else 2)


async def test_integrity_require_passes_where_oss_sends_a_crc64(oss: LocalOSS, bucket: Any, path: Path) -> None:
    oss.put("examplebucket", "key", size=THRESHOLD + 3 * PART)
    assert (await download(bucket, "key", path, integrity="require", **SMALL)).verified


async def test_missing_key_takes_one_request(oss: LocalOSS, bucket: Any, path: Path) -> None:
    with pytest.raises(NoSuchKeyError) as caught:
        await download(bucket, "key", path)
    assert (caught.value.bucket, caught.value.key, caught.value.status) == ("examplebucket", "key", 404)
    assert len(oss.requests) == 1


async def test_connections_are_used_again(oss: LocalOSS, bucket: Any, path: Path) -> None:
    oss.put("examplebucket", "key", size=THRESHOLD + 20 * PART)
    await download(bucket, "key", path, concurrency=2, **SMALL)
    assert len(oss.requests) >= 21
    assert len({request.connection for request in oss.requests}) < len(oss.requests) / 2
