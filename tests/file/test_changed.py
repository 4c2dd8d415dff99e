"""The object is replaced or deleted, midway or between two runs: one version of it, or an error; never a mixture."""

from pathlib import Path
from typing import Any

import oss2
import pytest
from flow.canary import Watch, watching  # noqa: F401
from flow.ranged import PART, RANGED, SIZE, asked, begins_at, interrupt, names, whole

import aioss_resume
from aioss_resume import IntegrityError, NoSuchKeyError, ObjectChangedError, ProtocolError
from aioss_resume.testing import GeneratedContent, LocalOSS

pytestmark = pytest.mark.anyio

HALF = 5 * PART
NOT_EVERY_SIZE = [0, 5, PART, HALF - 1, HALF, SIZE - 1, SIZE + 1, 2 * SIZE]


@pytest.fixture
def path(oss: LocalOSS, tmp_path: Path) -> Path:
    oss.put("examplebucket", "key", size=SIZE, seed=1)
    return tmp_path / "file"


def current(oss: LocalOSS) -> bytes:
    """The bytes that the object has now."""
    content = oss.find("examplebucket", "key").content
    return content.read(0, content.size)


def runs(oss: LocalOSS) -> int:
    """How often a download began from zero."""
    return asked(oss).count((0, PART))


@pytest.mark.parametrize("at", range(0, 11 * PART, PART), ids=lambda at: f"part {at // PART}")
async def test_object_replaced_at_any_part_becomes_the_new_version(
    oss: LocalOSS, bucket: Any, path: Path, at: int
) -> None:
    oss.faults.replace_object(range=begins_at(at))
    result = await aioss_resume.download(bucket, "key", path, **RANGED)
    assert path.read_bytes() == current(oss) != whole()
    assert result.verified
    assert result.etag == oss.find("examplebucket", "key").etag
    assert names(path.parent) == ["file"]


@pytest.mark.parametrize("size", NOT_EVERY_SIZE)
async def test_object_replaced_by_one_of_another_size_becomes_the_new_version(
    oss: LocalOSS, bucket: Any, path: Path, size: int
) -> None:
    oss.faults.replace_object(size=size, content_seed=2, range=begins_at(HALF))
    result = await aioss_resume.download(bucket, "key", path, **RANGED)
    assert path.read_bytes() == whole(size, seed=2)
    assert (result.size, result.resumed_bytes, result.fetched_bytes) == (size, 0, size)
    assert names(path.parent) == ["file"]


async def test_other_bytes_under_the_same_etag_are_detected_by_their_crc64(
    oss: LocalOSS, bucket: Any, path: Path
) -> None:
    oss.faults.replace_object(same_etag=True, range=begins_at(HALF))
    result = await aioss_resume.download(bucket, "key", path, **RANGED)
    assert path.read_bytes() == current(oss) != whole()
    assert result.verified
    assert {record.status for record in oss.requests} == {206}


async def test_other_bytes_under_the_same_etag_are_a_change_and_no_mismatch(
    oss: LocalOSS, bucket: Any, path: Path, watch: Watch
) -> None:
    oss.faults.replace_object(same_etag=True, range=begins_at(HALF))
    with watch.raises(ObjectChangedError) as caught:
        await aioss_resume.download(bucket, "key", path, **{**RANGED, "on_change": "fail"})
    assert "CRC-64" in str(caught.error)
    assert not isinstance(caught.error, oss2.exceptions.PreconditionFailed)  # OSS answered 206
    assert names(path.parent) == []


async def test_other_bytes_under_the_same_etag_and_crc64_are_an_integrity_error_and_leave_nothing(
    oss: LocalOSS, bucket: Any, path: Path, watch: Watch
) -> None:
    path.write_bytes(b"old")
    oss.faults.replace_object(same_etag=True, stale_crc=True, range=begins_at(HALF))
    with watch.raises(IntegrityError):
        await aioss_resume.download(bucket, "key", path, **RANGED)
    assert runs(oss) == 2
    assert path.read_bytes() == b"old"
    assert names(path.parent) == ["file"]
    oss.put("examplebucket", "key", size=SIZE, seed=3)
    await aioss_resume.download(bucket, "key", path, **RANGED)
    assert path.read_bytes() == whole(seed=3)


async def test_another_size_under_the_same_etag_is_never_a_mixture(
    oss: LocalOSS, bucket: Any, path: Path, watch: Watch
) -> None:
    oss.faults.replace_object(size=2 * SIZE, content_seed=2, same_etag=True, range=begins_at(HALF))
    with watch.raises(ProtocolError):
        await aioss_resume.download(bucket, "key", path, **RANGED)
    assert not path.exists()
    await aioss_resume.download(bucket, "key", path.with_name("other"), **RANGED)
    assert path.with_name("other").read_bytes() == whole(2 * SIZE, seed=2)


