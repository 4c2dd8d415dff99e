"""What goes wrong between OSS and the disk, one fault at a time: the right file or an error, never a wrong file."""

import errno
import os
import resource
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import oss2
import pytest
from canary import TEMPORARY_ID, TEMPORARY_SECRET, TOKEN, Watch, watching  # noqa: F401
from disks import fill, mounted
from ranged import PART, QUICK, RANGED, SIZE, asked, begins_at, leftover, names, whole

import aioss_resume
from aioss_resume import (
    AccessDeniedError,
    CheckpointStore,
    IntegrityError,
    LocalFileError,
    ProtocolError,
    RequestError,
    RetryPolicy,
    ServerFaultError,
    ServiceError,
    ThrottledError,
    Timeouts,
)
from aioss_resume.testing import LocalOSS, MiB

pytestmark = pytest.mark.anyio

THRICE = RetryPolicy(attempts=3, wait_initial=0.0, wait_max=0.0)
MALFORMED_RANGES = [
    "bytes */1024077",
    "bytes 0-102399/*",
    "bytes 5-0/1024077",
    "items 0-1/2",
    "bytes 0-102399",
    "",
    "x" * 5000,
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "file"


@pytest.mark.parametrize("fault", ["reset_after", "truncate"])
async def test_cut_span_continues_from_its_last_written_byte(
    oss: LocalOSS, bucket: Any, path: Path, fault: str
) -> None:
    size, cut = 12 * MiB, 8 * MiB
    oss.put("examplebucket", "key", size=size, seed=1)
    getattr(oss.faults, fault)(cut)
    result = await aioss_resume.download(bucket, "key", path, multiget_threshold=16 * MiB, fsync=False, retry=QUICK)
    first, second = asked(oss)
    assert first is not None
    assert second is not None
    # Bytes that were still in aiohttp's buffer at the reset are lost: at most twice READ_BUFFER and one read.
    assert cut - 2 * MiB <= second[0] <= cut
    assert second[1] == size
    assert path.read_bytes() == whole(size)
    assert (result.attempts, result.requests, result.fetched_bytes) == (2, 1, size)
    assert names(path.parent) == ["file"]


async def test_stalled_span_continues_from_its_last_byte_over_another_connection(
    oss: LocalOSS, bucket: Any, path: Path
) -> None:
    oss.put("examplebucket", "key", size=SIZE, seed=1)
    oss.faults.stall(70_001)
    timeouts = Timeouts(stall=0.5)
    await aioss_resume.download(bucket, "key", path, fsync=False, retry=QUICK, timeouts=timeouts)
    first, second = oss.requests
    assert second.range == (70_001, SIZE)
    assert first.connection != second.connection
    assert path.read_bytes() == whole()


async def test_chunked_body_without_its_last_chunk_is_cut_short(oss: LocalOSS, bucket: Any, path: Path) -> None:
    oss.put("examplebucket", "key", size=SIZE, seed=1)
    oss.faults.drop_header("Content-Length")
    oss.faults.truncate(PART)
    result = await aioss_resume.download(bucket, "key", path, fsync=False, retry=QUICK)
    assert path.read_bytes() == whole()
    assert result.attempts == 2


async def test_short_body_without_a_length_is_not_taken_for_the_whole(oss: LocalOSS, bucket: Any, path: Path) -> None:
    oss.put("examplebucket", "key", size=SIZE, seed=1)
    oss.faults.close_delimited()
    oss.faults.truncate(PART)
    result = await aioss_resume.download(bucket, "key", path, fsync=False, retry=QUICK)
    assert path.read_bytes() == whole()
    assert asked(oss)[1] == (PART, SIZE)
    assert result.attempts == 2


@pytest.mark.parametrize("fault", ["close_delimited", "drop_header"])
async def test_whole_body_without_a_length_is_taken(oss: LocalOSS, bucket: Any, path: Path, fault: str) -> None:
    oss.put("examplebucket", "key", size=SIZE, seed=1)
    if fault == "close_delimited":
        oss.faults.close_delimited(times=None)
    else:
        oss.faults.drop_header("Content-Length", times=None)
    result = await aioss_resume.download(bucket, "key", path, **RANGED)
    assert result.verified
    assert path.read_bytes() == whole()


async def test_connection_that_is_reset_before_the_answer_is_retried(oss: LocalOSS, bucket: Any, path: Path) -> None:
    oss.put("examplebucket", "key", size=SIZE, seed=1)
    oss.faults.reset_before(times=3)
    await aioss_resume.download(bucket, "key", path, **RANGED)
    assert path.read_bytes() == whole()


@pytest.mark.parametrize("fault", ["reset_after", "truncate", "stall", "reset_before", "delay"])
async def test_endless_fault_ends_in_a_bounded_number_of_requests(
    oss: LocalOSS, bucket: Any, path: Path, watch: Watch, fault: str
) -> None:
    oss.put("examplebucket", "key", size=SIZE, seed=1)
    if fault == "reset_before":
        oss.faults.reset_before(times=None)
    elif fault == "delay":
        oss.faults.delay(30, times=None)
    else:
        getattr(oss.faults, fault)(1000, times=None)
    timeouts = Timeouts(response=0.3, stall=0.3)
    with watch.raises(RequestError) as caught:
        await aioss_resume.download(
            bucket, "key", path, **{**RANGED, "retry": THRICE, "timeouts": timeouts, "concurrency": 1}
        )
    # aiohttp repeats a GET once by itself when the connection goes before the answer.
    assert len(oss.requests) == (6 if fault == "reset_before" else 3)
    assert caught.error.__notes__ == ["after 3 attempts, the last 3 of them without progress"]
    assert not path.exists()


async def test_endless_fault_on_every_part_but_the_first_is_bounded_by_attempts_and_concurrency(
    oss: LocalOSS, bucket: Any, path: Path, watch: Watch
) -> None:
    oss.put("examplebucket", "key", size=SIZE, seed=1)
    oss.faults.status(500, range=begins_at(PART), times=None)
    with watch.raises(ServerFaultError) as caught:
        await aioss_resume.download(bucket, "key", path, **{**RANGED, "retry": THRICE, "concurrency": 4})
    assert 1 + 3 <= len(oss.requests) <= 1 + 4 * 3
    assert caught.error.__notes__


async def test_connection_below_the_least_speed_is_given_up(oss: LocalOSS, bucket: Any, path: Path) -> None:
    oss.put("examplebucket", "key", size=SIZE, seed=1)
    oss.faults.slow(20_000)
    timeouts = Timeouts(min_speed=1_000_000, min_speed_window=0.2)
    result = await aioss_resume.download(bucket, "key", path, fsync=False, retry=QUICK, timeouts=timeouts)
    first, second = oss.requests
    assert first.bytes_sent < SIZE
    assert second.range is not None
    assert 0 < second.range[0] <= first.bytes_sent
    assert result.attempts == 2
    assert path.read_bytes() == whole()


async def test_answer_later_than_the_response_timeout_is_requested_again(
    oss: LocalOSS, bucket: Any, path: Path
) -> None:
    oss.put("examplebucket", "key", size=SIZE, seed=1)
    oss.faults.delay(30)
    timeouts = Timeouts(response=0.3)
    result = await aioss_resume.download(bucket, "key", path, fsync=False, retry=QUICK, timeouts=timeouts)
    assert result.attempts == 2
    assert path.read_bytes() == whole()


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
async def test_temporary_error_status_is_retried(oss: LocalOSS, bucket: Any, path: Path, status: int) -> None:
    oss.put("examplebucket", "key", size=SIZE, seed=1)
    oss.faults.status(status, body=b"<html>bad gateway</html>" if status in (502, 504) else None)
    oss.faults.status(status, range=begins_at(PART))
    result = await aioss_resume.download(bucket, "key", path, **RANGED)
    assert path.read_bytes() == whole()
    assert result.attempts == result.requests + 2


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (429, ThrottledError),
        (500, ServerFaultError),
        (502, ServerFaultError),
        (503, ThrottledError),
        (504, ServerFaultError),
    ],
)
async def test_lasting_error_status_ends_typed_and_with_a_request_id(
    oss: LocalOSS, bucket: Any, path: Path, watch: Watch, status: int, kind: type[ServiceError]
) -> None:
    oss.put("examplebucket", "key", size=SIZE, seed=1)
    oss.faults.status(status, times=None)
    with watch.raises(kind) as caught:
        await aioss_resume.download(bucket, "key", path, **{**RANGED, "retry": THRICE})
    assert isinstance(caught.error, oss2.exceptions.ServerError)
    assert caught.error.status == status
    assert caught.error.request_id == oss.requests[-1].request_id
    assert caught.error.__notes__ == ["after 3 attempts, the last 3 of them without progress"]
    assert len(oss.requests) == 3
    assert names(path.parent) == []


