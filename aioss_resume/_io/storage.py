"""The file system calls that downloads need, and all that differs between systems.

Every effect on files goes through a Storage, with one method for each system call. A test double can record the calls
and compute what a power cut would leave (tests/crash_model), or let any call fail.

No other module knows which system it runs on. That is why this one has more than 300 lines.
"""

import errno
import os
import shutil
import signal
import stat
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from io import FileIO
from pathlib import Path
from threading import Lock
from typing import Final

from aioss_resume._core import paths, windows_names
from aioss_resume.errors import IN_USE

StrPath = str | os.PathLike[str]
Identity = tuple[int, int]
"""Device and inode of a file."""

NO_LINK: Final = getattr(os, "O_NOFOLLOW", 1 << 30)  # where the system does not know it, PortableStorage does
_NO_WAIT: Final = getattr(os, "O_NONBLOCK", 0)  # a planted FIFO must not hang us
_BYTES: Final = getattr(os, "O_BINARY", 0)  # Windows would change line ends

DIRECTORY: Final = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0)
READ: Final = os.O_RDONLY | NO_LINK | _NO_WAIT
READ_THROUGH_LINKS: Final = os.O_RDONLY | _NO_WAIT
UPDATE: Final = os.O_RDWR | NO_LINK | _NO_WAIT
UPDATE_OR_CREATE: Final = UPDATE | os.O_CREAT
CREATE: Final = UPDATE | os.O_CREAT | os.O_EXCL
"""How a file is opened. Links are not followed, and nothing but a regular file is waited for."""

_NAME_SURROGATE: Final = 0x2000_0000  # a bit of reparse tags: links have it, placeholders of cloud files have not
_CANNOT_SYNC: Final = frozenset({errno.EINVAL, errno.ENOTSUP, errno.EBADF})
_CANNOT_CHMOD: Final = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS})
_CANNOT_LOOK: Final = frozenset({errno.EACCES, errno.EPERM})
_ENVIRONMENT: Final = "AIOSS_RESUME_STORAGE"


class Storage:
    """The file system of a POSIX system. All methods block, and may be called by several threads at once.

    Each method raises OSError like the system call that it is named after.

    Attributes:
        syncs_directories: Whether a directory must be synced before the names in it are on the disk.
        removes_open_files: Whether a file can be removed or replaced while it is open.
        opens_below: Whether a file can be opened relative to a directory's descriptor.
        has_windows_names: Whether the rules for file names on Windows apply, such as those for devices and streams.
    """

    __slots__ = ()

    syncs_directories: bool = True
    removes_open_files: bool = True
    opens_below: bool = True
    has_windows_names: bool = False

    def open(self, path: StrPath, flags: int, mode: int = 0o600) -> int:
        """Open a file. Child processes do not inherit the descriptor (PEP 446)."""
        return os.open(path, flags, mode)

    def close(self, descriptor: int) -> None:
        os.close(descriptor)

    def write_at(self, descriptor: int, buffers: Sequence[memoryview], offset: int) -> int:
        """Write bytes at an offset. Returns how many were written, which may be fewer."""
        return os.pwritev(descriptor, buffers, offset)

    def read_at(self, descriptor: int, buffer: memoryview, offset: int) -> int:
        """Read bytes at an offset into a buffer. Returns how many were read; 0 at the end of the file."""
        return os.preadv(descriptor, [buffer], offset)

    def ftruncate(self, descriptor: int, size: int) -> None:
        os.ftruncate(descriptor, size)

    def fchmod(self, descriptor: int, mode: int) -> None:
        os.fchmod(descriptor, mode)

    def fchgrp(self, descriptor: int, group: int) -> None:
        os.fchown(descriptor, -1, group)

    def fsync(self, descriptor: int) -> None:
        """Sync the bytes and size of a file, or the names in a directory, to the disk."""
        os.fsync(descriptor)

    def lock(self, descriptor: int) -> bool:
        """Lock a file without waiting. Returns False if the lock is taken."""
        from filelock import lock_descriptor  # here, in a thread: it takes 8 ms to import

        return lock_descriptor(descriptor, blocking=False)

    def room(self, descriptor: int) -> int | None:
        """Free bytes on the disk of that file; None if unknown."""
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


