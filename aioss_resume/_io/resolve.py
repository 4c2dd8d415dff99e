"""Resolution of a destination: symbolic links are followed, and /dev and /proc are refused.

All functions block, so they run in threads.
"""

import errno
import os
from functools import lru_cache
from typing import Final

from aioss_resume._io.storage import Storage, is_directory, is_link, is_planted, is_regular

NOT_REGULAR: Final = errno.EINVAL
"""The errno for a destination that is a FIFO, a device, or anything else but a regular file."""

_LINKS_MOST: Final = 40  # Linux's own limit for one path

_SYSTEM_DIRECTORIES: Final = ("/dev", "/proc")
_ALLOWED: Final = "/dev/shm"  # noqa: S108  # a file system for anybody's files, in memory


class LeadsElsewhere(Exception):
    """The path is a symbolic link to `target`: a regular file, or a path that does not exist yet."""

    def __init__(self, target: str) -> None:
        super().__init__()
        self.target = target


def check_destination(storage: Storage, path: str) -> bool:
    """Whether a regular file exists at the path. Anything else that exists there is refused.

    Args:
        path: An absolute path.

    Raises:
        LeadsElsewhere: The path is a link.
        OSError: The path is not a regular file, or cannot be one.
    """
    parent = os.path.dirname(path)  # noqa: PTH120  # half the price of a Path's
    if is_system_path(path) or _is_system_directory(storage, parent):
        raise system_path_error(path)
    try:
        found = storage.stat(path, follow_symlinks=False)
    except FileNotFoundError:
        return False
    if is_link(found):
        target = follow_links(storage, path)
        check_destination(storage, target)
        raise LeadsElsewhere(target)
    if is_directory(found):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    if not is_regular(found):
        raise OSError(NOT_REGULAR, "it is not a regular file", path)
    return True


def is_system_path(path: str) -> bool:
    """Whether an absolute, normalised path is in /dev or /proc, judging by its name."""
    if path == _ALLOWED or path.startswith(f"{_ALLOWED}/"):
        return False
    return any(path == directory or path.startswith(f"{directory}/") for directory in _SYSTEM_DIRECTORIES)


def system_path_error(path: str) -> OSError:
    """The error for a destination in /dev or /proc."""
    return OSError(NOT_REGULAR, "paths in /dev and /proc are not regular files", path)


def follow_links(storage: Storage, path: str) -> str:
    """Follow symbolic links to the final path. It need not exist.

    Raises:
        OSError: ELOOP: the links form a cycle. EACCES: another user planted a link. NOT_REGULAR: the links lead through
            /dev or /proc.
    """
    for _ in range(_LINKS_MOST):
        parent, name = os.path.split(path)
        if is_system_path(path) or _is_system_directory(storage, parent):
            raise OSError(NOT_REGULAR, "it leads into /dev or /proc", path)
        try:
            found = storage.stat(path, follow_symlinks=False)
        except FileNotFoundError:
            found = None
        if found is None or not is_link(found):
            return os.path.join(os.path.realpath(parent), name)  # noqa: PTH118  # one form, however links spell it
        if is_planted(storage.stat(parent), found):
            raise OSError(errno.EACCES, "another user's link in a directory that everybody may write to", path)
        path = os.path.join(parent, storage.readlink(path))  # noqa: PTH118  # a Path would drop the dots of "a/../b"
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)


def _is_system_directory(storage: Storage, directory: str) -> bool:
    """Whether a directory is on the file systems of /dev or /proc, regardless of the links that lead there."""
    try:
        return storage.stat(directory).st_dev in _system_devices()
    except (FileNotFoundError, NotADirectoryError):  # it does not exist yet, or cannot
        return False


@lru_cache(maxsize=1)
def _system_devices() -> frozenset[int]:
    """The device numbers of /dev and /proc, if they are separate file systems."""
    found = set()
    for directory in _SYSTEM_DIRECTORIES:
        try:
            found.add(os.stat(directory).st_dev)  # noqa: PTH116
        except OSError:  # not on this system
            continue
    return frozenset(found - {os.stat("/").st_dev})  # noqa: PTH116
