"""Rows C of the catalogue, each by one state; every state there is, is asked for in tests/file/test_crash.py."""
# ruff: noqa: N802

import errno
import json
import os
from pathlib import Path
from typing import Any

import anyio
import pytest
from bad_disk import BadDisk, onto
from flow.canary import Watch
from flow.damage import DAMAGE
from flow.ranged import PART, interrupt, leftover, names, whole
from over_old import OLD, brings, fails, put
from test_input import signed

import aioss_resume
from aioss_resume import LocalFileError
from aioss_resume.cli.process import DownloadProcess
from aioss_resume.cli.reports import Progressed
from aioss_resume.testing import LocalOSS, MiB

pytestmark = pytest.mark.anyio


@pytest.fixture
async def kept(oss: LocalOSS, bucket: Any, path: Path) -> Path:
    """The checkpoint of a download that was interrupted after five parts."""
    put(oss)
    await interrupt(bucket, oss, path)
    return leftover(path.parent, "checkpoint")


@pytest.mark.parametrize("lost", [1, 4096, 5 * PART])
async def test_C01_bytes_that_never_reached_the_disk_are_fetched_again(
    bucket: Any, path: Path, kept: Path, lost: int
) -> None:
    with leftover(path.parent, "part").open("r+b") as file:
        file.seek(5 * PART - lost)
        file.write(bytes(lost))
    result = await brings(bucket, path)
    assert (result.verified, result.resumed_bytes) == (True, 0)


def test_C02_killed_process_is_resumed(oss: LocalOSS, path: Path) -> None:
    size = 24 * MiB
    put(oss, size)
    options: dict[str, Any] = {"part_size": MiB, "multiget_threshold": MiB, "concurrency": 4}
    for stop in (8 * MiB, 16 * MiB, None):
        hold = oss.faults.stall(0, range=lambda asked, stop=stop: stop is not None and asked[0] >= stop, times=None)
        with DownloadProcess(oss, "examplebucket", "key", path, **options) as process:
            for report in process.reports():
                if isinstance(report, Progressed) and stop is not None and report.consumed >= stop:
                    process.kill()
            assert process.wait(30) == (0 if stop is None else -9)
        assert path.read_bytes() == (whole(size) if stop is None else OLD)
        hold.cancel()
    oss.faults.clear()
    assert names(path.parent) == ["file"]


async def test_C03_torn_checkpoint_is_ignored(bucket: Any, path: Path, kept: Path) -> None:
    whole_checkpoint = kept.read_bytes()
    for length in [*range(0, len(whole_checkpoint), 83), len(whole_checkpoint) - 1]:
        kept.write_bytes(whole_checkpoint[:length])
        assert (await brings(bucket, path)).verified
        path.write_bytes(OLD)


async def test_C04_flipped_checkpoint_never_makes_a_wrong_file(bucket: Any, path: Path, kept: Path) -> None:
    before = kept.read_bytes()
    for bit in range(3, 8 * len(before), 397):
        flipped = bytearray(before)
        flipped[bit // 8] ^= 1 << bit % 8
        kept.write_bytes(flipped)
        assert (await brings(bucket, path)).verified
        path.write_bytes(OLD)


def positions(done: list[tuple[str, str]], call: str, suffix: str) -> list[int]:
    return [at for at, (called, of) in enumerate(done) if called == call and of.endswith(suffix)]


@pytest.fixture
async def done(oss: LocalOSS, bucket: Any, path: Path) -> list[tuple[str, str]]:
    """What a download with fsync does to the disk, in order."""
    put(oss)
    disk = BadDisk()
    await onto(disk, bucket, path, fsync=True)
    return disk.done


async def test_C05_bytes_are_on_the_disk_before_the_name(done: list[tuple[str, str]]) -> None:
    [named] = positions(done, "replace", ".part")
    synced = positions(done, "fsync", ".part")
    assert max(positions(done, "write_at", ".part")) < max(synced) < named


async def test_C06_name_is_on_the_disk_before_it_ends(done: list[tuple[str, str]], path: Path) -> None:
    [named] = positions(done, "replace", ".part")
    assert any(at > named for at in positions(done, "fsync", str(path.parent)))


async def test_C07_checkpoint_is_removed_after_the_name_is_on_the_disk(done: list[tuple[str, str]], path: Path) -> None:
    synced = max(positions(done, "fsync", str(path.parent)))
    assert max(positions(done, "unlink", ".checkpoint")) > synced


async def test_C07_checkpoint_without_a_part_file_is_removed(bucket: Any, path: Path, kept: Path) -> None:
    leftover(path.parent, "part").unlink()
    assert (await brings(bucket, path)).resumed_bytes == 0
    assert names(path.parent) == ["file"]


async def test_C17_old_file_is_never_removed_first(done: list[tuple[str, str]], path: Path) -> None:
    assert positions(done, "unlink", str(path)) == []
    assert len(positions(done, "replace", ".part")) == 1


async def test_C09_bytes_that_could_not_be_synced_are_neither_published_nor_synced_again(
    oss: LocalOSS, bucket: Any, path: Path, watch: Watch
) -> None:
    put(oss)
    disk = BadDisk("fsync", errno.EIO, kind=".part")
    with watch.raises(LocalFileError) as caught:
        await onto(disk, bucket, path, fsync=True)
    assert caught.error.errno == errno.EIO
    assert len(positions(disk.done, "fsync", ".part")) == 1
    assert path.read_bytes() == OLD
    # Else the next run would prove bytes that are in the page cache only.
    assert list(path.parent.glob(".*.part")) == []
    assert (await brings(bucket, path)).resumed_bytes == 0


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EDQUOT], ids=errno.errorcode.get)
@pytest.mark.parametrize("after", [0, 3])
async def test_C10_close_that_fails_publishes_nothing(
    oss: LocalOSS, bucket: Any, path: Path, watch: Watch, number: int, after: int
) -> None:
    put(oss)
    with watch.raises(LocalFileError) as caught:
        await onto(BadDisk("close", number, kind=".part", after=after), bucket, path)
    assert caught.error.errno == number
    assert path.read_bytes() == OLD
    await brings(bucket, path)