class MacStorage(Storage):
    """The file system of macOS, whose fsync() leaves bytes in the disk's own cache.

    Source: fsync(2) of macOS on F_FULLFSYNC.
    """

    __slots__ = ()

    def fsync(self, descriptor: int) -> None:
        import fcntl

        full_sync = getattr(fcntl, "F_FULLFSYNC", None)
        if full_sync is None:
            super().fsync(descriptor)
            return
        try:
            fcntl.fcntl(descriptor, full_sync)
        except OSError as error:
            if error.errno not in (errno.ENOTSUP, errno.EINVAL, errno.ENOTTY):
                raise
            super().fsync(descriptor)  # a network file system


class PortableStorage(Storage):
    """A file system that only uses calls which exist on every system. Used on Windows.

    - Directories are not synced. NTFS writes names to a journal in order: a power cut loses the last ones, but never
      keeps a later one without an earlier one. So a rename never survives without the bytes that were synced before it,
      and a checkpoint never disappears before its part file was renamed.
    - If another program has a file open, so that it cannot be replaced or removed, that is tried again for a while.
      Source: errors 5 and 32 of MoveFileExW, caused by virus scanners and indexers.
    - Links are detected before a file is opened, and replaced files after that.
    """

    __slots__ = ("_opened",)

    syncs_directories = False
    removes_open_files = sys.platform != "win32"
    opens_below = False

    def __init__(self) -> None:
        self._opened: dict[int, tuple[str, Lock]] = {}
        # By descriptor: its path, and what guards its position.

    def open(self, path: StrPath, flags: int, mode: int = 0o600) -> int:
        before = None
        if flags & NO_LINK and not flags & os.O_EXCL:  # O_EXCL follows no link
            with suppress(FileNotFoundError):
                before = self.stat(path, follow_symlinks=False)
            if before is not None and is_link(before):
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), os.fspath(path))
        descriptor = os.open(path, flags & ~NO_LINK | _BYTES, mode)
        self._opened[descriptor] = (os.fspath(path), Lock())
        try:
            if flags & NO_LINK and not flags & os.O_EXCL:
                self._check_is(path, before, descriptor)
        except OSError:
            self.close(descriptor)
            raise
        return descriptor

    def _check_is(self, path: StrPath, before: os.stat_result | None, descriptor: int) -> None:
        now = before or self.stat(path, follow_symlinks=False)  # not there before: open() has made it
        if is_link(now) or not is_same_file(now, os.fstat(descriptor)):
            raise OSError(errno.ELOOP, "it was replaced while it was opened", os.fspath(path))

    def close(self, descriptor: int) -> None:
        del self._opened[descriptor]
        os.close(descriptor)

    def write_at(self, descriptor: int, buffers: Sequence[memoryview], offset: int) -> int:
        taken = 0
        with self._opened[descriptor][1]:
            os.lseek(descriptor, offset, os.SEEK_SET)
            for buffer in buffers:
                written = os.write(descriptor, buffer)
                taken += written
                if written < len(buffer):
                    break
        return taken

    def read_at(self, descriptor: int, buffer: memoryview, offset: int) -> int:
        with self._opened[descriptor][1], FileIO(descriptor, "r", closefd=False) as file:
            file.seek(offset)
            return file.readinto(buffer)

    def ftruncate(self, descriptor: int, size: int) -> None:
        if sys.platform == "win32":
            _make_sparse(descriptor)
        os.ftruncate(descriptor, size)

    def fchmod(self, descriptor: int, mode: int) -> None:
        if hasattr(os, "fchmod"):  # on Windows from Python 3.13 on, where only "may be written to" counts
            os.fchmod(descriptor, mode)

    def fchgrp(self, descriptor: int, group: int) -> None:
        if hasattr(os, "fchown"):
            os.fchown(descriptor, -1, group)

    def room(self, descriptor: int) -> int | None:
        directory = os.path.dirname(self._opened[descriptor][0]) or os.curdir  # noqa: PTH120
        return shutil.disk_usage(directory).free or None

    def replace(self, path: StrPath, becomes: StrPath) -> None:
        _despite_others(lambda: os.replace(path, becomes), _REPLACE_WAITS)  # noqa: PTH105

    def unlink(self, path: StrPath) -> None:
        _despite_others(lambda: os.unlink(path), _UNLINK_WAITS)  # noqa: PTH108


