"""The destination: whether it can be one, and the finished file gets its name."""

import errno
import os
from contextlib import suppress
from pathlib import Path

from aioss_resume._core.paths import NAME_MOST


def prepare(destination: Path) -> list[Path]:
    """Make the parents that are missing, and return them, the deepest first.

    Raises:
        OSError: The destination cannot be a file.
    """
    if len(os.fsencode(destination.name)) > NAME_MOST:
        raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG), str(destination))
    if destination.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(destination))
    if destination.exists() and not destination.is_file():
        raise OSError(errno.EINVAL, "it is no regular file", str(destination))
    parent = destination.parent
    missing = []
    while not parent.exists():
        missing.append(parent)
        parent = parent.parent
    for directory in reversed(missing):
        directory.mkdir(exist_ok=True)
    if not os.access(destination.parent, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(destination.parent))
    return missing


def remove_made(directories: list[Path]) -> None:
    """Remove the directories that prepare() made, those that are still empty."""
    for directory in directories:
        with suppress(OSError):
            directory.rmdir()


def commit(
    part: Path, identity: tuple[int, int], size: int, destination: Path, checkpoint: Path | None, *, fsync: bool
) -> None:
    """Give the part file its name. The old destination stays until then, and there is always one or the other.

    Args:
        identity: Device and inode of the file that was written.
        size: Bytes that it must have.
        checkpoint: Removed when all is done: until then a crash finds what it needs to go on.
        fsync: The file is on the disk before it gets its name, and the name before this returns.

    Raises:
        OSError: FileNotFoundError among them, when the part file is gone or another one.
    """
    descriptor = os.open(part, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        found = os.fstat(descriptor)
        if (found.st_dev, found.st_ino) != identity or found.st_size != size:
            raise FileNotFoundError(errno.ENOENT, "the part file was changed by someone else", str(part))
        os.fchmod(descriptor, _mode_of_new_files(part))
        if fsync:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
    part.replace(destination)
    if fsync:
        sync_directory(destination.parent)
    if checkpoint is not None:
        checkpoint.unlink(missing_ok=True)


def sync_directory(directory: Path) -> None:
    """Have the names in a directory on the disk; file systems that cannot are left to their own promises."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):
            raise
    finally:
        os.close(descriptor)


def _mode_of_new_files(beside: Path) -> int:
    """0666 less the umask. Reading the umask means setting it, for all threads: so a file is made and looked at."""
    probe = beside.with_name(beside.name + ".mode")
    descriptor = os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
    try:
        return os.fstat(descriptor).st_mode & 0o777
    finally:
        os.close(descriptor)
        with suppress(OSError):
            probe.unlink()