@pytest.mark.parametrize("how", DAMAGE)
async def test_C11_part_file_that_was_touched_between_two_runs_is_detected(
    bucket: Any, path: Path, kept: Path, how: str
) -> None:
    DAMAGE[how](leftover(path.parent, "part"))
    result = await brings(bucket, path)
    assert result.verified
    assert result.resumed_bytes == (5 * PART if how == "lengthened" else 0)


@pytest.mark.parametrize("field", ["bucket", "key", "version_id"])
async def test_C12_checkpoint_of_another_object_is_ignored_and_the_log_says_why(
    bucket: Any, path: Path, kept: Path, watch: Watch, field: str
) -> None:
    content = json.loads(kept.read_bytes())["checkpoint"]
    kept.write_bytes(signed({**content, field: "another"}))
    assert (await brings(bucket, path)).resumed_bytes == 0
    assert any("is ignored: it is of another object" in line for line in watch.logged)


@pytest.mark.parametrize("part_size", [2 * PART, 3 * PART + 1])
async def test_C12_another_part_size_continues_from_the_same_checkpoint(
    bucket: Any, path: Path, kept: Path, part_size: int
) -> None:
    assert (await brings(bucket, path, part_size=part_size)).resumed_bytes == 5 * PART


@pytest.mark.parametrize("overwrite", ["always", "if_changed"])
async def test_C13_checkpoint_of_a_newer_release_is_refused_and_stays(
    oss: LocalOSS, bucket: Any, path: Path, kept: Path, watch: Watch, overwrite: Any
) -> None:
    before = kept.read_bytes()
    content = json.loads(before)["checkpoint"]
    kept.write_bytes(newer := signed({**content, "version": 99}))
    beside = names(path.parent)
    error = await fails(watch, LocalFileError, bucket, path, overwrite=overwrite)
    assert str(kept) in str(error)
    assert "it has version 99" in error.hint
    assert oss.requests == []
    assert names(path.parent) == beside
    assert kept.read_bytes() == newer
    kept.write_bytes(before)
    assert (await brings(bucket, path)).resumed_bytes == 5 * PART


@pytest.mark.parametrize("kind", ["empty", "1 GiB", "link", "FIFO", "directory", "device"])
async def test_C14_special_file_in_place_of_a_checkpoint_neither_hangs_nor_fills_the_memory(
    bucket: Any, path: Path, kept: Path, tmp_path: Path, kind: str
) -> None:
    content = kept.read_bytes()
    kept.unlink()
    if kind == "empty":
        kept.touch()
    elif kind == "1 GiB":
        kept.touch()
        os.truncate(kept, 1 << 30)
    elif kind == "link":
        target = tmp_path / "target"
        target.write_bytes(content)
        kept.symlink_to(target)
    elif kind == "FIFO":
        os.mkfifo(kept)
    elif kind == "directory":
        kept.mkdir()
    else:
        if os.geteuid() != 0:
            pytest.skip("only root may make a device")
        try:
            os.mknod(kept, 0o020600, os.makedev(1, 3))
        except PermissionError:
            pytest.skip("devices cannot be made here")
    with anyio.fail_after(30):
        if kind == "directory":  # a rename cannot replace it, so no checkpoint can be kept, which is an error
            with pytest.raises(LocalFileError):
                await aioss_resume.download(bucket, "key", path, part_size=PART, multiget_threshold=PART)
            assert path.read_bytes() in (OLD, whole())
        else:
            assert (await brings(bucket, path)).resumed_bytes == 0
    if kind == "link":
        assert (tmp_path / "target").read_bytes() == content


@pytest.mark.parametrize("number", [errno.EINVAL, errno.EOPNOTSUPP], ids=errno.errorcode.get)
async def test_C16_directory_that_cannot_be_synced_is_no_failure(
    oss: LocalOSS, bucket: Any, path: Path, number: int
) -> None:
    put(oss)
    await onto(BadDisk("fsync", number, kind=str(path.parent)), bucket, path, fsync=True)
    assert path.read_bytes() == whole()