async def test_ignored_range_is_not_written(oss: LocalOSS, bucket: Any, path: Path) -> None:
    oss.put("examplebucket", "key", size=SIZE, seed=1)
    oss.faults.ignore_range()
    oss.faults.ignore_range(range=begins_at(PART), times=2)
    await aioss_resume.download(bucket, "key", path, **RANGED)
    assert path.read_bytes() == whole()
    assert not oss.faults.unmet()


@pytest.mark.parametrize("where", ["first", "others"])
async def test_ranges_that_are_ignored_forever_end_in_a_protocol_error(
    oss: LocalOSS, bucket: Any, path: Path, watch: Watch, where: str
) -> None:
    oss.put("examplebucket", "key", size=SIZE, seed=1)
    oss.faults.ignore_range(times=None, range=begins_at(PART if where == "others" else 0))
    with watch.raises(ProtocolError):
        await aioss_resume.download(bucket, "key", path, **{**RANGED, "concurrency": 2})
    assert len(oss.requests) <= 1 + 2 * 3
    assert not path.exists()


async def test_whole_object_that_is_no_more_than_was_requested_is_taken(oss: LocalOSS, bucket: Any, path: Path) -> None:
    oss.put("examplebucket", "key", size=SIZE, seed=1)
    oss.faults.ignore_range()
    result = await aioss_resume.download(bucket, "key", path, fsync=False)
    assert (result.attempts, result.verified) == (1, True)
    assert path.read_bytes() == whole()


