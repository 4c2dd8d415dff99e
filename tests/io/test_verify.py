"""Bytes read back: whether they are what was written."""

import os
from pathlib import Path

import pytest
from told_storage import SparingStorage, ToldStorage

from aioss_resume._core.crc64 import crc64
from aioss_resume._core.spans import Done
from aioss_resume._io.threads import Threads
from aioss_resume._io.verify import crc64_of_file, span_matches_disk
from aioss_resume.testing import GeneratedContent, MiB

pytestmark = pytest.mark.anyio

SIZE = 3 * MiB + 77
BYTES = GeneratedContent(SIZE, 1).read(0, SIZE)
SPAN = Done(MiB - 5, 3 * MiB, crc64(BYTES[MiB - 5 : 3 * MiB]))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "part"
    path.write_bytes(BYTES)
    return path


async def test_unchanged_span_matches(path: Path, threads: Threads) -> None:
    assert await span_matches_disk(path, SPAN, threads)
    assert await span_matches_disk(path, Done(0, SIZE, crc64(BYTES)), threads)
    assert await span_matches_disk(path, Done(SIZE - 1, SIZE, crc64(BYTES[-1:])), threads)


@pytest.mark.parametrize("offset", [SPAN.start, 2 * MiB, SPAN.stop - 1])
async def test_span_with_one_bit_flipped_does_not_match(path: Path, threads: Threads, offset: int) -> None:
    damaged = bytearray(BYTES)
    damaged[offset] ^= 1
    path.write_bytes(damaged)
    assert not await span_matches_disk(path, SPAN, threads)


@pytest.mark.parametrize("offset", [0, SPAN.start - 1, SPAN.stop])
async def test_damage_outside_a_span_is_not_its_own(path: Path, threads: Threads, offset: int) -> None:
    damaged = bytearray(BYTES)
    damaged[offset] ^= 1
    path.write_bytes(damaged)
    assert await span_matches_disk(path, SPAN, threads)


@pytest.mark.parametrize("size", [0, SPAN.start, SPAN.stop - 1])
async def test_span_beyond_the_end_of_the_file_does_not_match(path: Path, threads: Threads, size: int) -> None:
    os.truncate(path, size)
    assert not await span_matches_disk(path, SPAN, threads)


async def test_missing_file_or_directory_matches_nothing(tmp_path: Path, threads: Threads) -> None:
    assert not await span_matches_disk(tmp_path / "missing", SPAN, threads)
    assert not await span_matches_disk(tmp_path, SPAN, threads)


async def test_unreadable_span_does_not_match(path: Path, threads: Threads) -> None:
    storage = ToldStorage()
    assert await span_matches_disk(path, SPAN, threads, storage)
    for number in range(len(storage.calls) - 1):  # all but the last, which closes
        assert not await span_matches_disk(path, SPAN, threads, ToldStorage(number, OSError(5, "bad sector")))


async def test_short_reads_are_continued(path: Path, threads: Threads) -> None:
    assert await span_matches_disk(path, SPAN, threads, SparingStorage(100_003))


async def test_crc64_of_a_whole_file(path: Path, threads: Threads) -> None:
    assert await crc64_of_file(path, SIZE, threads) == crc64(BYTES)
    path.write_bytes(b"")
    assert await crc64_of_file(path, 0, threads) == 0


async def test_file_longer_than_one_read(tmp_path: Path, threads: Threads) -> None:
    content = GeneratedContent(17 * MiB, 1)
    whole = content.read(0, content.size)
    (tmp_path / "large").write_bytes(whole)
    assert await crc64_of_file(tmp_path / "large", content.size, threads) == content.crc64
    assert await span_matches_disk(tmp_path / "large", Done(5, 17 * MiB, crc64(whole[5:])), threads)


@pytest.mark.parametrize("size", [0, SIZE - 1, SIZE + 1])
async def test_file_of_another_size_has_no_crc64(path: Path, threads: Threads, size: int) -> None:
    assert await crc64_of_file(path, size, threads) is None


async def test_special_file_has_no_crc64(tmp_path: Path, threads: Threads) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path, tmp_path / "missing", tmp_path / "fifo", tmp_path / "fifo" / "below"):
        assert await crc64_of_file(path, 0, threads) is None
