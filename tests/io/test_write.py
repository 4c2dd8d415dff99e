"""Bytes at their offset: what a sink says is what the file has, also when its write was cancelled or failed."""

import asyncio
import errno
import os
import stat
import threading
from pathlib import Path
from typing import Any

import pytest
from told_storage import HeldStorage, SparingStorage, ToldStorage

from aioss_resume import LocalFileError
from aioss_resume._core.crc64 import EMPTY, crc64
from aioss_resume._io.storage import Storage
from aioss_resume._io.threads import Threads
from aioss_resume._io.write import FileSink, PartFile
from aioss_resume.errors import ObjectName

pytestmark = pytest.mark.anyio

NAME = ObjectName("examplebucket", "key")
SIZE = 100_000
CHUNKS = [b"a" * 1000, b"", b"b" * 777, b"c"]
WRITTEN = b"".join(CHUNKS)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / ".file.part"


async def part_of(path: Path, threads: Threads, storage: Storage | None = None) -> PartFile:
    part = PartFile(path, NAME, threads, storage or Storage())
    await part.create(SIZE)
    return part


async def turns(count: int = 20) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def has_begun(storage: HeldStorage) -> None:
    while not storage.begun.is_set():  # noqa: ASYNC110  # set by another thread
        await asyncio.sleep(0.001)


def assert_tells_the_truth(sink: FileSink, path: Path, start: int) -> None:
    taken = path.read_bytes()[start : sink.offset]
    assert WRITTEN.startswith(taken)
    assert sink.crc64 == crc64(taken, EMPTY)
    assert not any(path.read_bytes()[sink.offset :])


async def test_chunks_are_written_behind_each_other_from_the_offset_on(path: Path, threads: Threads) -> None:
    sink = await (await part_of(path, threads)).open_at(500, EMPTY)
    await sink.write(CHUNKS)
    await sink.write([b"more"])
    await sink.close()
    assert path.read_bytes() == bytes(500) + WRITTEN + b"more" + bytes(SIZE - 504 - len(WRITTEN))
    assert (sink.offset, sink.crc64) == (504 + len(WRITTEN), crc64(WRITTEN + b"more"))


async def test_crc64_continues_from_that_of_the_span_before(path: Path, threads: Threads) -> None:
    sink = await (await part_of(path, threads)).open_at(3, crc64(b"abc"))
    await sink.write([b"def"])
    await sink.close()
    assert sink.crc64 == crc64(b"abcdef")


async def test_more_chunks_than_one_call_takes_are_written(path: Path, threads: Threads) -> None:
    storage = ToldStorage()
    sink = await (await part_of(path, threads, storage)).open_at(0, EMPTY)
    chunks = [bytes([n % 251]) for n in range(3000)]
    await sink.write(chunks)
    await sink.close()
    assert path.read_bytes()[:3000] == b"".join(chunks)
    assert sink.offset == 3000
    assert storage.calls.count("write_at") > 1


async def test_short_write_is_continued(path: Path, threads: Threads) -> None:
    sink = await (await part_of(path, threads, SparingStorage(7))).open_at(0, EMPTY)
    await sink.write(CHUNKS)
    await sink.close()
    assert sink.offset == len(WRITTEN)
    assert_tells_the_truth(sink, path, 0)


async def test_sinks_of_one_file_write_side_by_side(path: Path, threads: Threads) -> None:
    part = await part_of(path, threads)
    sinks = [await part.open_at(n * 10_000, EMPTY) for n in range(10)]
    for _ in range(10):
        await asyncio.gather(*(sink.write([bytes([n + 1]) * 1000]) for n, sink in enumerate(sinks)))
    for sink in sinks:
        await sink.close()
    assert path.read_bytes() == b"".join(bytes([n + 1]) * 10_000 for n in range(10))


@pytest.mark.parametrize("times", [1, 2, 5])
async def test_cancelled_write_ends_before_it_raises_and_never_writes_after_the_close(
    path: Path, threads: Threads, times: int
) -> None:
    storage = HeldStorage()
    sink = await (await part_of(path, threads, storage)).open_at(10, EMPTY)
    storage.calls.clear()
    task = asyncio.ensure_future(sink.write(CHUNKS))
    await has_begun(storage)
    for _ in range(times):
        task.cancel()
        await turns()
    assert not task.done()
    storage.may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert_tells_the_truth(sink, path, 10)
    assert sink.offset == 10 + len(WRITTEN)
    await sink.close()
    assert storage.calls == ["write_at", "close"]


async def test_write_cancelled_before_its_thread_call_writes_nothing(path: Path, threads: Threads) -> None:
    sink = await (await part_of(path, threads)).open_at(0, EMPTY)
    may_end = threading.Event()
    for _ in range(20):
        threads.submit(may_end.wait, 20)
    task = asyncio.ensure_future(sink.write(CHUNKS))
    await turns()
    task.cancel()
    await turns()
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    await sink.close()
    assert_tells_the_truth(sink, path, 0)


@pytest.mark.parametrize("times", [1, 3])
async def test_file_that_reuses_the_descriptor_number_stays_untouched(
    path: Path, tmp_path: Path, threads: Threads, times: int
) -> None:
    storage = HeldStorage()
    sink = await (await part_of(path, threads, storage)).open_at(0, EMPTY)

    async def write_and_close() -> None:
        try:
            await sink.write(CHUNKS)
        finally:
            await sink.close()

    before = _descriptors_of(path)
    task = asyncio.ensure_future(write_and_close())
    await has_begun(storage)
    for _ in range(times):
        task.cancel()
        await turns()
    assert _descriptors_of(path) == before  # it stays open while a thread writes to it
    storage.may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    victims = [os.open(tmp_path / f"victim{n}", os.O_RDWR | os.O_CREAT) for n in range(5)]
    try:
        assert set(before) <= set(victims)
        await threads.close()
        assert [os.fstat(victim).st_size for victim in victims] == [0] * 5
    finally:
        for victim in victims:
            os.close(victim)