async def test_another_range_than_requested_is_not_written(oss: LocalOSS, bucket: Any, path: Path) -> None:
    oss.put("examplebucket", "key", size=SIZE, seed=1)
    oss.faults.shift_range(1)
    oss.faults.shift_range(-PART, range=begins_at(PART), times=2)
    result = await aioss_resume.download(bucket, "key", path, **RANGED)
    assert path.read_bytes() == whole()
    assert result.attempts == result.requests + 3


@pytest.mark.parametrize("announced", [True, False])
async def test_bytes_beyond_the_range_are_never_written(
    oss: LocalOSS, bucket: Any, path: Path, announced: bool
) -> None:
    oss.put("examplebucket", "key", size=SIZE, seed=1)
    oss.faults.extra_bytes(1000, announced=announced, times=2)
    result = await aioss_resume.download(bucket, "key", path, **RANGED)
    assert path.read_bytes() == whole()
    assert result.verified


@pytest.mark.parametrize("value", MALFORMED_RANGES)
async def test_content_range_that_makes_no_sense_is_refused(
    oss: LocalOSS, bucket: Any, path: Path, watch: Watch, value: str
) -> None:
    oss.put("examplebucket", "key", size=SIZE, seed=1)
    oss.faults.set_header("Content-Range", value, times=None)
    with watch.raises(ProtocolError):
        await aioss_resume.download(bucket, "key", path, **RANGED)
    assert len(oss.requests) == 3
    assert names(path.parent) == []