class WindowsStorage(PortableStorage):
    """The file system of Windows; on other systems, PortableStorage with Windows' rules for names."""

    __slots__ = ()

    has_windows_names = True


_REPLACE_WAITS: Final = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28)
_UNLINK_WAITS: Final = _REPLACE_WAITS[:5]
"""Seconds between the attempts to replace or remove a file that another program has open."""


def _despite_others(call: Callable[[], None], waits: Iterable[float]) -> None:
    for wait in waits:
        try:
            return call()
        except PermissionError as error:
            if getattr(error, "winerror", None) not in IN_USE:
                raise
        time.sleep(wait)  # in a thread
    return call()


if sys.platform == "win32":

    def _make_sparse(descriptor: int) -> None:
        """Make the file sparse, if the file system supports that.

        Source: FSCTL_SET_SPARSE of Windows' file system control codes.
        """
        import ctypes
        import msvcrt

        ctypes.windll.kernel32.DeviceIoControl(
            ctypes.c_void_p(msvcrt.get_osfhandle(descriptor)),
            0x000900C4,
            None,
            0,
            None,
            0,
            ctypes.byref(ctypes.c_ulong()),
            None,
        )


def storage_named(name: str) -> Storage:
    """The storage "posix", "macos", "portable" or "windows"."""
    kinds: dict[str, type[Storage]] = {
        "posix": Storage,
        "macos": MacStorage,
        "portable": PortableStorage,
        "windows": WindowsStorage,
    }
    if name not in kinds:
        raise ValueError(f"{_ENVIRONMENT} must be one of {', '.join(kinds)}, not {name!r}")
    return kinds[name]()


def _of_this_system() -> str:
    if sys.platform == "win32":
        return "windows"
    if not hasattr(os, "pwritev"):
        return "portable"
    return "macos" if sys.platform == "darwin" else "posix"


STORAGE: Final = storage_named(os.environ.get(_ENVIRONMENT) or _of_this_system())
END_SIGNALS: Final = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, name)
)
"""What ends a command: SIGHUP is sent when a terminal is closed, SIGBREAK by Ctrl-Break on Windows."""


def home_directory() -> Path | None:
    """The home directory; None if it is unknown, as for a user without an entry in /etc/passwd in a container."""
    try:
        return Path.home()
    except RuntimeError:
        return None


def is_regular(found: os.stat_result) -> bool:
    return stat.S_ISREG(found.st_mode)


def is_directory(found: os.stat_result) -> bool:
    return stat.S_ISDIR(found.st_mode)


def is_link(found: os.stat_result) -> bool:
    """Whether it is a symbolic link, or a junction on Windows."""
    return stat.S_ISLNK(found.st_mode) or bool(getattr(found, "st_reparse_tag", 0) & _NAME_SURROGATE)


def is_own_file(found: os.stat_result) -> bool:
    """Whether it is a regular file that belongs to this user, as far as the system tells."""
    return is_regular(found) and (_user() is None or found.st_uid == _user())


def is_own_or_mapped_file(storage: Storage, found: os.stat_result, probe: StrPath) -> bool:
    """Like is_own_file(), also where the file system chooses the owner of each file.

    NFS with root_squash, SMB and many FUSE file systems show another owner for a file as soon as it was created.

    Args:
        probe: The path of a file in the same directory, which is created and removed if the owner is another user.
    """
    if is_own_file(found):
        return True
    try:
        return is_regular(found) and state_of_new_file(storage, probe).st_uid == found.st_uid
    except OSError:
        return False


def probe_of(part: StrPath) -> str:
    """The path of the file beside a part file that is created to find the owner and mode of new files."""
    return f"{os.fspath(part)}.mode"


def state_of_new_file(storage: Storage, probe: StrPath) -> os.stat_result:
    """Create a file with the mode 0666 minus the umask, and remove it. Returns its owner and mode, among others.

    Reading the umask itself would change it for all threads.

    Raises:
        OSError: The file cannot be created.
    """
    remove(storage, probe)  # left by a killed run, or planted: a FIFO would hang, and a file would have another mode
    descriptor = storage.open(probe, CREATE, 0o666)
    try:
        return storage.fstat(descriptor)
    finally:
        with suppress(OSError):  # nothing was written
            storage.close(descriptor)
        with suppress(OSError):
            storage.unlink(probe)


