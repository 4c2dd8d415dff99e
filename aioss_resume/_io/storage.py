"""The file system calls that downloads need, and all that differs between systems.

Every effect on files goes through a Storage, with one method for each system call. A test double can record the calls
and compute what a power cut would leave (tests/crash_model), or let any call fail.

No other module knows which system it runs on.
"""

import errno
import os
import stat
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from filelock import lock_descriptor

StrPath = str | os.PathLike[str]

NO_LINK: Final = os.O_NOFOLLOW
_NO_WAIT: Final = os.O_NONBLOCK  # a planted FIFO must not hang us

DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY
READ: Final = os.O_RDONLY | NO_LINK | _NO_WAIT
READ_THROUGH_LINKS: Final = os.O_RDONLY | _NO_WAIT
UPDATE: Final = os.O_RDWR | NO_LINK | _NO_WAIT
UPDATE_OR_CREATE: Final = UPDATE | os.O_CREAT
CREATE: Final = UPDATE | os.O_CREAT | os.O_EXCL
"""How a file is opened. Links are not followed, and nothing but a regular file is waited for."""

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


def is_regular(found: os.stat_result) -> bool:
    return stat.S_ISREG(found.st_mode)


def is_directory(found: os.stat_result) -> bool:
    return stat.S_ISDIR(found.st_mode)


def is_link(found: os.stat_result) -> bool:
    return stat.S_ISLNK(found.st_mode)


def is_own_file(found: os.stat_result) -> bool:
    """Whether it is a regular file of this user's."""
    return is_regular(found) and found.st_uid == os.geteuid()


def is_same_file(one: os.stat_result, other: os.stat_result) -> bool:
    return identity_of(one) == identity_of(other)


def identity_of(found: os.stat_result) -> tuple[int, int]:
    """Device and inode."""
    return found.st_dev, found.st_ino


def permissions(found: os.stat_result) -> int:
    """The permission bits that a file passes on to its successor."""
    return found.st_mode & 0o777


def allocated(found: os.stat_result) -> int:
    """Bytes that the file has on the disk."""
    return found.st_blocks * 512


def is_planted(directory: os.stat_result, link: os.stat_result) -> bool:
    """Whether it is another user's link in a sticky directory that everybody may write to, such as /tmp.

    Source: fs.protected_symlinks, proc_sys_fs(5). The kernel checks it when it follows a link.
    """
    is_shared = directory.st_mode & stat.S_ISVTX and directory.st_mode & stat.S_IWOTH
    return bool(is_shared) and link.st_uid not in (os.geteuid(), directory.st_uid)


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
    descriptor = storage.open(path, READ)
    try:
        storage.fsync(descriptor)
    finally:
        storage.close(descriptor)


def sync_directory(storage: Storage, directory: Path) -> None:
    """Sync the names in a directory to the disk, where the file system supports it."""
    try:
        descriptor = storage.open(directory, DIRECTORY)
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
