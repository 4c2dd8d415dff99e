"""P06: file systems that say 0 for every inode, or another number for each lookup, as some network and FUSE ones do."""
# ruff: noqa: N802

import os
import random
from pathlib import Path
from typing import Any

import pytest
from crash_model.runs import downloader_onto
from file.changed_stats import ChangedStats
from flow.ranged import PART, RANGED, SIZE, whole

from aioss_resume import DownloadResult, LocalFileError, ServerFaultError
from aioss_resume._io.storage import Storage
from aioss_resume.testing import LocalOSS

pytestmark = pytest.mark.anyio


class UnknownInodes(ChangedStats):
    def __init__(self, kind: str) -> None:
        super().__init__()
        self._kind = kind

    def fields(self, found: os.stat_result) -> tuple[int, ...]:
        inode = 0 if self._kind == "zero" else random.getrandbits(48)
        return (found.st_mode, inode, *found[2:])


@pytest.fixture(params=["zero", "another each time"])
def storage(request: pytest.FixtureRequest) -> UnknownInodes:
    return UnknownInodes(request.param)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "file"


async def onto(storage: Storage, bucket: Any, path: Path, **keywords: Any) -> DownloadResult:
    async with downloader_onto(bucket, storage) as downloader:
        return await downloader.download("key", path, **{**RANGED, "concurrency": 1, **keywords})


async def test_P06_interrupted_download_is_resumed_and_published(
    oss: LocalOSS, bucket: Any, path: Path, storage: Storage
) -> None:
    oss.put("examplebucket", "key", size=SIZE, seed=1)
    fault = oss.faults.status(500, times=None, range=lambda asked: asked is not None and asked[0] >= 5 * PART)
    with pytest.raises(ServerFaultError):
        await onto(storage, bucket, path)
    fault.cancel()
    result = await onto(storage, bucket, path)
    assert (result.resumed_bytes, result.verified) == (5 * PART, True)
    assert path.read_bytes() == whole(SIZE)
    assert os.listdir(path.parent) == ["file"]


async def test_P06_part_file_that_another_process_replaced_is_not_published(
    oss: LocalOSS, bucket: Any, path: Path, storage: Storage
) -> None:
    def replace_part_file(asked: Any) -> bool:  # runs when the request arrives, in the server's thread
        if asked is not None and asked[0] == 10 * PART:
            (part,) = path.parent.glob(".*.part")
            other = path.parent / "other"
            other.write_bytes(bytes(SIZE))
            other.rename(part)
        return False

    oss.put("examplebucket", "key", size=SIZE, seed=1)
    path.write_bytes(b"old")
    oss.faults.status(500, times=None, range=replace_part_file)
    with pytest.raises(LocalFileError, match="the part file was changed by someone else"):
        await onto(storage, bucket, path)
    assert path.read_bytes() == b"old"
    oss.faults.clear()
    assert (await onto(storage, bucket, path)).verified
    assert path.read_bytes() == whole(SIZE)