def set_mode(storage: Storage, descriptor: int, mode: int) -> None:
    """Set the permission bits of an open file.

    Some file systems, such as SMB and FUSE ones, have modes of their own and refuse this. That is not an error if
    nobody gets more permissions than wanted.
    """
    try:
        storage.fchmod(descriptor, mode)
    except OSError as error:
        if error.errno not in _CANNOT_CHMOD or permissions(storage.fstat(descriptor)) & ~mode:
            raise


def is_same_file(one: os.stat_result, other: os.stat_result) -> bool:
    return identity_of(one) == identity_of(other)


def identity_of(found: os.stat_result) -> Identity:
    return found.st_dev, found.st_ino


def lasting_identity_of(storage: Storage, path: StrPath, found: os.stat_result) -> Identity | None:
    """The identity of an open file, or None if its file system has no inodes that last.

    Some network and FUSE file systems say 0, or make up another number for each lookup.
    """
    by_name = storage.stat(path, follow_symlinks=False)
    return identity_of(found) if found.st_ino and is_same_file(by_name, found) else None


def is_file_of(identity: Identity | None, found: os.stat_result) -> bool:
    """Whether a file has that identity, as far as the file system tells."""
    return identity is None or identity_of(found) == identity


def permissions(found: os.stat_result) -> int:
    """The permission bits that a file passes on to its successor."""
    return found.st_mode & 0o777


def allocated(found: os.stat_result) -> int:
    """Bytes that the file occupies on the disk; its size if the system does not tell."""
    blocks: int | None = getattr(found, "st_blocks", None)
    return found.st_size if blocks is None else blocks * 512


def is_planted(directory: os.stat_result, link: os.stat_result) -> bool:
    """Whether it is another user's link in a world-writable sticky directory, such as /tmp.

    Source: fs.protected_symlinks, proc_sys_fs(5). The kernel checks it when it follows a link.
    """
    is_shared = directory.st_mode & stat.S_ISVTX and directory.st_mode & stat.S_IWOTH
    return bool(is_shared) and link.st_uid not in (_user(), directory.st_uid)


def _user() -> int | None:
    return os.geteuid() if hasattr(os, "geteuid") else None


def is_too_long(storage: Storage, name: str) -> bool:
    """Whether a name is too long for a file."""
    if storage.has_windows_names:
        return windows_names.units(name) > windows_names.NAME_MOST
    return len(os.fsencode(name)) > paths.NAME_MOST


def exists(storage: Storage, path: StrPath, *, follow_symlinks: bool = True) -> bool:
    """Whether the path exists. Raises OSError if that cannot be determined."""
    try:
        storage.stat(path, follow_symlinks=follow_symlinks)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            return False
        raise
    return True


def remove(storage: Storage, path: StrPath) -> None:
    """Remove a file, if it exists."""
    with suppress(FileNotFoundError):
        storage.unlink(path)


def read_start(storage: Storage, descriptor: int, most: int) -> bytes:
    """Read the first bytes of a file, at most `most`."""
    buffer, length = memoryview(bytearray(most)), 0
    while length < most and (taken := storage.read_at(descriptor, buffer[length:], length)):
        length += taken
    return bytes(buffer[:length])


def make_missing(storage: Storage, directory: Path, mode: int = 0o777, *, fsync: bool) -> list[Path]:
    """Create a directory and its missing parents. Returns the created ones, deepest first.

    Args:
        mode: Permission bits of the deepest one, minus the umask.
        fsync: Whether their names must be on the disk before this returns. If a directory's name is lost, so are the
            files in it, and a later run that finds the directory cannot know that its name is not on the disk.
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
    """Remove the directories that make_missing() created, if they are still empty."""
    for directory in directories:
        with suppress(OSError):
            storage.rmdir(directory)


def sync_file(storage: Storage, path: Path) -> None:
    """Sync the bytes of a file to the disk. For its name see sync_directory()."""
    # Windows syncs a file only through a descriptor that may write; elsewhere the file may be read-only.
    descriptor = storage.open(path, READ if storage.syncs_directories else UPDATE)
    try:
        storage.fsync(descriptor)
    finally:
        storage.close(descriptor)


def sync_directory(storage: Storage, directory: Path) -> None:
    """Sync the names in a directory to the disk, if the file system supports and needs it."""
    if not storage.syncs_directories:
        return
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
