"""Bytes read back from the disk, and their CRC-64."""

import os
from pathlib import Path
from typing import Final

from aioss_resume._core.crc64 import EMPTY, crc64
from aioss_resume._core.transfer import Done
from aioss_resume._io.threads import Threads

_HOP_BYTES: Final = 16 * 1024 * 1024
# Of one hop: a few milliseconds from the page cache, so that a cancellation is soon obeyed.
_READ_BYTES: Final = 1024 * 1024  # of one read: it fits a processor's cache, so that summing it costs no memory traffic


async def holds(path: Path, span: Done, threads: Threads) -> bool:
    """Whether the file has the bytes of that span, as far as their CRC-64 can tell. A missing file has not."""
    found, offset = EMPTY, span.start
    while offset < span.stop:
        stop = min(offset + _HOP_BYTES, span.stop)
        summed = await threads.run(_sum, path, offset, stop, found)
        if summed is None:
            return False
        found, offset = summed, stop
    return found == span.crc64


async def crc64_of_file(path: Path, size: int, threads: Threads) -> int | None:
    """CRC-64 of a whole file; None when there is none of that size."""
    if await threads.run(_size, path) != size:
        return None
    found = EMPTY
    for offset in range(0, size, _HOP_BYTES):
        summed = await threads.run(_sum, path, offset, min(offset + _HOP_BYTES, size), found)
        if summed is None:
            return None
        found = summed
    return found


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size if path.is_file() else None
    except OSError:
        return None


def _sum(path: Path, start: int, stop: int, before: int) -> int | None:
    """CRC-64 of what came before and the file's [start, stop); None when they cannot be read."""
    buffer = memoryview(bytearray(min(_READ_BYTES, stop - start)))
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        while start < stop:
            length = os.preadv(descriptor, [buffer[: stop - start]], start)
            if length == 0:
                return None
            before = crc64(buffer[:length], before)
            start += length
    except OSError:  # a bad sector: what cannot be read is fetched again
        return None
    finally:
        os.close(descriptor)
    return before
