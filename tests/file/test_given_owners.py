"""File systems that choose the owner and mode of each file, such as SMB, NFS with root_squash and many FUSE ones."""

import errno
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from crash_model.runs import downloader_onto
from file.changed_stats import ChangedStats
from flow.ranged import PART, RANGED, SIZE, whole

from aioss_resume import LocalFileError, ServerFaultError
from aioss_resume._io.lock import PathLock
from aioss_resume.testing import LocalOSS

pytestmark = pytest.mark.anyio


class GivenOwners(ChangedStats):
    """Says that all files belong to another user, have no links, and have one mode, which cannot be changed."""

    mode = 0o755

    def __init__(self, refuses_with: int = errno.EPERM) -> None:
        super().__init__()
        self._refuses_with = refuses_with

    def fchmod(self, descriptor: int, mode: int) -> None:
        raise OSError(self._refuses_with, os.strerror(self._refuses_with))

    def fields(self, found: os.stat_result) -> tuple[int, ...]:
        return (stat.S_IFMT(found.st_mode) | self.mode, *found[1:3], 0, os.geteuid() + 1, *found[5:])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "file"


@pytest.mark.parametrize("number", [errno.EPERM, errno.ENOTSUP, errno.ENOSYS])
@pytest.mark.parametrize("is_replaced", [False, True])
async def test_interrupted_download_is_resumed_and_published(
    oss: LocalOSS, bucket: Any, path: Path, number: int, is_replaced: bool
) -> None:
    storage = GivenOwners(number)
    if is_replaced:
        path.write_bytes(b"old")
    oss.put("examplebucket", "key", size=SIZE, seed=1)
    fault = oss.faults.status(500, times=None, range=lambda asked: asked is not None and asked[0] >= 5 * PART)
    async with downloader_onto(bucket, storage) as downloader:
        with pytest.raises(ServerFaultError):
            await downloader.download("key", path, **RANGED, concurrency=1)
        fault.cancel()
        result = await downloader.download("key", path, **RANGED, concurrency=1)
    assert (result.resumed_bytes, result.verified) == (5 * PART, True)
    assert path.read_bytes() == whole(SIZE)
    assert os.listdir(path.parent) == ["file"]


async def test_small_object_replaces_a_file(oss: LocalOSS, bucket: Any, path: Path) -> None:
    path.write_bytes(b"old")
    oss.put("examplebucket", "key", b"new")
    async with downloader_onto(bucket, GivenOwners()) as downloader:
        await downloader.download("key", path)
    assert path.read_bytes() == b"new"


async def test_file_that_nobody_else_could_read_is_not_replaced_by_one_that_others_can_read(
    oss: LocalOSS, bucket: Any, path: Path
) -> None:
    class OpenToAll(GivenOwners):
        def fields(self, found: os.stat_result) -> tuple[int, ...]:
            is_old = found.st_size == len(b"old file")
            self.mode = 0o600 if is_old else 0o644
            return super().fields(found)

    path.write_bytes(b"old file")
    oss.put("examplebucket", "key", b"new")
    async with downloader_onto(bucket, OpenToAll()) as downloader:
        with pytest.raises(LocalFileError) as error:
            await downloader.download("key", path)
    assert error.value.errno == errno.EPERM
    assert path.read_bytes() == b"old file"
    assert os.listdir(path.parent) == ["file"]


async def test_error_other_than_a_refused_chmod_is_raised(oss: LocalOSS, bucket: Any, path: Path) -> None:
    path.write_bytes(b"old")
    oss.put("examplebucket", "key", b"new")
    async with downloader_onto(bucket, GivenOwners(errno.EIO)) as downloader:
        with pytest.raises(LocalFileError) as error:
            await downloader.download("key", path)
    assert error.value.errno == errno.EIO
    assert path.read_bytes() == b"old"


def test_lock_is_acquired_where_files_have_no_links(path: Path) -> None:
    one, other = PathLock(path, GivenOwners()), PathLock(path, GivenOwners())
    assert one.try_lock()
    assert not other.try_lock()
    one.release()
    assert other.try_lock()
    other.release()
    assert not path.exists()
