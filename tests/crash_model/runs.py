"""Downloads onto a Disk: those that are recorded, and those that find what a power cut left."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from aioss_resume import CheckpointStore, Downloader, DownloadResult, RetryPolicy, ServerFaultError
from aioss_resume._io.storage import Storage
from aioss_resume.errors import ObjectName
from aioss_resume.testing import GeneratedContent, KiB, LocalOSS

from .disk import Disk, Returned
from .promises import Recorded

BUCKET, KEY = "examplebucket", "key"
DIRECTORY = Path("/data")  # exists on the Disk only, so code that bypasses the storage fails
DESTINATION = DIRECTORY / "file"
PART = 100 * KiB
SIZE = 4 * PART
SMALL = 3000  # six sectors
OLD = b"the old file\n" * 100
RANGED: dict[str, Any] = {"part_size": PART, "multiget_threshold": PART, "concurrency": 1}
"""One request at a time, so that a recording is the same each time. Any: keywords of many types."""


def downloader_onto(bucket: Any, storage: Storage) -> Downloader:
    downloader = Downloader(bucket)
    downloader._storage = storage  # private: only tests replace the file system
    return downloader


async def download(bucket: Any, storage: Storage, path: Path = DESTINATION, **keywords: Any) -> DownloadResult:
    """download(), onto that storage."""
    async with downloader_onto(bucket, storage) as downloader:
        return await downloader.download(KEY, path, **{"retry": RetryPolicy(attempts=1), **keywords})


def whole(size: int, seed: int = 1) -> bytes:
    return GeneratedContent(size, seed).read(0, size)


class Recorder:
    """Begins with a disk that has the directory and perhaps an old file, and records what is downloaded to it."""

    def __init__(self, oss: LocalOSS, *, old: bytes | None = None, path: Path = DESTINATION) -> None:
        self._oss = oss
        self._path = path
        self._old = old
        # Made through the Disk, so that the cuts include these first names, too.
        self.disk = Disk()
        self.disk.mkdir(DIRECTORY)
        if old is not None:
            put_file(self.disk, path, old)
        self._begins = len(self.disk.journal)
        self._objects: list[bytes] = []
        self._keywords: dict[str, Any] = {}
        self.bucket = oss.bucket(BUCKET)

    def put(self, size: int, seed: int = 1) -> None:
        self._oss.put(BUCKET, KEY, size=size, seed=seed)
        self._objects.append(whole(size, seed))

    async def run(self, **keywords: Any) -> None:
        """A run that goes through."""
        self._keywords = keywords
        await download(self.bucket, self.disk, self._path, **keywords)
        self.disk.journal.append(Returned())

    async def interrupted(self, at: int, **keywords: Any) -> None:
        """A run that has the first `at` bytes when it fails, and flushes its checkpoint."""
        fault = self._oss.faults.status(500, range=lambda asked: asked is not None and asked[0] >= at, times=None)
        with pytest.raises(ServerFaultError):
            await download(self.bucket, self.disk, self._path, **{**RANGED, **keywords})
        fault.cancel()

    def recorded(self, **fields: Any) -> Recorded:
        recorded = Recorded(
            destination=self._path,
            name=ObjectName(BUCKET, KEY),
            root=self.disk.root,
            journal=tuple(self.disk.journal),
            begins=self._begins,
            old=self._old,
            new=self._objects[-1],
            objects=tuple(self._objects),
            keywords=self._keywords,
        )
        return replace(recorded, **fields)


def put_file(disk: Disk, path: Path, data: bytes) -> None:
    descriptor = disk.open(path, os.O_WRONLY | os.O_CREAT)
    disk.write_at(descriptor, [memoryview(data)], 0)
    disk.close(descriptor)


async def small(oss: LocalOSS, **keywords: Any) -> Recorded:
    recorder = Recorder(oss, old=OLD)
    recorder.put(SMALL)
    await recorder.run(**keywords)
    return recorder.recorded()


async def small_to_a_new_name(oss: LocalOSS) -> Recorded:
    recorder = Recorder(oss)
    recorder.put(SMALL)
    await recorder.run()
    return recorder.recorded()


async def small_to_a_new_directory(oss: LocalOSS) -> Recorded:
    recorder = Recorder(oss, path=DIRECTORY / "made" / "below" / "file")
    recorder.put(SMALL)
    await recorder.run()
    return recorder.recorded()


async def ranged(oss: LocalOSS) -> Recorded:
    recorder = Recorder(oss, old=OLD)
    recorder.put(SIZE)
    await recorder.run(**RANGED)
    return recorder.recorded()


async def ranged_to_a_new_name(oss: LocalOSS) -> Recorded:
    recorder = Recorder(oss)
    recorder.put(SIZE)
    await recorder.run(**RANGED)
    return recorder.recorded()


async def resumed(oss: LocalOSS, *, old: bytes | None = OLD, **keywords: Any) -> Recorded:
    """Two runs that fail and one that succeeds; the second flushes over what the first has flushed."""
    recorder = Recorder(oss, old=old)
    recorder.put(SIZE)
    await recorder.interrupted(at=PART, **keywords)
    await recorder.interrupted(at=3 * PART, **keywords)
    await recorder.run(**RANGED, **keywords)
    return recorder.recorded()


async def resumed_to_a_new_name(oss: LocalOSS) -> Recorded:
    """No file is replaced, so the mode of new files is found by creating one: more calls to cut between."""
    return await resumed(oss, old=None)


async def resumed_in_a_new_directory(oss: LocalOSS) -> Recorded:
    recorder = Recorder(oss, path=DIRECTORY / "made" / "file")
    recorder.put(SIZE)
    await recorder.interrupted(at=2 * PART)
    await recorder.run(**RANGED)
    return recorder.recorded()


async def resumed_from_a_store(oss: LocalOSS) -> Recorded:
    store = Path("/data/store/of/checkpoints")
    recorder = Recorder(oss, old=OLD)
    recorder.put(SIZE)
    await recorder.interrupted(at=PART, store=CheckpointStore(store))
    await recorder.interrupted(at=2 * PART, store=CheckpointStore(store))
    await recorder.run(**RANGED, store=CheckpointStore(store))
    return recorder.recorded(store=store)


async def replaced_between_two_runs(oss: LocalOSS) -> Recorded:
    recorder = Recorder(oss, old=OLD)
    recorder.put(SIZE, seed=2)
    await recorder.interrupted(at=2 * PART)
    recorder.put(SIZE)
    await recorder.run(**RANGED)
    return recorder.recorded(keeps_progress=False)


async def recover(bucket: Any, recorded: Recorded, disk: Disk) -> DownloadResult:
    """The next run, on what a cut left."""
    return await download(bucket, disk, recorded.destination, **recorded.keywords)


RUNS = {
    small: 65,
    small_to_a_new_name: 65,
    small_to_a_new_directory: 65,
    ranged: 380,
    ranged_to_a_new_name: 650,
    resumed: 2600,
    resumed_to_a_new_name: 3500,
    resumed_in_a_new_directory: 1600,
    resumed_from_a_store: 2100,
    replaced_between_two_runs: 1750,
}
"""Each with the least number of distinct images that its cuts must leave, so that the model cannot shrink unnoticed."""