@pytest.mark.parametrize("name", ["Content-Range", "Content-Length", "ETag", "x-oss-hash-crc64ecma", "Last-Modified"])
@pytest.mark.parametrize("where", ["first", "others"])
async def test_header_that_is_missing_once_does_no_harm(
    oss: LocalOSS, bucket: Any, path: Path, name: str, where: str
) -> None:
    oss.put("examplebucket", "key", size=SIZE, seed=1)
    oss.faults.drop_header(name, range=begins_at(PART if where == "others" else 0))
    result = await aioss_resume.download(bucket, "key", path, **RANGED)
    assert path.read_bytes() == whole()
    assert result.verified or (name, where) == ("x-oss-hash-crc64ecma", "first")


async def test_content_range_missing_forever_is_refused(oss: LocalOSS, bucket: Any, path: Path, watch: Watch) -> None:
    oss.put("examplebucket", "key", size=SIZE, seed=1)
    oss.faults.drop_header("Content-Range", times=None)
    oss.faults.set_header("Content-Type", "multipart/byteranges; boundary=x", times=None)
    with watch.raises(ProtocolError):
        await aioss_resume.download(bucket, "key", path, **RANGED)
    assert len(oss.requests) == 3


async def test_object_without_etag_is_identified_by_its_other_metadata(oss: LocalOSS, bucket: Any, path: Path) -> None:
    oss.put("examplebucket", "key", size=SIZE, seed=1)
    oss.faults.drop_header("ETag", times=None)
    result = await aioss_resume.download(bucket, "key", path, **RANGED)
    assert (result.verified, result.etag) == (True, "")
    assert path.read_bytes() == whole()
    assert all("If-Match" not in record.headers for record in oss.requests)


async def test_object_without_crc64_is_downloaded_and_not_called_verified(
    oss: LocalOSS, bucket: Any, path: Path
) -> None:
    oss.put("examplebucket", "key", size=SIZE, seed=1)
    oss.faults.drop_header("x-oss-hash-crc64ecma", times=None)
    result = await aioss_resume.download(bucket, "key", path, **RANGED)
    assert (result.verified, result.crc64) == (False, None)


@pytest.mark.parametrize("value", ["-1", "18446744073709551616", "0x1", "1e3", "", "٣"])
async def test_malformed_crc64_of_an_answer_is_refused(
    oss: LocalOSS, bucket: Any, path: Path, watch: Watch, value: str
) -> None:
    oss.put("examplebucket", "key", size=SIZE, seed=1)
    oss.faults.set_header("x-oss-hash-crc64ecma", value, times=None)
    with watch.raises(ProtocolError):
        await aioss_resume.download(bucket, "key", path, **RANGED)
    assert len(oss.requests) == 3


@pytest.mark.parametrize("value", ['"two"  "quotes"', '"a\tb"', "no-quotes", 'W/"weak"', '"' + "x" * 3000 + '"'])
async def test_strange_etag_stays_one_header(oss: LocalOSS, bucket: Any, path: Path, value: str) -> None:
    oss.put("examplebucket", "key", size=3 * PART, seed=1)
    oss.faults.set_header("ETag", value, range=(0, PART))
    try:
        await aioss_resume.download(bucket, "key", path, **RANGED)
    except aioss_resume.AiossError:
        assert not path.exists()
    else:
        assert path.read_bytes() == whole(3 * PART)


async def test_another_total_under_the_same_etag_is_refused(
    oss: LocalOSS, bucket: Any, path: Path, watch: Watch
) -> None:
    oss.put("examplebucket", "key", size=SIZE, seed=1)
    lie = f"bytes {PART}-{2 * PART - 1}/{SIZE + 1}"
    oss.faults.set_header("Content-Range", lie, range=(PART, 2 * PART), times=None)
    with watch.raises(ProtocolError):
        await aioss_resume.download(bucket, "key", path, **RANGED)
    assert not path.exists()


