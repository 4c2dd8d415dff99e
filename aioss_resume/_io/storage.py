"""The file system calls that downloads need.

Every effect on files goes through a Storage, with one method for each system call. A test double can record the calls
and compute what a power cut would leave (tests/crash_model), or let any call fail.
"""

import errno
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from filelock import lock_descriptor

StrPath = str | os.PathLike[str]

_CANNOT_SYNC: Final = frozenset({errno.EINVAL, errno.ENOTSUP, errno.EBADF})
_CANNOT_LOOK: Final = frozenset({errno.EACCES, errno.EPERM})


class Storage:
    """The real one. For threads: all of it blocks, and may be called by several at once.

    Methods raise OSError, as the calls that they are named after.
    """

    __slots__ = ()

    def open(self, path: StrPath, flags: int, mode: int = 0o600) -> int:
        """A descriptor, which child processes do not inherit."""
        return os.open(path, flags | os.O_CLOEXEC, mode)

    def close(self, descriptor: int) -> None:
        os.close(descriptor)

    def pwritev(self, descriptor: int, buffers: Sequence[memoryview], offset: int) -> int:
        """Returns how many bytes it took, which may be fewer than it was given."""
        return os.pwritev(descriptor, buffers, offset)

    def preadv(self, descriptor: int, buffer: memoryview, offset: int) -> int:
        """Returns how many bytes it put into the buffer; 0 at the end of the file."""
        return os.preadv(descriptor, [buffer], offset)

    def ftruncate(self, descriptor: int, size: int) -> None:
        os.ftruncate(descriptor, size)

    def fchmod(self, descriptor: int, mode: int) -> None:
        os.fchmod(descriptor, mode)

    def fchgrp(self, descriptor: int, group: int) -> None:
        os.fchown(descriptor, -1, group)

    def fsync(self, descriptor: int) -> None:
        """Of a file: its bytes and size are on the disk. Of a directory: the names in it are."""
        os.fsync(descriptor)

    def lock(self, descriptor: int) -> bool:
        """Lock a file, without waiting; False when another holds it."""
        return lock_descriptor(descriptor, blocking=False)

    def room(self, descriptor: int) -> int | None:
        """Free bytes for that file; None if the file system does not say."""
        disk = os.fstatvfs(descriptor)
        return disk.f_bavail * disk.f_frsize if disk.f_blocks else None

    def fstat(self, descriptor: int) -> os.stat_result:
        return os.fstat(descriptor)

    def stat(self, path: StrPath, *, follow_symlinks: bool = True) -> os.stat_result:
        return os.stat(path, follow_symlinks=follow_symlinks)  # noqa: PTH116  # half the price of a Path's

    def readlink(self, path: StrPath) -> str:
        return os.fsdecode(os.readlink(path))  # noqa: PTH115  # as above

    def access(self, path: StrPath, wanted: int) -> bool:
        return os.access(path, wanted)

    def replace(self, path: StrPath, becomes: StrPath) -> None:
        """Rename atomically, replacing an existing file."""
        os.replace(path, becomes)  # noqa: PTH105  # as above

    def unlink(self, path: StrPath) -> None:
        os.unlink(path)  # noqa: PTH108  # as above

    def mkdir(self, path: StrPath, mode: int = 0o777) -> None:
        os.mkdir(path, mode)  # noqa: PTH102  # as above

    def rmdir(self, path: StrPath) -> None:
        os.rmdir(path)  # noqa: PTH106  # as above


STORAGE: Final = Storage()


def exists(storage: Storage, path: StrPath, *, follow_symlinks: bool = True) -> bool:
    """Whether the path exists; OSError if that cannot be found out."""
    try:
        storage.stat(path, follow_symlinks=follow_symlinks)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            return False
        raise
    return True


def remove(storage: Storage, path: StrPath) -> None:
    """Remove a file, if it is there."""
    with suppress(FileNotFoundError):
        storage.unlink(path)


def make_missing(storage: Storage, directory: Path, mode: int = 0o777, *, fsync: bool) -> list[Path]:
    """Make a directory and those above it that are missing; returns them, the deepest first.

    Args:
        mode: The deepest one's, less the umask.
        fsync: Their names are on the disk before this returns: a file's name in a directory is lost with the
            directory's own, and a later run, which finds the directory, cannot know that it is not on the disk.
    """
    missing, above = [], directory
    while not exists(storage, above):
        missing.append(above)
        above = above.parent
    try:
        for each in reversed(missing):
            with suppress(FileExistsError):  # another download's
                storage.mkdir(each, mode if each == directory else 0o777)
            if fsync:
                sync_directory(storage, each.parent)
    except OSError:
        remove_made(storage, missing)
        raise
    return missing


def remove_made(storage: Storage, directories: Sequence[Path]) -> None:
    """Remove the directories that make_missing() made, those that are still empty."""
    for directory in directories:
        with suppress(OSError):
            storage.rmdir(directory)


def sync_file(storage: Storage, path: Path) -> None:
    """Sync the bytes of a file to the disk. For its name see sync_directory()."""
    descriptor = storage.open(
        path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
    )  # O_NONBLOCK: it may have become a FIFO
    try:
        storage.fsync(descriptor)
    finally:
        storage.close(descriptor)


def sync_directory(storage: Storage, directory: Path) -> None:
    """Sync the names in a directory to the disk, where the file system supports it."""
    try:
        descriptor = storage.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        if error.errno in _CANNOT_LOOK:  # a directory that is writable and not readable
            return
        raise
    try:
        storage.fsync(descriptor)
    except OSError as error:
        if error.errno not in _CANNOT_SYNC:
            raise
    finally:
        storage.close(descriptor)