@pytest.mark.parametrize("on_change", ["restart", "fail"])
async def test_change_is_detected_even_if_the_server_ignores_if_match(
    oss: LocalOSS, bucket: Any, path: Path, watch: Watch, on_change: Any
) -> None:
    # The server reads If-Match as a list of ETags, in which "*" matches any object. So this condition always holds.
    oss.put("examplebucket", "key", size=SIZE, seed=1, etag="one,*", no_crc=True)
    replacing = oss.faults.replace_object(size=SIZE, content_seed=2, range=begins_at(HALF))
    oss.faults.set_header("ETag", '"two,*"', times=None, range=lambda _: replacing.hits > 0)
    oss.faults.drop_header("x-oss-hash-crc64ecma", times=None)
    keywords = {**RANGED, "on_change": on_change}
    if on_change == "fail":
        with watch.raises(ObjectChangedError):
            await aioss_resume.download(bucket, "key", path, **keywords)
        assert names(path.parent) == []
    else:
        await aioss_resume.download(bucket, "key", path, **keywords)
        assert path.read_bytes() == whole(seed=2)
    assert {record.status for record in oss.requests} == {206}
    assert replacing.hits == 1


@pytest.mark.parametrize("times", [2, 3, 5])
@pytest.mark.parametrize("concurrency", [1, 4, 8])
async def test_object_replaced_again_and_again_is_exactly_one_version_or_none(
    oss: LocalOSS, bucket: Any, path: Path, times: int, concurrency: int
) -> None:
    oss.faults.replace_object(range=begins_at(2 * PART), times=times)
    versions = (whole(), whole(seed=-2))
    try:
        await aioss_resume.download(bucket, "key", path, **{**RANGED, "concurrency": concurrency})
    except ObjectChangedError:
        assert names(path.parent) == []
    else:
        assert path.read_bytes() in versions
        assert names(path.parent) == ["file"]


async def test_constantly_replaced_object_is_restarted_three_times_at_most(
    oss: LocalOSS, bucket: Any, path: Path, watch: Watch
) -> None:
    path.write_bytes(b"old")
    oss.faults.replace_object(range=begins_at(PART), times=None)
    with watch.raises(ObjectChangedError) as caught:
        await aioss_resume.download(bucket, "key", path, **{**RANGED, "concurrency": 1})
    assert isinstance(caught.error, oss2.exceptions.PreconditionFailed)
    assert runs(oss) == 1 + 3
    assert len(oss.requests) == 3 * (1 + 3)  # the third asks whether only the ETag has changed
    assert path.read_bytes() == b"old"
    assert names(path.parent) == ["file"]


async def test_on_change_fail_raises_at_once_and_the_next_run_fetches_the_new_version(
    oss: LocalOSS, bucket: Any, path: Path, watch: Watch
) -> None:
    oss.faults.replace_object(range=begins_at(HALF))
    keywords = {**RANGED, "on_change": "fail"}
    with watch.raises(ObjectChangedError) as caught:
        await aioss_resume.download(bucket, "key", path, **keywords)
    assert isinstance(caught.error, oss2.exceptions.PreconditionFailed)
    assert (caught.error.status, caught.error.code) == (412, "PreconditionFailed")
    assert (caught.error.bucket, caught.error.key) == ("examplebucket", "key")
    assert runs(oss) == 1
    assert names(path.parent) == []
    await aioss_resume.download(bucket, "key", path, **keywords)
    assert path.read_bytes() == current(oss)


async def test_code_written_for_oss2_catches_a_replaced_object(oss: LocalOSS, bucket: Any, path: Path) -> None:
    oss.faults.replace_object(range=begins_at(HALF))
    with pytest.raises(oss2.exceptions.PreconditionFailed):
        await aioss_resume.download(bucket, "key", path, **{**RANGED, "on_change": "fail"})


async def test_version_requested_by_its_id_is_not_changed_by_a_newer_one(oss: LocalOSS, tmp_path: Path) -> None:
    oss.enable_versioning("versioned")
    first = oss.put("versioned", "key", size=SIZE, seed=1)
    oss.faults.replace_object(range=begins_at(HALF))
    path = tmp_path / "file"
    await aioss_resume.download(oss.bucket("versioned"), "key", path, version_id=first.version_id, **RANGED)
    assert path.read_bytes() == whole()
    assert runs(oss) == 1


@pytest.mark.parametrize("on_change", ["restart", "fail"])
async def test_object_deleted_midway_is_an_error_and_not_restarted(
    oss: LocalOSS, bucket: Any, path: Path, watch: Watch, on_change: Any
) -> None:
    path.write_bytes(b"old")
    oss.faults.delete_object(range=begins_at(HALF))
    with watch.raises(ObjectChangedError) as caught:
        await aioss_resume.download(bucket, "key", path, **{**RANGED, "on_change": on_change})
    assert isinstance(caught.error, oss2.exceptions.NoSuchKey)
    assert caught.error.is_deleted
    assert "deleted" in str(caught.error)
    assert runs(oss) == 1
    assert path.read_bytes() == b"old"


