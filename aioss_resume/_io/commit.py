"""The destination: whether it can be one, and the finished file gets its name."""

import errno
import os
import stat
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from aioss_resume._core.paths import NAME_MOST
from aioss_resume._io.write import written_parts


class Place(NamedTuple):
    """A destination that can be one: the directories made for it, the deepest first, and whether it exists."""

    made: list[Path]
    exists: bool


def prepare(destination: Path) -> Place:
    """See that the destination can be a file, and make the parents that are missing.

    Raises:
        OSError: It cannot be one.
    """
    # Strings rather than Paths, and as few calls as will do: with small objects this is what a download costs.
    path, parent = str(destination), str(destination.parent)
    if len(os.fsencode(destination.name)) > NAME_MOST:
        raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG), path)
    exists = _is_replaceable(path)
    made = []
    if not os.access(parent, os.W_OK | os.X_OK):
        made = _make_missing(destination.parent)
        if not os.access(parent, os.W_OK | os.X_OK):
            remove_made(made)
            number = errno.EACCES if destination.parent.is_dir() else errno.ENOTDIR
            raise OSError(number, os.strerror(number), parent)
    return Place(made, exists)


def _is_replaceable(path: str) -> bool:
    """Whether there is something that a rename may replace: a file, or a link to one or to nothing."""
    try:
        mode = os.lstat(path).st_mode
        if stat.S_ISLNK(mode):
            mode = Path(path).stat().st_mode if Path(path).exists() else stat.S_IFREG
    except (FileNotFoundError, NotADirectoryError):
        return False
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "it is no regular file", path)
    return True


def _make_missing(directory: Path) -> list[Path]:
    missing = []
    while not directory.exists():
        missing.append(directory)
        directory = directory.parent
    try:
        for each in reversed(missing):
            each.mkdir(exist_ok=True)
    except OSError:
        remove_made(missing)
        raise
    return missing


def remove_made(directories: list[Path]) -> None:
    """Remove the directories that prepare() made, those that are still empty."""
    for directory in directories:
        with suppress(OSError):
            directory.rmdir()


def commit(
    part: Path,
    identity: tuple[int, int],
    size: int,
    destination: Path,
    *,
    fsync: bool,
    and_then: Callable[[], None],
) -> None:
    """Give the part file its name. The old destination stays until then, and there is always one or the other.

    Args:
        identity: Device and inode of the file that was written.
        size: Bytes that it must have.
        fsync: The file is on the disk before it gets its name, and the name before this returns.
        and_then: Called when all is done: a crash until then finds what it needs to go on.

    Raises:
        OSError: FileNotFoundError among them, when the part file is gone or another one.
    """
    descriptor = os.open(part, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        _check_is(os.fstat(descriptor), identity, size, part)
        os.fchmod(descriptor, _mode_of_new_files(part))
        if fsync:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
    _check_is(part.lstat(), identity, size, part)  # once more: the fsync may have taken its time
    part.replace(destination)
    if fsync:
        sync_directory(destination.parent)
    and_then()


def _check_is(found: os.stat_result, identity: tuple[int, int], size: int, part: Path) -> None:
    if (found.st_dev, found.st_ino) != identity or found.st_size != size:
        raise FileNotFoundError(errno.ENOENT, "the part file was changed by someone else", str(part))


def publish_whole(
    part: Path, chunks: Sequence[bytes], destination: Path, *, fsync: bool, and_then: Callable[[], None]
) -> None:
    """Write a small file and give it its name at once; as commit(), in one go.

    Args:
        part: A name that nobody else has: where locks do nothing, another's file of that name might be published.

    Raises:
        OSError: Nothing of it is left then, and the old destination is as it was.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    path = str(part)
    descriptor = os.open(path, flags, 0o666)
    try:
        try:
            for _ in written_parts(descriptor, chunks, 0):
                pass
            if fsync:
                os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.replace(path, destination)  # noqa: PTH105  # half the price of Path.replace()
    except OSError:
        part.unlink(missing_ok=True)
        raise
    if fsync:
        sync_directory(destination.parent)
    and_then()


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
    with suppress(FileNotFoundError):
        probe.unlink()  # of a run that was killed here, or planted: a FIFO would hang us, a file lend us its mode
    descriptor = os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
    try:
        return os.fstat(descriptor).st_mode & 0o777
    finally:
        os.close(descriptor)
        with suppress(OSError):
            probe.unlink()
