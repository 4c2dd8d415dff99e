"""Writing bytes at their offset in the part file, through aiofiles.

Each flight has an unbuffered handle of its own. A shared handle has one file position, and parallel writes would land
at each other's offsets.
"""

import asyncio
import errno
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from aiofiles.threadpool.binary import AsyncFileIO

from aioss_resume._core.crc64 import EMPTY, crc64
from aioss_resume._io.storage import (
    CREATE,
    STORAGE,
    UPDATE,
    Identity,
    Storage,
    allocated,
    is_file_of,
    is_own_or_mapped_file,
    is_regular,
    lasting_identity_of,
    probe_of,
    remove,
)
from aioss_resume._io.threads import FileExecutor, SerialQueue, Threads
from aioss_resume.errors import LocalFileError, ObjectName, local_file_error

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_MOST_PIECES: Final = 512
# In one call. IOV_MAX is 1024 on Linux and macOS.


class SummingFile(FileIO):
    """A file that is written from one offset on, and computes the CRC-64 of the written bytes.

    `offset` and `crc64` always describe the file: they change after each write by the number of bytes written. The
    storage opens, writes and closes the file; it is a FileIO so that aiofiles can wrap it.
    """

    def __init__(self, storage: Storage, path: Path, identity: Identity | None, offset: int, crc: int) -> None:
        self.path = path
        self.offset = offset
        self.crc64 = crc
        self._storage = storage
        self._descriptor = storage.open(path, UPDATE)
        try:
            found = storage.fstat(self._descriptor)
            if not (is_file_of(identity, found) and is_regular(found)):
                raise FileNotFoundError(errno.ENOENT, "the part file was replaced by another", str(path))
            super().__init__(self._descriptor, "r+", closefd=False)
        except OSError:
            storage.close(self._descriptor)
            raise

    def close(self) -> None:
        if not self.closed:
            super().close()
            self._storage.close(self._descriptor)

    def writelines(self, chunks: "Iterable[ReadableBuffer]", /) -> None:
        """Write all chunks in order."""
        for part in written_parts(self._storage, self._descriptor, chunks, self.offset):
            self.crc64 = crc64(part, self.crc64)
            self.offset += len(part)


class PartFile:
    """The file beside the destination into which a download writes.

    Attributes:
        path: Its path.
        identity: Device and inode, by which a replaced file is detected when it is opened again. None if the file
            system has no inodes that last.
    """

    def __init__(self, path: Path, name: ObjectName, threads: Threads, storage: Storage = STORAGE) -> None:
        self.path = path
        self._name = name
        self._threads = threads
        self._storage = storage
        self._queue = SerialQueue(threads)
        self.identity: Identity | None = None

    async def create(self, size: int | None) -> bool:
        """Create or open the file with a length of `size` bytes (None for 0). Returns whether it existed.

        Raises:
            LocalFileError: It cannot be created, is not a regular file of this user, or the disk is too full.
        """
        made: list[tuple[bool, Identity | None]] = []

        def make() -> None:
            made.append(_create(self._storage, self.path, size or 0))

        try:
            await self._threads.run(make)
        except OSError as error:
            raise local_file_error("make the part file", error, str(self.path), name=self._name) from None
        except asyncio.CancelledError:
            if made and not made[0][0]:  # the thread call has ended, and nobody knows of the file that it created
                with suppress(OSError):  # the cancellation counts, not this error
                    await self.remove()
            raise
        was_there, self.identity = made[0]
        return was_there

    async def remove(self) -> None:
        """Remove the file, if it exists.

        Raises:
            LocalFileError: It could not be removed.
        """
        try:
            await self._threads.run_uncancelled(remove, self._storage, self.path)
        except OSError as error:
            raise local_file_error("remove the part file", error, str(self.path), name=self._name) from None

    async def open_at(self, offset: int, crc: int = EMPTY) -> "FileSink":
        """Open a separate handle that writes from `offset` on. `crc` is the CRC-64 of the span so far."""
        executor = FileExecutor(self._threads, self._queue)
        opened: list[SummingFile] = []

        def open_it() -> None:
            opened.append(SummingFile(self._storage, self.path, self.identity, offset, crc))

        try:
            await self._threads.run(open_it)
        except OSError as error:
            raise local_file_error("open the part file", error, str(self.path), name=self._name) from None
        except asyncio.CancelledError:
            for file in opened:  # the thread call has ended, and nobody uses what it opened
                await self._threads.run_uncancelled(file.close)
            raise
        return FileSink(opened[0], executor, self._name)


