"""The lock of a destination: one download at a time, among the processes of this machine and, if possible, of others.

The lock only saves work; correctness never depends on it, because Lustre, GPFS and some NFS servers grant it to
everyone. Without it, published files are still right: part files of different contents have different names, and
writing the same content at the same offsets changes nothing. One risk remains there: a second process may write damaged
bytes into the file that the first one has just published, until it detects that by the CRC-64.
"""

import errno
import os
from contextlib import suppress
from typing import Final
from weakref import WeakSet

from aioss_resume._io.storage import STORAGE, UPDATE_OR_CREATE, Storage, StrPath, exists

POLL_FIRST: Final = 0.02
POLL_MOST: Final = 0.5
"""Seconds between two tries to hold a lock: flock() cannot be awaited, and half a second is little for a download."""

_ATTEMPTS_MOST: Final = 100  # to lock a file that others remove at the same time
_NOT_HERE: Final = frozenset({errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK})


class PathLock:
    """A file that is locked during a download to a destination, and then removed. Its methods block.

    Within one process, reserving is enough and needs no system call.

    `is_held` says whether this object holds the lock.
    """

    def __init__(self, path: StrPath, storage: Storage = STORAGE) -> None:
        self._path = str(path)
        self._storage = storage
        self._descriptor = -1

    @property
    def is_held(self) -> bool:
        return self._descriptor >= 0

    def has_file(self) -> bool:
        """Whether the lock file exists, so that another process may hold the lock."""
        return exists(self._storage, self._path, follow_symlinks=False)

    def reserve(self) -> bool:
        """Reserve the lock within this process. Returns False if another download has it. Does not block."""
        return _reservations.setdefault(self._path, self) is self

    def try_lock(self) -> bool:
        """Acquire the lock if it is free. Raises OSError if the directory does not allow it."""
        was_reserved = _reservations.get(self._path) is self
        if not self.reserve():
            return False
        try:
            return self.is_held or self._try_file()
        finally:
            if not (self.is_held or was_reserved):
                self._unreserve()

    def _try_file(self) -> bool:
        storage, attempts = self._storage, 0
        while True:
            attempts += 1
            descriptor = storage.open(self._path, UPDATE_OR_CREATE)
            try:
                is_ours = self._lock(descriptor)
                # 0 links: its last holder removed it between our open() and our lock, so this file locks nothing. Some
                # file systems always say 0.
                is_there = storage.fstat(descriptor).st_nlink > 0 or attempts == _ATTEMPTS_MOST
            except OSError:
                storage.close(descriptor)
                raise
            if is_ours and is_there:
                self._descriptor = descriptor
                _held.add(self)
                return True
            storage.close(descriptor)
            if not is_ours:
                return False

    def _lock(self, descriptor: int) -> bool:
        try:
            return self._storage.lock(descriptor)
        except OSError as error:
            if error.errno not in _NOT_HERE:
                raise
            return True  # a file system without locks: see above

    def release(self) -> None:
        """Remove the file and then unlock it, so that a waiting process notices the removal and creates a new one.

        If open files cannot be removed, the order is reversed: a process that opened the file in between prevents its
        removal, and removes it itself at its end. If the lock was only reserved, this does not block.
        """
        if self.is_held:
            is_removed_first = self._storage.removes_open_files
            if not is_removed_first:
                self._close()
            with suppress(OSError):
                self._storage.unlink(self._path)
            if is_removed_first:
                self._close()
        self._unreserve()

    def _unreserve(self) -> None:
        if _reservations.get(self._path) is self:
            del _reservations[self._path]

    def _close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        _held.discard(self)
        with suppress(OSError):  # nothing was written
            self._storage.close(descriptor)


_held: Final[WeakSet[PathLock]] = WeakSet()
_reservations: Final[dict[str, PathLock]] = {}  # by the lock's path


def _close_in_child() -> None:
    """Close the descriptors in a forked child, which would otherwise hold the locks after its parent has ended."""
    _reservations.clear()
    for lock in list(_held):
        lock._close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_in_child)