async def test_body_that_is_encoded_on_the_way_is_refused(oss: LocalOSS, bucket: Any, path: Path, watch: Watch) -> None:
    oss.put("examplebucket", "key", size=SIZE, seed=1)
    oss.faults.set_header("Content-Encoding", "gzip", range=begins_at(PART), times=None)
    with watch.raises(ProtocolError):
        await aioss_resume.download(bucket, "key", path, **RANGED)
    assert not path.exists()


async def test_content_encoding_of_a_stored_object_is_kept(oss: LocalOSS, bucket: Any, path: Path) -> None:
    oss.put("examplebucket", "key", size=SIZE, seed=1, headers={"Content-Encoding": "gzip"})
    result = await aioss_resume.download(bucket, "key", path, **RANGED)
    assert result.verified
    assert path.read_bytes() == whole()


async def test_flipped_bit_costs_one_more_fetch_of_the_object(oss: LocalOSS, bucket: Any, path: Path) -> None:
    oss.put("examplebucket", "key", size=SIZE, seed=1)
    oss.faults.flip_bit(3 * PART + 5)
    result = await aioss_resume.download(bucket, "key", path, **RANGED)
    assert result.verified
    assert path.read_bytes() == whole()
    assert sum(record.bytes_sent for record in oss.requests) == 2 * SIZE
    again = [record for record in oss.requests if record.range == (0, PART)][1]
    assert again.headers["If-Match"].strip('"') == oss.find("examplebucket", "key").etag


async def test_bit_that_flips_each_time_is_an_integrity_error_and_leaves_nothing(
    oss: LocalOSS, bucket: Any, path: Path, watch: Watch
) -> None:
    oss.put("examplebucket", "key", size=SIZE, seed=1)
    path.write_bytes(b"old")
    oss.faults.flip_bit(3 * PART + 5, times=None)
    with watch.raises(IntegrityError) as caught:
        await aioss_resume.download(bucket, "key", path, **RANGED)
    assert isinstance(caught.error, oss2.exceptions.InconsistentError)
    assert sum(record.bytes_sent for record in oss.requests) == 2 * SIZE
    assert names(path.parent) == ["file"]
    assert path.read_bytes() == b"old"
    oss.faults.clear()
    await aioss_resume.download(bucket, "key", path, **RANGED)
    assert path.read_bytes() == whole()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirect_to_another_host_sends_nothing_there(
    oss: LocalOSS, path: Path, watch: Watch, status: int
) -> None:
    oss.put("examplebucket", "key", size=SIZE, seed=1)
    oss.add_credentials(TEMPORARY_ID, TEMPORARY_SECRET, TOKEN)
    auth = oss2.StsAuth(TEMPORARY_ID, TEMPORARY_SECRET, TOKEN, auth_version="v4")
    with LocalOSS() as elsewhere:
        oss.faults.redirect(f"http://user:word@localhost:{elsewhere.port}/a?token=b", status, times=None)
        with watch.raises(ProtocolError) as caught:
            await aioss_resume.download(oss.bucket("examplebucket", auth=auth), "key", path, **RANGED)
        assert elsewhere.requests == []
    assert len(oss.requests) == 3
    assert "http://localhost" in str(caught.error)
    assert not any(part in str(caught.error) for part in ("user", "word@", "token=b"))


async def test_redirect_midway_is_not_followed(oss: LocalOSS, bucket: Any, path: Path) -> None:
    oss.put("examplebucket", "key", size=SIZE, seed=1)
    with LocalOSS() as elsewhere:
        oss.faults.redirect(elsewhere.endpoint, range=begins_at(PART))
        await aioss_resume.download(bucket, "key", path, **RANGED)
        assert elsewhere.requests == []
    assert path.read_bytes() == whole()