class FileSink:
    """Writes one span to the part file. `offset` and `crc64` are correct even after a failed write."""

    def __init__(self, file: SummingFile, executor: FileExecutor, name: ObjectName) -> None:
        self._file = file
        self._executor = executor
        self._name = name
        self._through: Any = AsyncFileIO(file, loop=asyncio.get_running_loop(), executor=executor)
        # Any: in the stubs of aiofiles its wrappers are only results of open().
        self._buffer = memoryview(b"")

    @property
    def offset(self) -> int:
        return self._file.offset

    @property
    def crc64(self) -> int:
        return self._file.crc64

    def room(self, most: int) -> memoryview:
        """The buffer for the next `most` bytes. The same memory is used each time."""
        if len(self._buffer) < most:
            self._buffer = memoryview(bytearray(most))
        return self._buffer[:most]

    def is_awaited(self, received: int, now: float) -> bool:  # noqa: ARG002  # a larger write costs less
        return False

    async def write(self, chunks: Sequence[bytes | memoryview]) -> None:
        """Write the chunks at `offset` in one thread call, which also computes their CRC.

        If cancelled, wait until the thread has written: nothing writes any more after this has returned or raised.

        Raises:
            LocalFileError: write(2) failed, for example because the disk is full. Never tried again.
        """
        try:
            await self._through.writelines(chunks)
        except asyncio.CancelledError:
            await self._executor.drain()
            raise
        except OSError as error:
            raise self._failed("write", error) from None

    async def close(self) -> None:
        """Close the handle. Some file systems report a failed write only then."""
        try:
            await self._through.close()
        except asyncio.CancelledError:
            await self._executor.drain()
            # close() may have been cancelled before its thread call began.
            await self._executor.run_uncancelled(self._file.close)
            raise
        except OSError as error:
            raise self._failed("close", error) from None

    def _failed(self, tried: str, error: OSError) -> LocalFileError:
        return local_file_error(f"{tried} the part file", error, str(self._file.path), name=self._name)


def written_parts(
    storage: Storage, descriptor: int, chunks: "Iterable[ReadableBuffer]", offset: int
) -> "Iterator[memoryview]":
    """Write all chunks in order from `offset` on. Yields the written bytes after each write.

    A write may be partial; then the storage is called again with the rest.
    """
    pieces = [piece for chunk in chunks if (piece := memoryview(chunk).cast("B"))]
    while pieces:
        taken = storage.write_at(descriptor, pieces[:_MOST_PIECES], offset)
        if taken == 0:
            raise OSError(errno.EIO, "the write took no byte")
        offset += taken
        while taken:
            part = pieces[0][:taken]
            yield part
            taken -= len(part)
            pieces[:1] = [pieces[0][len(part) :]] if len(part) < len(pieces[0]) else []


def _create(storage: Storage, path: Path, size: int) -> tuple[bool, Identity | None]:
    try:
        descriptor, was_there = storage.open(path, CREATE), False
    except FileExistsError:
        descriptor, was_there = _reopen(storage, path), True
        if descriptor < 0:
            storage.unlink(path)
            descriptor, was_there = storage.open(path, CREATE), False
    try:
        try:
            found = storage.fstat(descriptor)
            _check_room(storage, descriptor, size, found)
            if found.st_size != size:
                storage.ftruncate(descriptor, size)
            identity = lasting_identity_of(storage, path, found)
        finally:
            storage.close(descriptor)
    except OSError:
        if not was_there:
            remove(storage, path)
        raise
    return was_there, identity


def _reopen(storage: Storage, path: Path) -> int:
    """Open the existing file. Returns -1 if it is a link, a FIFO, or a file of another user."""
    try:
        descriptor = storage.open(path, UPDATE)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO, errno.EISDIR, errno.EACCES, errno.ENOENT):
            return -1
        raise
    try:
        found = storage.fstat(descriptor)
    except OSError:
        storage.close(descriptor)
        raise
    # The second name may be the destination: after a power cut, a rename can leave both names.
    if found.st_nlink <= 1 and is_own_or_mapped_file(storage, found, probe_of(path)):
        return descriptor
    storage.close(descriptor)
    return -1


def _check_room(storage: Storage, descriptor: int, size: int, found: os.stat_result) -> None:
    """Raise OSError if the disk has not enough free space for the whole file."""
    room = storage.room(descriptor)
    if room is not None and size - allocated(found) > room:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
