"""The checkpoint's file: the old one or the new one, as a whole, whatever happens."""

import asyncio
import errno
import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest
from told_storage import HeldStorage, Killed, SparingStorage, ToldStorage

from aioss_resume import LocalFileError
from aioss_resume._core.checkpoint import MOST_BYTES, Checkpoint, Unusable
from aioss_resume._core.objects import ObjectMeta
from aioss_resume._core.spans import Done
from aioss_resume._io.flush import CheckpointFile
from aioss_resume._io.storage import Storage
from aioss_resume._io.threads import Threads
from aioss_resume.errors import ObjectName

pytestmark = pytest.mark.anyio

NAME = ObjectName("examplebucket", "key")
OLD = Checkpoint(NAME, None, ObjectMeta("key", 1000, "ETAG", 5), ".file.part", [Done(0, 10, 1)])
NEW = replace(OLD, spans=[Done(0, 500, 2), Done(600, 1000, 3)])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / ".file.checkpoint"


def file_at(path: Path, threads: Threads, storage: Storage | None = None, *, fsync: bool = True) -> CheckpointFile:
    return CheckpointFile(path, NAME, threads, storage or Storage(), fsync=fsync)


@pytest.mark.parametrize("fsync", [True, False])
async def test_last_flushed_checkpoint_is_loaded(path: Path, threads: Threads, fsync: bool) -> None:
    file = file_at(path, threads, fsync=fsync)
    assert file.load() is None
    for checkpoint in (OLD, NEW):
        await file.flush(checkpoint)
        assert file_at(path, threads).load() == checkpoint
    assert os.listdir(path.parent) == [path.name]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_checkpoint_is_on_the_disk_before_its_rename(path: Path, threads: Threads) -> None:
    storage = ToldStorage()
    await file_at(path, threads, storage).flush(OLD)
    assert storage.calls.index("write_at") < storage.calls.index("fsync") < storage.calls.index("replace")


async def test_without_fsync_nothing_is_synced(path: Path, threads: Threads) -> None:
    storage = ToldStorage()
    await file_at(path, threads, storage, fsync=False).flush(OLD)
    assert "fsync" not in storage.calls


async def test_flush_killed_at_any_call_leaves_the_old_or_the_new_checkpoint(path: Path, threads: Threads) -> None:
    told = ToldStorage()
    await file_at(path, threads).flush(OLD)
    await file_at(path, threads, told).flush(NEW)
    seen = []
    for number in range(len(told.calls)):
        await file_at(path, threads).flush(OLD)
        with pytest.raises(Killed):
            await file_at(path, threads, ToldStorage(number)).flush(NEW)
        left = file_at(path, threads).load()
        assert left in (OLD, NEW)
        seen.append((told.calls[number], left == NEW))
        await file_at(path, threads).flush(NEW)  # the temporary file that the killed flush left is replaced
        assert file_at(path, threads).load() == NEW
        assert os.listdir(path.parent) == [path.name]
    assert ("replace", False) in seen


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EROFS])
async def test_flush_that_fails_at_any_call_leaves_only_the_old_checkpoint(
    path: Path, threads: Threads, number: int
) -> None:
    told = ToldStorage()
    await file_at(path, threads).flush(OLD)
    await file_at(path, threads, told).flush(NEW)
    for call in range(len(told.calls)):
        await file_at(path, threads).flush(OLD)
        storage = ToldStorage(call, OSError(number, os.strerror(number)))
        with pytest.raises(LocalFileError) as caught:
            await file_at(path, threads, storage).flush(NEW)
        assert caught.value.errno == number
        assert file_at(path, threads).load() == OLD
        assert os.listdir(path.parent) == [path.name]


async def test_partial_writes_are_continued(path: Path, threads: Threads) -> None:
    await file_at(path, threads, SparingStorage(11)).flush(NEW)
    assert file_at(path, threads, SparingStorage(13)).load() == NEW


async def test_cancelled_flush_is_completed(path: Path, threads: Threads) -> None:
    storage = HeldStorage()
    task = asyncio.ensure_future(file_at(path, threads, storage).flush(NEW))
    while not storage.begun.is_set():  # noqa: ASYNC110  # set by another thread
        await asyncio.sleep(0.001)
    for _ in range(3):
        task.cancel()
        await asyncio.sleep(0)
    assert not task.done()
    storage.may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert file_at(path, threads).load() == NEW


async def test_flushes_do_not_overtake_each_other(path: Path, threads: Threads) -> None:
    storage = HeldStorage()
    file = file_at(path, threads, storage)
    first, second = asyncio.ensure_future(file.flush(OLD)), asyncio.ensure_future(file.flush(NEW))
    while not storage.begun.is_set():  # noqa: ASYNC110  # set by another thread
        await asyncio.sleep(0.001)
    assert storage.calls.count("open") == 1
    storage.may_end.set()
    await asyncio.gather(first, second)
    assert file.load() == NEW


async def test_missing_store_is_created_readable_by_its_owner_only(tmp_path: Path, threads: Threads) -> None:
    path = tmp_path / "some" / "store" / "checkpoint"
    await file_at(path, threads).flush(OLD)
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert file_at(path, threads).load() == OLD


async def test_removal_includes_what_a_killed_flush_left(path: Path, threads: Threads) -> None:
    for way in ("remove", "remove_now"):
        file = file_at(path, threads)
        await file.flush(OLD)
        path.with_name(path.name + ".new").write_bytes(b"torn")
        if way == "remove":
            await file.remove()
            await file.remove()
        else:
            file.remove_now()
            file.remove_now()
        assert os.listdir(path.parent) == []


@pytest.mark.parametrize("kind", ["torn", "empty", "huge", "FIFO", "link", "directory"])
async def test_special_file_in_place_of_a_checkpoint_is_unusable_and_does_not_hang(
    path: Path, threads: Threads, kind: str
) -> None:
    other = file_at(path.with_name("other"), threads)
    await other.flush(OLD)
    data = path.with_name("other").read_bytes()
    match kind:
        case "torn":
            path.write_bytes(data[:-20])
        case "empty":
            path.write_bytes(b"")
        case "huge":
            path.write_bytes(data.ljust(MOST_BYTES + 1))
        case "FIFO":
            os.mkfifo(path)
        case "link":
            path.symlink_to(other.path)
        case "directory":
            path.mkdir()
    with pytest.raises(Unusable):
        file_at(path, threads).load()
    if kind != "directory":
        await file_at(path, threads).flush(NEW)
        assert file_at(path, threads).load() == NEW
    assert other.load() == OLD


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOMEM])
async def test_process_that_is_out_of_something_does_not_ignore_a_good_checkpoint(
    path: Path, threads: Threads, number: int
) -> None:
    await file_at(path, threads).flush(OLD)
    with pytest.raises(OSError) as caught:
        file_at(path, threads, ToldStorage(0, OSError(number, os.strerror(number)))).load()
    assert caught.value.errno == number
    assert file_at(path, threads).load() == OLD