async def test_object_deleted_midway_and_put_back_is_resumed(
    oss: LocalOSS, bucket: Any, path: Path, watch: Watch
) -> None:
    oss.faults.delete_object(range=begins_at(HALF))
    with watch.raises(ObjectChangedError):
        await aioss_resume.download(bucket, "key", path, **{**RANGED, "concurrency": 1})
    oss.put("examplebucket", "key", size=SIZE, seed=1)
    result = await aioss_resume.download(bucket, "key", path, **RANGED)
    assert path.read_bytes() == whole()
    assert result.resumed_bytes == HALF


async def test_object_deleted_and_uploaded_again_is_fetched_from_zero(
    oss: LocalOSS, bucket: Any, path: Path, watch: Watch
) -> None:
    oss.faults.delete_object(range=begins_at(HALF))
    with watch.raises(ObjectChangedError):
        await aioss_resume.download(bucket, "key", path, **RANGED)
    oss.put("examplebucket", "key", size=SIZE, seed=2)
    result = await aioss_resume.download(bucket, "key", path, **RANGED)
    assert path.read_bytes() == whole(seed=2)
    assert result.resumed_bytes == 0
    assert names(path.parent) == ["file"]


@pytest.mark.parametrize("size", [*NOT_EVERY_SIZE, SIZE])
async def test_object_changed_between_two_runs_is_fetched_from_zero(
    oss: LocalOSS, bucket: Any, path: Path, size: int
) -> None:
    await interrupt(bucket, oss, path)
    oss.put("examplebucket", "key", size=size, seed=2)
    result = await aioss_resume.download(bucket, "key", path, **RANGED)
    assert path.read_bytes() == whole(size, seed=2)
    assert (result.resumed_bytes, result.fetched_bytes) == (0, size)
    assert names(path.parent) == ["file"]
    assert [record.status for record in oss.requests].count(412) == 1


@pytest.mark.parametrize("size", [0, PART, SIZE])
async def test_object_changed_between_two_runs_is_an_error_with_on_change_fail_and_the_next_run_passes(
    oss: LocalOSS, bucket: Any, path: Path, watch: Watch, size: int
) -> None:
    await interrupt(bucket, oss, path)
    oss.put("examplebucket", "key", size=size, seed=2)
    keywords = {**RANGED, "on_change": "fail"}
    with watch.raises(ObjectChangedError) as caught:
        await aioss_resume.download(bucket, "key", path, **keywords)
    assert isinstance(caught.error, oss2.exceptions.PreconditionFailed)
    refused, *lookup = asked(oss)
    assert refused[0] > 0
    assert lookup == ([(0, 1)] if size else [(0, 1), None])  # of one byte, which an empty object does not have
    assert names(path.parent) == []
    await aioss_resume.download(bucket, "key", path, **keywords)
    assert path.read_bytes() == whole(size, seed=2)


@pytest.mark.parametrize("size", [PART, HALF, SIZE])
async def test_object_changed_under_the_same_etag_between_two_runs_is_fetched_from_zero(
    oss: LocalOSS, bucket: Any, path: Path, size: int
) -> None:
    etag = oss.find("examplebucket", "key").etag
    await interrupt(bucket, oss, path)
    oss.put("examplebucket", "key", size=size, seed=2, etag=etag)
    result = await aioss_resume.download(bucket, "key", path, **RANGED)
    assert path.read_bytes() == whole(size, seed=2)
    assert result.resumed_bytes == 0


async def test_other_bytes_under_the_same_etag_and_crc64_between_two_runs_are_detected_and_fetched_again(
    oss: LocalOSS, bucket: Any, path: Path
) -> None:
    told = GeneratedContent(SIZE, 2).crc64
    oss.put("examplebucket", "key", size=SIZE, seed=1, etag="SAME", crc64=told)
    await interrupt(bucket, oss, path)
    oss.put("examplebucket", "key", size=SIZE, seed=2, etag="SAME")
    result = await aioss_resume.download(bucket, "key", path, **RANGED)
    assert path.read_bytes() == whole(seed=2)
    assert (result.verified, result.resumed_bytes) == (True, 0)


async def test_object_deleted_between_two_runs_is_no_such_key_and_what_was_written_is_kept(
    oss: LocalOSS, bucket: Any, path: Path, watch: Watch
) -> None:
    await interrupt(bucket, oss, path)
    kept = names(path.parent)
    oss.delete("examplebucket", "key")
    with watch.raises(NoSuchKeyError):
        await aioss_resume.download(bucket, "key", path, **RANGED)
    assert names(path.parent) == kept
    oss.put("examplebucket", "key", size=SIZE, seed=1)
    assert (await aioss_resume.download(bucket, "key", path, **RANGED)).resumed_bytes == HALF
