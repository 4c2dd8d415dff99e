"""Reading bytes back from the disk, and their CRC-64."""

from contextlib import suppress
from pathlib import Path
from typing import Final

from aioss_resume._core.crc64 import EMPTY, crc64
from aioss_resume._core.retry import SCARCE
from aioss_resume._core.spans import Done
from aioss_resume._io.storage import READ_THROUGH_LINKS, STORAGE, Storage, is_regular
from aioss_resume._io.threads import Threads
from aioss_resume.errors import ObjectName, local_file_error

_HOP_BYTES: Final = 16 * 1024 * 1024
# In one thread call: a few milliseconds from the page cache, so that cancellation takes effect soon.
_READ_BYTES: Final = 1024 * 1024  # in one read: it fits a processor's cache, so that the CRC costs no memory traffic


async def span_matches_disk(
    path: Path, span: Done, threads: Threads, storage: Storage = STORAGE, *, name: ObjectName | None = None
) -> bool:
    """Whether the bytes of that span in the file have the right CRC-64. False for a missing file.

    Args:
        name: The object, for the error.

    Raises:
        LocalFileError: There are no descriptors or no memory left.
    """
    found, offset = EMPTY, span.start
    while offset < span.stop:
        stop = min(offset + _HOP_BYTES, span.stop)
        summed = await threads.run(_sum, storage, path, offset, stop, found, name)
        if summed is None:
            return False
        found, offset = summed, stop
    return found == span.crc64


async def crc64_of_file(
    path: Path, size: int, threads: Threads, storage: Storage = STORAGE, *, name: ObjectName | None = None
) -> int | None:
    """CRC-64 of a whole file; None if there is no file of that size.

    Arguments and errors are those of span_matches_disk().
    """
    if await threads.run(_size, storage, path) != size:
        return None
    return await crc64_of_start(path, size, threads, storage, name=name)


async def crc64_of_start(
    path: Path, length: int, threads: Threads, storage: Storage = STORAGE, *, name: ObjectName | None = None
) -> int | None:
    """CRC-64 of the first bytes of a file; None if it has fewer.

    Arguments and errors are those of span_matches_disk().
    """
    found = EMPTY
    for offset in range(0, length, _HOP_BYTES):
        summed = await threads.run(_sum, storage, path, offset, min(offset + _HOP_BYTES, length), found, name)
        if summed is None:
            return None
        found = summed
    return found


def _size(storage: Storage, path: Path) -> int | None:
    try:
        found = storage.stat(path)
    except OSError:
        return None
    return found.st_size if is_regular(found) else None


def _sum(storage: Storage, path: Path, start: int, stop: int, before: int, name: ObjectName | None) -> int | None:
    """CRC-64 of earlier bytes followed by the file's [start, stop); None if they cannot be read."""
    buffer = memoryview(bytearray(min(_READ_BYTES, stop - start)))
    try:
        descriptor = storage.open(path, READ_THROUGH_LINKS)
    except OSError as error:
        if error.errno in SCARCE:
            raise local_file_error("read back", error, str(path), name=name) from None
        return None
    try:
        while start < stop:
            length = storage.read_at(descriptor, buffer[: stop - start], start)
            if length == 0:
                return None
            before = crc64(buffer[:length], before)
            start += length
    except OSError:  # a bad sector: what cannot be read is fetched again
        return None
    finally:
        with suppress(OSError):  # nothing was written
            storage.close(descriptor)
    return before
