"""Downloader.sync(): a batch that was downloaded without fsync is on the disk when it returns."""

import asyncio
import errno
import os
import random
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from crash_model.calls import Calls
from crash_model.cuts import images
from crash_model.disk import Disk, Link, Step, Sync
from crash_model.runs import BUCKET, DIRECTORY, KEY, RANGED, SIZE, SMALL, downloader_onto, whole

from aioss_resume import ConfigError, Downloader, DownloadResult, LocalFileError
from aioss_resume.testing import LocalOSS

pytestmark = pytest.mark.anyio

PATHS = [DIRECTORY / "a", DIRECTORY / "b", DIRECTORY / "made" / "below" / "c"]


@pytest.fixture
def disk() -> Disk:
    disk = Disk()
    disk.mkdir(DIRECTORY)
    return disk


async def batch(downloader: Downloader, paths: Sequence[Path]) -> list[DownloadResult]:
    return [await downloader.download(KEY, path, fsync=False, **RANGED) for path in paths]


def lost(disk: Disk, journal: Sequence[Step], begins: int, size: int) -> set[str]:
    """The files that some power cut at the journal's end may cost."""
    found: set[str] = set()
    for image in images(disk.root, journal, len(journal), begins, most=300, dice=random.Random(1)):
        found |= {str(path) for path in PATHS if image.get(str(path), (0, None))[1] != whole(size)}
    return found


@pytest.mark.parametrize("size", [SMALL, SIZE])
async def test_batch_that_is_synced_survives_a_power_cut(oss: LocalOSS, bucket: Any, disk: Disk, size: int) -> None:
    oss.put(BUCKET, KEY, size=size, seed=1)
    begins = len(disk.journal)
    async with downloader_onto(bucket, disk) as downloader:
        results = await batch(downloader, PATHS)
        assert not any(isinstance(step, Sync) for step in disk.journal[begins:] if not is_checkpoints(step, disk))
        assert lost(disk, disk.journal, begins, size) == {str(path) for path in PATHS}
        at = len(disk.journal)
        await downloader.sync(results)
    assert lost(disk, disk.journal, begins, size) == set()
    # Without any one of the syncs, something can be lost, except for those of directories that existed before.
    needed = 0
    for index in range(at, len(disk.journal)):
        without = [*disk.journal[:index], *disk.journal[index + 1 :]]
        needed += bool(lost(disk, without, begins, size))
    assert needed == len(PATHS) + len([DIRECTORY, DIRECTORY / "made", DIRECTORY / "made" / "below"])


async def test_failed_sync_is_reported_and_everything_else_is_synced(oss: LocalOSS, bucket: Any, disk: Disk) -> None:
    oss.put(BUCKET, KEY, size=SMALL, seed=1)
    begins = len(disk.journal)
    async with downloader_onto(bucket, calls := Calls(disk, "fsync", 2, errno.EIO)) as downloader:
        results = await batch(downloader, PATHS)
        with pytest.raises(LocalFileError, match=r"could not sync .*overwrite") as caught:
            await downloader.sync(results)
    assert calls.failed == "a name"
    assert (caught.value.errno, caught.value.key) == (errno.EIO, KEY)
    assert caught.value.filename in map(str, PATHS)
    assert lost(disk, disk.journal, begins, SMALL) == {caught.value.filename}
    assert disk.open_descriptors == 0


async def test_directory_that_cannot_be_synced_is_reported(oss: LocalOSS, bucket: Any, disk: Disk) -> None:
    oss.put(BUCKET, KEY, size=SMALL, seed=1)
    async with downloader_onto(bucket, Calls(disk, "fsync", len(PATHS) + 1, errno.EIO)) as downloader:
        results = await batch(downloader, PATHS)
        with pytest.raises(LocalFileError, match="could not sync") as caught:
            await downloader.sync(results)
    assert Path(str(caught.value.filename)) in {directory for path in PATHS for directory in path.parents}


async def test_missing_files_are_one_error(oss: LocalOSS, bucket: Any, tmp_path: Path) -> None:
    oss.put(BUCKET, KEY, size=SMALL, seed=1)
    async with Downloader(bucket) as downloader:
        results = await batch(downloader, [tmp_path / str(number) for number in range(6)])
        for number in (0, 1, 3, 4):  # more than are synced at once
            (tmp_path / str(number)).unlink()
        os.mkfifo(tmp_path / "3")  # opening it would block
        with pytest.raises(FileNotFoundError) as caught:
            await downloader.sync(results)
        assert caught.value.__notes__ == ["and 3 more could not be synced"]
        await downloader.sync(iter([results[2], results[5]]))


async def test_sync_that_is_cancelled_ends_with_the_calls_that_it_made(oss: LocalOSS, bucket: Any, disk: Disk) -> None:
    oss.put(BUCKET, KEY, size=SMALL, seed=1)
    begun, may_end = threading.Event(), threading.Event()

    class Slow(Calls):
        def fsync(self, descriptor: int) -> None:
            begun.set()
            assert may_end.wait(20)
            super().fsync(descriptor)

    async with downloader_onto(bucket, Slow(disk)) as downloader:
        task = asyncio.ensure_future(downloader.sync(await batch(downloader, PATHS)))
        while not begun.is_set():  # noqa: ASYNC110  # set by another thread
            await asyncio.sleep(0.001)
        task.cancel()
        await asyncio.sleep(0)
        assert not task.done()
        may_end.set()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert disk.open_descriptors == 0


async def test_nothing_to_sync_is_no_error(bucket: Any) -> None:
    async with Downloader(bucket) as downloader:
        await downloader.sync([])


async def test_sync_refuses_other_objects_than_results_before_syncing(oss: LocalOSS, bucket: Any, disk: Disk) -> None:
    oss.put(BUCKET, KEY, size=SMALL, seed=1)
    async with downloader_onto(bucket, disk) as downloader:
        results = await batch(downloader, PATHS)
        at = len(disk.journal)
        with pytest.raises(ConfigError, match="must be DownloadResults, not PosixPath"):
            await downloader.sync([*results, PATHS[0]])  # type: ignore[list-item]
        with pytest.raises(ConfigError, match="must be an iterable of DownloadResults, not DownloadResult"):
            await downloader.sync(results[0])  # type: ignore[arg-type]
    assert len(disk.journal) == at
    with pytest.raises(ConfigError, match="not open"):
        await downloader.sync(results)


def is_checkpoints(step: Step, disk: Disk) -> bool:
    named = {link.to for link in disk.journal if isinstance(link, Link) and ".checkpoint" in link.name}
    return step.of in named
