"""The CRC-64 decides what is published; and what happens where OSS tells none, or one that does not hold."""

from pathlib import Path
from typing import Any

import anyio
import oss2
import pytest
from flow.canary import Watch, watching  # noqa: F401
from flow.ranged import PART, RANGED, SIZE, asked, begins_at, interrupt, leftover, names, whole

import aioss_resume
from aioss_resume import IntegrityError
from aioss_resume.testing import GeneratedContent, LocalOSS

pytestmark = pytest.mark.anyio

WRONG = 12345
SIZES = [0, 1000, PART, SIZE]
"""In the first answer there is nothing, a file kept in memory, one span, or the first of many."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "file"


@pytest.mark.parametrize("size", SIZES[1:])
async def test_integrity_require_fails_before_any_body_is_read(
    oss: LocalOSS, bucket: Any, path: Path, watch: Watch, size: int
) -> None:
    oss.put("examplebucket", "key", size=size, no_crc=True)
    oss.faults.stall(0, times=None)  # reading the first byte of a body would never end
    with anyio.fail_after(20), watch.raises(IntegrityError) as caught:
        await aioss_resume.download(bucket, "key", path, integrity="require", **RANGED)
    assert isinstance(caught.error, oss2.exceptions.InconsistentError)
    assert caught.error.hint
    assert len(oss.requests) == 1
    assert names(path.parent) == []


async def test_integrity_require_leaves_the_old_file(oss: LocalOSS, bucket: Any, path: Path, watch: Watch) -> None:
    oss.put("examplebucket", "key", size=SIZE, no_crc=True)
    path.write_bytes(b"old")
    with watch.raises(IntegrityError):
        await aioss_resume.download(bucket, "key", path, integrity="require", **RANGED)
    assert path.read_bytes() == b"old"
    assert names(path.parent) == ["file"]


async def test_integrity_require_of_a_resumed_download_fails_and_keeps_its_bytes(
    oss: LocalOSS, bucket: Any, path: Path, watch: Watch
) -> None:
    oss.put("examplebucket", "key", size=SIZE, seed=1, no_crc=True)
    await interrupt(bucket, oss, path)
    with watch.raises(IntegrityError):
        await aioss_resume.download(bucket, "key", path, integrity="require", **RANGED)
    assert not path.exists()
    result = await aioss_resume.download(bucket, "key", path, integrity="auto", **RANGED)
    assert path.read_bytes() == whole()
    assert (result.verified, result.resumed_bytes) == (False, 5 * PART)


async def test_integrity_require_passes_if_only_the_interrupted_run_got_no_crc64(
    oss: LocalOSS, bucket: Any, path: Path
) -> None:
    oss.put("examplebucket", "key", size=SIZE, seed=1)
    dropped = oss.faults.drop_header("x-oss-hash-crc64ecma", times=None)
    await interrupt(bucket, oss, path)
    dropped.cancel()
    result = await aioss_resume.download(bucket, "key", path, integrity="require", **RANGED)
    assert path.read_bytes() == whole()
    assert result.verified


async def test_crc64_of_a_later_response_only_verifies_nothing(oss: LocalOSS, bucket: Any, path: Path) -> None:
    oss.put("examplebucket", "key", size=SIZE, seed=1, crc64=WRONG)
    oss.faults.drop_header("x-oss-hash-crc64ecma", range=(0, PART))
    result = await aioss_resume.download(bucket, "key", path, **RANGED)
    assert not result.verified
    assert path.read_bytes() == whole()


async def test_enable_crc_false_compares_no_crc64_and_is_unverified(oss: LocalOSS, path: Path) -> None:
    oss.put("examplebucket", "key", size=SIZE, seed=1, crc64=WRONG)
    result = await aioss_resume.download(oss.bucket("examplebucket", enable_crc=False), "key", path, **RANGED)
    assert path.read_bytes() == whole()
    assert (result.verified, result.crc64) == (False, WRONG)
    assert asked(oss).count((0, PART)) == 1


async def test_enable_crc_false_proves_kept_bytes_all_the_same(oss: LocalOSS, path: Path) -> None:
    oss.put("examplebucket", "key", size=SIZE, seed=1)
    bucket = oss.bucket("examplebucket", enable_crc=False)
    await interrupt(bucket, oss, path)
    with leftover(path.parent, "part").open("r+b") as part:
        part.seek(PART)
        part.write(b"damage")
    result = await aioss_resume.download(bucket, "key", path, **RANGED)
    assert path.read_bytes() == whole()
    assert (result.verified, result.resumed_bytes) == (False, 0)


@pytest.mark.parametrize("size", SIZES[1:])
async def test_mismatch_once_is_repaired_by_fetching_all_of_the_same_object_again(
    oss: LocalOSS, bucket: Any, path: Path, size: int
) -> None:
    stored = oss.put("examplebucket", "key", size=size, seed=1)
    oss.faults.flip_bit(size - 1)
    result = await aioss_resume.download(bucket, "key", path, **RANGED)
    assert path.read_bytes() == whole(size)
    assert result.verified
    assert (result.resumed_bytes, result.fetched_bytes) == (0, size)
    assert sum(record.bytes_sent for record in oss.requests) == 2 * size
    first, again = [record for record in oss.requests if record.range == (0, PART)]
    assert "If-Match" not in first.headers
    assert again.headers["If-Match"] == f'"{stored.etag}"'
    assert names(path.parent) == ["file"]


@pytest.mark.parametrize("size", SIZES)
async def test_repeated_mismatch_leaves_only_the_old_file(
    oss: LocalOSS, bucket: Any, path: Path, watch: Watch, size: int
) -> None:
    oss.put("examplebucket", "key", size=size, seed=1, crc64=WRONG)
    path.write_bytes(b"old")
    with watch.raises(IntegrityError) as caught:
        await aioss_resume.download(bucket, "key", path, **RANGED)
    assert isinstance(caught.error, oss2.exceptions.InconsistentError)
    assert caught.error.status == oss2.exceptions.OSS_INCONSISTENT_ERROR_STATUS
    assert str(WRONG) in str(caught.error)
    assert asked(oss).count((0, PART)) == 2
    assert path.read_bytes() == b"old"
    assert names(path.parent) == ["file"]
    oss.put("examplebucket", "key", size=size, seed=1)
    assert (await aioss_resume.download(bucket, "key", path, **RANGED)).verified
    assert path.read_bytes() == whole(size)


async def test_created_parents_are_removed_after_a_mismatch(
    oss: LocalOSS, bucket: Any, tmp_path: Path, watch: Watch
) -> None:
    oss.put("examplebucket", "key", size=SIZE, crc64=WRONG)
    with watch.raises(IntegrityError):
        await aioss_resume.download(bucket, "key", tmp_path / "made" / "too" / "file", **RANGED)
    assert names(tmp_path) == []


async def test_object_replaced_while_it_is_fetched_again_becomes_the_new_version(
    oss: LocalOSS, bucket: Any, path: Path
) -> None:
    oss.put("examplebucket", "key", size=SIZE, seed=1)
    oss.faults.flip_bit(3 * PART)
    oss.faults.replace_object(size=2 * PART, content_seed=2, range=(0, PART), nth=2)
    result = await aioss_resume.download(bucket, "key", path, **RANGED)
    assert path.read_bytes() == whole(2 * PART, seed=2)
    assert result.verified


async def test_new_version_gets_a_second_fetch_of_its_own(oss: LocalOSS, bucket: Any, path: Path) -> None:
    oss.put("examplebucket", "key", size=SIZE, seed=1)
    oss.faults.flip_bit(3 * PART)
    replacing = oss.faults.replace_object(range=(0, PART), nth=2)
    oss.faults.flip_bit(3 * PART, range=lambda _: replacing.hits > 0)
    result = await aioss_resume.download(bucket, "key", path, **RANGED)
    stored = oss.find("examplebucket", "key")
    assert path.read_bytes() == stored.content.read(0, SIZE)
    assert result.verified
    assert not oss.faults.unmet()


async def test_resumed_download_whose_kept_bytes_hold_and_whose_crc64_differs_fetches_all_again(
    oss: LocalOSS, bucket: Any, path: Path
) -> None:
    told = GeneratedContent(SIZE, 2).crc64
    oss.put("examplebucket", "key", size=SIZE, seed=1, etag="SAME", crc64=told)
    await interrupt(bucket, oss, path)
    oss.put("examplebucket", "key", size=SIZE, seed=2, etag="SAME")
    result = await aioss_resume.download(bucket, "key", path, **RANGED)
    assert asked(oss).count((0, PART)) == 1
    assert sum(record.bytes_sent for record in oss.requests) == 5 * PART + 77 + SIZE
    assert path.read_bytes() == whole(seed=2)
    assert (result.verified, result.resumed_bytes, result.fetched_bytes) == (True, 0, SIZE)


async def test_resumed_download_of_an_object_with_a_wrong_crc64_leaves_nothing(
    oss: LocalOSS, bucket: Any, path: Path, watch: Watch
) -> None:
    oss.put("examplebucket", "key", size=SIZE, seed=1, crc64=WRONG)
    await interrupt(bucket, oss, path)
    with watch.raises(IntegrityError):
        await aioss_resume.download(bucket, "key", path, **RANGED)
    assert names(path.parent) == []


async def test_bit_that_flips_in_a_resumed_download_is_repaired(oss: LocalOSS, bucket: Any, path: Path) -> None:
    oss.put("examplebucket", "key", size=SIZE, seed=1)
    await interrupt(bucket, oss, path)
    oss.faults.flip_bit(7 * PART, range=begins_at(5 * PART))
    result = await aioss_resume.download(bucket, "key", path, **RANGED)
    assert path.read_bytes() == whole()
    assert (result.verified, result.resumed_bytes) == (True, 0)
    assert names(path.parent) == ["file"]
