"""Rows D of the catalogue: the disk and the local file system."""
# ruff: noqa: N802

import asyncio
import errno
import os
import shutil
import socket
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio.to_thread
import pytest
from bad_disk import BadDisk, ScarceDisk, SparingDisk, WaitingDisk, onto
from flow.canary import Watch
from flow.disks import fill, mounted
from flow.ranged import PART, QUICK, RANGED, SIZE, begins_at, interrupt, leftover, names, whole
from over_old import OLD, Pins, brings, fails, is_there, put

import aioss_resume
from aioss_resume import AccessDeniedError, AiossError, IntegrityError, LocalFileError, RequestError
from aioss_resume.testing import LocalOSS, MiB

pytestmark = pytest.mark.anyio

MOST_FURTHER = 5
"""Requests after the disk has failed: those that were on their way."""


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MiB with an old file on it; the path of that file."""
    with mounted(tmp_path / "disk", "size=8m") as disk:
        (disk / "file").write_bytes(OLD)
        yield disk / "file"


async def test_D01_disk_without_space_is_an_error_after_the_first_response(
    oss: LocalOSS, bucket: Any, small_disk: Path, watch: Watch
) -> None:
    put(oss, 12 * MiB)
    error = await fails(watch, LocalFileError, bucket, small_disk)
    assert error.errno == errno.ENOSPC
    assert "free some space" in error.hint
    assert len(oss.requests) == 1
    assert names(small_disk.parent) == ["file"]


async def test_D02_full_disk_ends_all_parts_at_once_and_keeps_the_written_bytes(
    oss: LocalOSS, bucket: Any, small_disk: Path, watch: Watch
) -> None:
    size = 6 * MiB
    put(oss, size)
    filler = small_disk.with_name("filler")
    before = 0

    def fill_the_disk(range_: Any) -> bool:  # runs when the request arrives, in the server's thread
        nonlocal before
        if range_ is not None and range_[0] >= 2 * MiB and not filler.exists():
            before = len(oss.requests)
            fill(filler)
        return True

    oss.faults.delay(0, range=fill_the_disk, times=None)
    error = await fails(watch, LocalFileError, bucket, small_disk, concurrency=4)
    assert error.errno == errno.ENOSPC
    assert 0 < before <= len(oss.requests) <= before + MOST_FURTHER
    oss.faults.clear()
    filler.unlink()
    await brings(bucket, small_disk, whole(size))


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO], ids=errno.errorcode.get)
async def test_D03_exceeded_quota_or_size_limit_counts_as_a_full_disk(
    oss: LocalOSS, bucket: Any, path: Path, watch: Watch, number: int
) -> None:
    put(oss)
    disk = BadDisk("write_at", number, after=4, kind=".part")
    with watch.raises(LocalFileError) as caught:
        await onto(disk, bucket, path, concurrency=4)
    assert caught.error.errno == number
    assert path.read_bytes() == OLD
    assert len(oss.requests) <= 1 + 4 + MOST_FURTHER
    assert (await brings(bucket, path)).resumed_bytes > 0


LIMITED = textwrap.dedent(
    """
    import asyncio, os, resource, sys, oss2, aioss_resume
    endpoint, path, kind, number = sys.argv[1:]
    auth = oss2.AuthV4("local-access-key-id", "local-access-key-secret")
    bucket = oss2.Bucket(auth, endpoint, "examplebucket", region="cn-hangzhou")
    retry = aioss_resume.RetryPolicy(attempts=3, wait_initial=0.0, wait_max=0.0)

    async def main():
        async with aioss_resume.Downloader(bucket) as downloader:
            await downloader.head("key")  # what is imported late is there from now on
        number_ = int(number) + (len(os.listdir("/proc/self/fd")) if kind == "RLIMIT_NOFILE" else 0)
        which = getattr(resource, kind)
        resource.setrlimit(which, (number_, resource.getrlimit(which)[1]))
        sizes = dict(part_size=102400, multiget_threshold=102400)
        return await aioss_resume.download(bucket, "key", path, retry=retry, **sizes)

    try:
        asyncio.run(main())
    except aioss_resume.LocalFileError as error:
        print("LocalFileError", error.errno)
    except aioss_resume.AiossError as error:
        print(type(error).__name__)
    else:
        print("done")
    """
)


async def limited(oss: LocalOSS, path: Path, kind: str, number: int) -> str:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", LIMITED, oss.endpoint, str(path), kind, str(number), stdout=-1, stderr=-1
    )
    said, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    return said.decode().strip()


async def test_D03_file_size_limit_of_the_process_is_a_local_error(oss: LocalOSS, path: Path) -> None:
    put(oss, 12 * MiB)
    assert await limited(oss, path, "RLIMIT_FSIZE", MiB) == f"LocalFileError {errno.EFBIG}"
    assert len(oss.requests) <= 2 + MOST_FURTHER
    assert path.read_bytes() == OLD
    assert names(path.parent) == ["file"]


@pytest.mark.parametrize("few", [1000, 65_537])
async def test_D04_short_writes_and_reads_are_continued(oss: LocalOSS, bucket: Any, path: Path, few: int) -> None:
    put(oss)
    await interrupt(bucket, oss, path)
    result = await onto(SparingDisk(few), bucket, path)
    assert (result.verified, result.resumed_bytes) == (True, 5 * PART)
    is_there(path)


async def test_D04_write_of_zero_bytes_is_no_endless_loop(oss: LocalOSS, bucket: Any, path: Path, watch: Watch) -> None:
    put(oss)
    with watch.raises(LocalFileError):
        await onto(SparingDisk(0), bucket, path)
    assert path.read_bytes() == OLD


@pytest.mark.parametrize("call", ["write_at", "ftruncate", "close", "fsync", "replace"])
async def test_D06_input_output_error_is_reported_once_and_the_next_run_succeeds(
    oss: LocalOSS, bucket: Any, path: Path, watch: Watch, call: str
) -> None:
    put(oss)
    disk = BadDisk(call, errno.EIO, kind=".part")
    with watch.raises(LocalFileError) as caught:
        await onto(disk, bucket, path, fsync=True)
    assert caught.error.errno == errno.EIO
    assert path.read_bytes() == OLD
    await brings(bucket, path)


async def test_D06_unreadable_bytes_are_fetched_again(oss: LocalOSS, bucket: Any, path: Path) -> None:
    put(oss)
    await interrupt(bucket, oss, path)
    result = await onto(BadDisk("read_at", errno.EIO, kind=".part"), bucket, path)
    assert (result.verified, result.resumed_bytes) == (True, 0)
    is_there(path)


@pytest.mark.parametrize("kind", ["directory", "FIFO", "socket", "device", "link to a directory"])
async def test_D07_impossible_destination_is_an_error_before_any_request(
    oss: LocalOSS, bucket: Any, tmp_path: Path, watch: Watch, kind: str
) -> None:
    put(oss)
    path = tmp_path / "other"
    if kind == "directory":
        path.mkdir()
    elif kind == "FIFO":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as sock:
            sock.bind(str(path))
    elif kind == "device":
        path = Path("/dev/null")
    else:
        path.symlink_to(tmp_path)
    mode = path.lstat().st_mode
    with watch.raises(LocalFileError):
        await aioss_resume.download(bucket, "key", path, **RANGED)
    assert path.lstat().st_mode == mode
    assert oss.requests == []


async def test_D07_overwrite_never_leaves_the_existing_file(
    oss: LocalOSS, bucket: Any, path: Path, watch: Watch
) -> None:
    put(oss)
    await fails(watch, FileExistsError, bucket, path, overwrite="never")
    assert sum(record.bytes_sent for record in oss.requests) == 0


@pytest.mark.parametrize("how", ["removed", "moved away"])
async def test_D08_directory_that_vanishes_is_an_error_and_nothing_is_made_elsewhere(
    oss: LocalOSS, bucket: Any, tmp_path: Path, watch: Watch, how: str
) -> None:
    put(oss)
    directory = tmp_path / "directory"
    directory.mkdir()

    def vanish(range_: Any) -> bool:
        if range_ is not None and range_[0] >= 5 * PART and directory.exists():
            if how == "removed":
                shutil.rmtree(directory)
            else:
                directory.rename(tmp_path / "elsewhere")
        return True

    oss.faults.delay(0, range=vanish, times=None)
    with watch.raises(LocalFileError) as caught:
        await aioss_resume.download(bucket, "key", directory / "file", **{**RANGED, "concurrency": 1})
    assert caught.error.errno == errno.ENOENT
    assert not directory.exists()
    assert names(tmp_path) == ([] if how == "removed" else ["elsewhere"])


FAILURES: dict[str, tuple[str, tuple[Any, ...], type[AiossError]]] = {
    "reset": ("reset_before", (), RequestError),
    "cut": ("truncate", (1000,), RequestError),
    "denied": ("status", (403,), AccessDeniedError),
    "redirect": ("redirect", ("http://127.0.0.1:1/",), AiossError),
    "flipped": ("flip_bit", (5 * PART,), IntegrityError),
    "deleted": ("delete_object", (), AiossError),
    "replaced": ("replace_object", (), AiossError),
    "busy": ("status", (503,), AiossError),
    "expired": ("expire_credentials", (), AiossError),
}


@pytest.mark.parametrize("failure", FAILURES.values(), ids=FAILURES.keys())
async def test_D09_old_file_survives_every_failure(
    oss: LocalOSS,
    bucket: Any,
    path: Path,
    watch: Watch,
    pins: Pins,
    failure: tuple[str, tuple[Any, ...], type[AiossError]],
) -> None:
    put(oss)
    name, arguments, kind = failure
    pins.may_be_missing = name == "replace_object"  # the server gives the same bytes another ETag
    inode = path.stat().st_ino
    getattr(oss.faults, name)(*arguments, range=begins_at(5 * PART), times=None)
    await fails(watch, kind, bucket, path)
    assert path.stat().st_ino == inode


@pytest.mark.parametrize("free", [0, 2, 5, 8, 11, 12])
async def test_D10_download_works_with_few_descriptors_and_fails_clearly_with_too_few(
    oss: LocalOSS, bucket: Any, path: Path, free: int
) -> None:
    put(oss)
    said = await limited(oss, path, "RLIMIT_NOFILE", free)
    assert said in (("done",) if free >= 5 else ("done", f"LocalFileError {errno.EMFILE}", "RequestError"))
    assert path.read_bytes() == (whole() if said == "done" else OLD)
    assert len(oss.requests) <= 13 + 8 * 3
    await brings(bucket, path)


@pytest.mark.parametrize("lacks", ["flush", "proof"])
async def test_D10_call_without_a_descriptor_waits_until_others_release_theirs(
    oss: LocalOSS, bucket: Any, path: Path, gate: Any, watch: Watch, lacks: str
) -> None:
    put(oss)
    await interrupt(bucket, oss, path)

    def is_meant(path: str, flags: int) -> bool:
        if lacks == "flush":
            return path.endswith(".new")
        return path.endswith(".part") and flags & os.O_ACCMODE == os.O_RDONLY

    disk = ScarceDisk(is_meant)
    gate.close(7 * PART)
    task = asyncio.create_task(onto(disk, bucket, path, concurrency=4, retry=QUICK))
    assert await anyio.to_thread.run_sync(disk.refused.wait, 20)
    assert path.read_bytes() == OLD
    disk.has_some.set()
    await gate.is_reached()
    gate.open()
    assert (await task).resumed_bytes == 5 * PART
    is_there(path)
    assert any("Too many open files; continuing with 2 requests at once" in line for line in watch.logged)


async def test_D10_descriptors_that_never_come_back_are_an_error(
    oss: LocalOSS, bucket: Any, path: Path, watch: Watch
) -> None:
    put(oss)
    await interrupt(bucket, oss, path)
    disk = ScarceDisk(lambda path, flags: path.endswith(".part") and flags & os.O_ACCMODE == os.O_RDONLY)
    with watch.raises(LocalFileError) as caught:
        await onto(disk, bucket, path, concurrency=4)
    assert caught.error.errno == errno.EMFILE
    disk.has_some.set()
    assert (await brings(bucket, path)).resumed_bytes >= 5 * PART


@pytest.mark.parametrize("name", ["n" * 255, "é" * 127, "名" * 85, "n" * 200])
async def test_D11_longest_names_are_destinations(oss: LocalOSS, bucket: Any, tmp_path: Path, name: str) -> None:
    put(oss)
    path = tmp_path / name
    await interrupt(bucket, oss, path)
    assert (await brings(bucket, path)).resumed_bytes == 5 * PART
    assert names(tmp_path) == [name]


async def test_D14_slow_disk_stops_the_sockets(oss: LocalOSS, bucket: Any, path: Path) -> None:
    put(oss, 96 * MiB)
    disk = WaitingDisk()
    keywords = {"part_size": 32 * MiB, "concurrency": 2}
    task = asyncio.create_task(onto(disk, bucket, path, **keywords))
    try:
        assert await anyio.to_thread.run_sync(disk.begun.wait, 20)
        # Our buffers, those of aiohttp and those of the kernel together are smaller, so the server never sends so much.
        with pytest.raises(TimeoutError):
            await anyio.to_thread.run_sync(oss.wait_for_bytes, 48 * MiB, 1.0)
    finally:
        disk.may_end.set()
    assert (await task).verified
    is_there(path, whole(96 * MiB))


@pytest.mark.parametrize("holes", ["all", "last page", "first page"])
async def test_D15_part_file_of_holes_is_detected(oss: LocalOSS, bucket: Any, path: Path, holes: str) -> None:
    put(oss)
    await interrupt(bucket, oss, path)
    part = leftover(path.parent, "part")
    size = part.stat().st_size
    start, stop = {"all": (0, 5 * PART), "last page": (5 * PART - 4096, 5 * PART), "first page": (0, 4096)}[holes]
    with part.open("r+b") as file:
        file.seek(start)
        file.write(bytes(stop - start))
    assert part.stat().st_size == size
    result = await brings(bucket, path, retry=QUICK)
    assert (result.verified, result.resumed_bytes) == (True, 0)


async def test_D15_part_file_without_a_checkpoint_is_not_resumed(oss: LocalOSS, bucket: Any, path: Path) -> None:
    put(oss)
    await interrupt(bucket, oss, path)
    leftover(path.parent, "checkpoint").unlink()
    result = await brings(bucket, path)
    assert (result.fetched_bytes, SIZE) == (SIZE, result.size)
