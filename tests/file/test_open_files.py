"""Where an open file can be neither replaced nor removed, as on Windows: nothing of ours is open then."""
# ruff: noqa: N802

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest
from crash_model.runs import downloader_onto
from file.windows_like import WindowsLike, in_use_error
from flow.ranged import PART, RANGED, SIZE, whole

from aioss_resume import DownloadResult, LocalFileError, ServerFaultError
from aioss_resume._io.storage import StrPath
from aioss_resume.testing import LocalOSS

pytestmark = pytest.mark.anyio


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "d" / "file"


@pytest.fixture
def storage() -> WindowsLike:
    return WindowsLike()


async def onto(storage: WindowsLike, bucket: Any, path: Path, **keywords: Any) -> DownloadResult:
    async with downloader_onto(bucket, storage) as downloader:
        return await downloader.download("key", path, **{**RANGED, **keywords})


def left(path: Path) -> list[str]:
    return sorted(name for name in os.listdir(path.parent) if name != path.name)


@pytest.mark.parametrize("size", [0, 1000, SIZE])
@pytest.mark.parametrize("begins_with", ["nothing", "an old file"])
async def test_file_is_published(
    oss: LocalOSS, bucket: Any, path: Path, storage: WindowsLike, size: int, begins_with: str
) -> None:
    oss.put("examplebucket", "key", size=size, seed=1)
    if begins_with != "nothing":
        path.parent.mkdir()
        path.write_bytes(b"old")
    result = await onto(storage, bucket, path, fsync=True)
    assert path.read_bytes() == whole(size)
    assert (result.verified, left(path), storage.refused, storage.open_files) == (True, [], [], 0)


async def test_interrupted_download_continues(oss: LocalOSS, bucket: Any, path: Path, storage: WindowsLike) -> None:
    oss.put("examplebucket", "key", size=SIZE, seed=1)
    fault = oss.faults.status(500, times=None, range=lambda asked: asked is not None and asked[0] >= 5 * PART)
    with pytest.raises(ServerFaultError):
        await onto(storage, bucket, path, concurrency=1)
    fault.cancel()
    assert storage.open_files == 0
    result = await onto(storage, bucket, path)
    assert path.read_bytes() == whole(SIZE)
    assert (result.resumed_bytes, left(path), storage.refused, storage.open_files) == (5 * PART, [], [], 0)


async def test_object_that_changes_midway_leaves_no_part_file(
    oss: LocalOSS, bucket: Any, path: Path, storage: WindowsLike
) -> None:
    oss.put("examplebucket", "key", size=SIZE, seed=1)
    oss.faults.status(412, oss_code="PreconditionFailed", times=1, range=lambda asked: bool(asked and asked[0]))
    await onto(storage, bucket, path)
    assert oss.faults.unmet() == []
    assert path.read_bytes() == whole(SIZE)
    assert (left(path), storage.refused, storage.open_files) == ([], [], 0)


async def test_cancelled_download_leaves_no_open_file(
    oss: LocalOSS, bucket: Any, path: Path, storage: WindowsLike
) -> None:
    oss.put("examplebucket", "key", size=SIZE, seed=1)
    oss.faults.stall(PART // 2, times=None, range=lambda asked: bool(asked and asked[0] >= 3 * PART))
    reached = asyncio.Event()

    def progress(consumed: int, _total: int | None) -> None:
        if consumed >= 3 * PART:
            reached.set()

    task = asyncio.create_task(onto(storage, bucket, path, progress_callback=progress))
    await reached.wait()
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert (storage.refused, storage.open_files) == ([], 0)
    oss.faults.clear()
    result = await onto(storage, bucket, path)
    assert result.resumed_bytes >= 3 * PART
    assert (path.read_bytes(), left(path), storage.refused) == (whole(SIZE), [], [])


async def test_P01_destination_that_another_program_has_open_keeps_its_bytes_and_what_was_fetched(
    oss: LocalOSS, bucket: Any, path: Path
) -> None:
    class HeldByAnother(WindowsLike):
        def replace(self, path: StrPath, becomes: StrPath) -> None:
            if os.fspath(becomes).endswith("file"):
                raise in_use_error(becomes)
            super().replace(path, becomes)

    oss.put("examplebucket", "key", size=SIZE, seed=1)
    path.parent.mkdir()
    path.write_bytes(b"old")
    with pytest.raises(LocalFileError) as caught:
        await onto(HeldByAnother(), bucket, path)
    assert isinstance(caught.value, PermissionError)
    assert caught.value.hint is not None
    assert "another program" in caught.value.hint
    assert path.read_bytes() == b"old"
    result = await onto(WindowsLike(), bucket, path)
    assert (result.resumed_bytes, result.fetched_bytes) == (SIZE, 0)
    assert (path.read_bytes(), left(path)) == (whole(SIZE), [])