async def test_cancelled_close_closes_all_the_same(path: Path, threads: Threads) -> None:
    sink = await (await part_of(path, threads)).open_at(0, EMPTY)
    may_end = threading.Event()
    for _ in range(20):
        threads.submit(may_end.wait, 20)
    task = asyncio.ensure_future(sink.close())
    for _ in range(3):
        await turns()
        task.cancel()
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert _descriptors_of(path) == []


@pytest.mark.parametrize("what", ["create", "open_at"])
async def test_cancelled_open_leaves_no_descriptor_and_no_unknown_file(path: Path, threads: Threads, what: str) -> None:
    begun, may_end = threading.Event(), threading.Event()

    class Held(Storage):
        def open(self, *args: Any, **kwargs: Any) -> int:
            begun.set()
            assert may_end.wait(20)
            return super().open(*args, **kwargs)

    part = PartFile(path, NAME, threads, Held())
    if what == "open_at":
        part.identity = (await part_of(path, threads)).identity
    task = asyncio.ensure_future(part.create(SIZE) if what == "create" else part.open_at(0, EMPTY))
    while not begun.is_set():  # noqa: ASYNC110  # set by another thread
        await asyncio.sleep(0.001)
    task.cancel()
    await turns()
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert _descriptors_of(path) == []
    assert path.exists() == (what == "open_at")


def _descriptors_of(path: Path) -> list[int]:
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            if os.readlink(f"/proc/self/fd/{name}") == str(path):
                found.append(int(name))
        except FileNotFoundError:  # that of the listing itself
            continue
    return found


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG])
async def test_failed_write_is_a_local_error_and_the_sink_knows_what_was_taken(
    path: Path, threads: Threads, number: int
) -> None:
    sink = await (await part_of(path, threads, SparingStorage(1 << 30, 1234, number))).open_at(5, EMPTY)
    with pytest.raises(LocalFileError) as caught:
        await sink.write(CHUNKS)
    assert (caught.value.errno, caught.value.filename) == (number, str(path))
    assert (caught.value.bucket, caught.value.key) == NAME
    assert sink.offset == 5 + 1234
    assert_tells_the_truth(sink, path, 5)
    await sink.close()


async def test_write_of_zero_bytes_is_no_endless_loop(path: Path, threads: Threads) -> None:
    sink = await (await part_of(path, threads, SparingStorage(0))).open_at(0, EMPTY)
    with pytest.raises(LocalFileError) as caught:
        await sink.write(CHUNKS)
    assert caught.value.errno == errno.EIO
    await sink.close()


async def test_part_file_that_is_another_one_now_is_not_written_to(path: Path, threads: Threads) -> None:
    part = await part_of(path, threads)
    path.rename(path.with_name("kept"))
    path.write_bytes(b"theirs")
    with pytest.raises(LocalFileError) as caught:
        await part.open_at(0, EMPTY)
    assert isinstance(caught.value, FileNotFoundError)
    assert path.read_bytes() == b"theirs"
    assert _descriptors_of(path) == []


async def test_failed_creation_of_the_part_file_leaves_none(path: Path, threads: Threads) -> None:
    told = ToldStorage()
    await part_of(path, threads, told)
    path.unlink()
    for number in range(len(told.calls)):
        with pytest.raises(LocalFileError) as caught:
            await part_of(path, threads, ToldStorage(number, OSError(errno.EIO, "broken")))
        assert caught.value.errno == errno.EIO
        assert not path.exists()


async def test_part_file_has_the_objects_length_and_is_for_its_owner_only(path: Path, threads: Threads) -> None:
    part = PartFile(path, NAME, threads)
    assert not await part.create(SIZE)
    assert path.stat().st_size == SIZE
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert part.identity == (path.stat().st_dev, path.stat().st_ino)


@pytest.mark.parametrize("size", [0, 10, SIZE, 2 * SIZE])
async def test_part_file_that_is_there_keeps_its_bytes_and_gets_the_length(
    path: Path, threads: Threads, size: int
) -> None:
    path.write_bytes(b"x" * size)
    path.chmod(0o600)
    assert await PartFile(path, NAME, threads).create(SIZE)
    assert path.read_bytes() == (b"x" * size)[:SIZE].ljust(SIZE, b"\0")


@pytest.mark.parametrize("kind", ["link", "hard link", "FIFO"])
async def test_foreign_file_at_a_hidden_name_is_replaced_and_not_followed(
    path: Path, tmp_path: Path, threads: Threads, kind: str
) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    match kind:
        case "link":
            path.symlink_to(victim)
        case "hard link":
            path.hardlink_to(victim)
        case "FIFO":
            os.mkfifo(path)
    assert not await PartFile(path, NAME, threads).create(SIZE)
    assert stat.S_ISREG(path.lstat().st_mode)
    assert victim.read_bytes() == b"precious"


async def test_disk_without_space_is_an_error_and_nothing_is_left(path: Path, threads: Threads) -> None:
    class Full(Storage):
        def room(self, descriptor: int) -> int | None:
            return SIZE - 1

    with pytest.raises(LocalFileError) as caught:
        await PartFile(path, NAME, threads, Full()).create(SIZE)
    assert caught.value.errno == errno.ENOSPC
    assert caught.value.hint
    assert not path.exists()


async def test_removing_what_is_not_there_is_no_error(path: Path, threads: Threads) -> None:
    part = await part_of(path, threads)
    await part.remove()
    await part.remove()
    assert not path.exists()