@pytest.mark.parametrize("headers", [{}, {"ETag": '"5f3b-264"'}], ids=["bare", "with an ETag"])
async def test_login_page_is_not_published_as_the_object(
    oss: LocalOSS, bucket: Any, path: Path, watch: Watch, headers: dict[str, str]
) -> None:
    oss.put("examplebucket", "key", size=SIZE, seed=1)
    oss.faults.status(200, body=b"<html>please log in</html>", headers=headers, times=None)
    for name in ("x-oss-request-id", "x-oss-server-time", "Server"):
        oss.faults.drop_header(name, times=None)
    with watch.raises(ProtocolError):
        await aioss_resume.download(bucket, "key", path, **RANGED)
    assert len(oss.requests) == 3
    assert names(path.parent) == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\xfe\x00garbage",
        b"<html>no",
        b"<Error><Code>Acc",
        b"<?xml version='1.0' encoding='nonsense'?><Error/>",
        b'<!DOCTYPE l [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]><Error><Code>&b;</Code></Error>',
        b"<Error>" + b"<a>" * 5000,
        b"<Error><Message>" + b"x" * (1 << 20),
    ],
    ids=["empty", "bytes", "html", "cut", "encoding", "entities", "deep", "long"],
)
async def test_error_body_that_is_no_xml_of_oss_leaves_the_status(
    oss: LocalOSS, bucket: Any, path: Path, watch: Watch, body: bytes
) -> None:
    oss.put("examplebucket", "key", size=SIZE, seed=1)
    oss.faults.status(403, body=body, times=None)
    with watch.raises(AccessDeniedError) as caught:
        await aioss_resume.download(bucket, "key", path, **RANGED)
    assert caught.error.status == 403
    assert len(str(caught.error)) < 4000
    assert len(oss.requests) == 1


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MiB."""
    with mounted(tmp_path / "disk", "size=8m") as disk:
        yield disk


async def test_disk_without_space_is_an_error_before_a_second_request(
    oss: LocalOSS, bucket: Any, small_disk: Path, watch: Watch
) -> None:
    oss.put("examplebucket", "key", size=12 * MiB, seed=1)
    with watch.raises(LocalFileError) as caught:
        await aioss_resume.download(bucket, "key", small_disk / "file", **RANGED)
    assert caught.error.errno == errno.ENOSPC
    assert len(oss.requests) == 1
    assert names(small_disk) == []


@pytest.mark.parametrize("has_store", [True, False])
async def test_full_disk_is_not_retried_and_the_download_can_be_resumed(
    oss: LocalOSS, bucket: Any, small_disk: Path, tmp_path: Path, watch: Watch, has_store: bool
) -> None:
    size = 6 * MiB
    oss.put("examplebucket", "key", size=size, seed=1)
    filler = small_disk / "filler"
    options = {**RANGED, "store": CheckpointStore(tmp_path / "store") if has_store else None, "concurrency": 4}
    before = 0

    def fill_the_disk(range_: Any) -> bool:  # runs when the request arrives, in the server's thread
        nonlocal before
        if range_[0] >= 2 * MiB and not filler.exists():
            before = len(oss.requests)
            fill(filler)
        return False

    oss.faults.delay(0, range=fill_the_disk)
    with watch.raises(LocalFileError) as caught:
        await aioss_resume.download(bucket, "key", small_disk / "file", **options)
    assert isinstance(caught.error, OSError)
    assert caught.error.errno == errno.ENOSPC
    assert 0 < before <= len(oss.requests) <= before + 5
    assert not hasattr(caught.error, "__notes__")
    oss.faults.clear()
    filler.unlink()
    oss.clear_requests()
    result = await aioss_resume.download(bucket, "key", small_disk / "file", **options)
    assert (small_disk / "file").read_bytes() == whole(size)
    assert names(small_disk) == ["file"]
    if has_store:
        assert result.resumed_bytes >= MiB
        assert sum(record.bytes_sent for record in oss.requests) == result.fetched_bytes == size - result.resumed_bytes


async def test_file_larger_than_the_process_may_write_is_a_local_error(
    oss: LocalOSS, tmp_path: Path, watch: Watch
) -> None:
    oss.put("examplebucket", "key", size=12 * MiB, seed=1)
    script = textwrap.dedent(
        """
        import asyncio, resource, sys, oss2, aioss_resume
        endpoint, path = sys.argv[1:]
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
        bucket = oss2.Bucket(oss2.AuthV4("local-access-key-id", "local-access-key-secret"), endpoint, "examplebucket",
                             region="cn-hangzhou")
        try:
            asyncio.run(aioss_resume.download(bucket, "key", path, part_size=102400, multiget_threshold=102400))
        except aioss_resume.LocalFileError as error:
            print(error.errno)
        """
    )
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY
    run = subprocess.run(
        [sys.executable, "-c", script, oss.endpoint, str(tmp_path / "file")], capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == str(errno.EFBIG), run.stderr
    assert len(oss.requests) <= 5
    assert names(tmp_path) == []


async def test_read_only_directory_is_an_error_before_any_request(
    oss: LocalOSS, bucket: Any, tmp_path: Path, watch: Watch
) -> None:
    oss.put("examplebucket", "key", size=SIZE, seed=1)
    locked = tmp_path / "locked"
    with ExitStack() as stack:
        if os.geteuid() == 0:  # permission bits do not stop root
            stack.enter_context(mounted(locked, "ro,size=1m"))
        else:
            locked.mkdir(0o555)
        with watch.raises(LocalFileError) as caught:
            await aioss_resume.download(bucket, "key", locked / "file", **RANGED)
    assert isinstance(caught.error, PermissionError) or caught.error.errno == errno.EROFS
    assert oss.requests == []


async def test_part_file_published_too_early_by_another_process_is_repaired(
    oss: LocalOSS, bucket: Any, path: Path, watch: Watch
) -> None:
    """Where locks do nothing, another process may have thought so: what this one wrote to it later counts too."""
    oss.put("examplebucket", "key", size=SIZE, seed=1)

    def publish(_range: Any) -> bool:
        if not path.exists():
            leftover(path.parent, "part").replace(path)
        return False

    oss.faults.delay(0, range=lambda range_: begins_at(5 * PART)(range_) and publish(range_), nth=1)
    result = await aioss_resume.download(bucket, "key", path, **{**RANGED, "concurrency": 1})
    assert path.read_bytes() == whole()
    assert (result.verified, result.skipped, result.fetched_bytes) == (True, False, SIZE)
    assert names(path.parent) == [path.name]


async def test_part_file_that_is_published_again_and_again_is_a_local_error(
    oss: LocalOSS, bucket: Any, path: Path, watch: Watch
) -> None:
    oss.put("examplebucket", "key", size=SIZE, seed=1)

    def publish(_range: Any) -> bool:
        if left := [name for name in names(path.parent) if name.endswith(".part")]:
            (path.parent / left[0]).replace(path)
        return False

    oss.faults.delay(0, range=lambda range_: begins_at(5 * PART)(range_) and publish(range_), times=None)
    with watch.raises(LocalFileError) as caught:
        await aioss_resume.download(bucket, "key", path, **{**RANGED, "concurrency": 1})
    assert caught.error.errno == errno.ENOENT


@pytest.mark.parametrize("old", [None, b"old"])
async def test_part_file_that_vanishes_midway_is_a_local_error(
    oss: LocalOSS, bucket: Any, path: Path, watch: Watch, old: bytes | None
) -> None:
    oss.put("examplebucket", "key", size=SIZE, seed=1)
    if old is not None:
        path.write_bytes(old)

    def remove(_range: Any) -> bool:
        leftover(path.parent, "part").unlink(missing_ok=True)
        return False

    oss.faults.delay(0, range=lambda range_: begins_at(5 * PART)(range_) and remove(range_), nth=1)
    with watch.raises(LocalFileError) as caught:
        await aioss_resume.download(bucket, "key", path, **{**RANGED, "concurrency": 1})
    assert caught.error.errno == errno.ENOENT
    assert [each.read_bytes() for each in path.parent.iterdir()] == ([] if old is None else [old])
    # The request for (0, 1) checks whether the file is up to date.
    fetched = [range_ for range_ in asked(oss) if range_ != (0, 1)]
    assert len(set(fetched)) == len(fetched)
