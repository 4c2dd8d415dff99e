"""Preparing the destination, and renaming the finished file to it."""

import errno
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from aioss_resume._io.resolve import check_destination
from aioss_resume._io.storage import (
    CREATE,
    STORAGE,
    UPDATE,
    Identity,
    Storage,
    StrPath,
    is_directory,
    is_file_of,
    is_regular,
    is_too_long,
    make_missing,
    permissions,
    probe_of,
    remove,
    remove_made,
    set_mode,
    state_of_new_file,
    sync_directory,
)
from aioss_resume._io.write import written_parts


class Prepared(NamedTuple):
    """A usable destination: the directories created for it, the deepest first, and whether it exists."""

    made: list[Path]
    exists: bool


def prepare(destination: Path, storage: Storage = STORAGE, *, fsync: bool) -> Prepared:
    """Check that the destination can be a file, and create missing parents.

    Args:
        fsync: Whether the names of created parents must be on the disk before this returns.

    Raises:
        OSError: The destination cannot be a file.
    """
    # Strings rather than Paths, and as few system calls as possible: they dominate the cost of small objects.
    path, parent = str(destination), str(destination.parent)
    if is_too_long(storage, destination.name):
        raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG), path)
    is_there = check_destination(storage, path)
    made = []
    if not storage.access(parent, os.W_OK | os.X_OK):
        made = make_missing(storage, destination.parent, fsync=fsync)
        if not storage.access(parent, os.W_OK | os.X_OK):
            remove_made(storage, made)
            number = errno.EACCES if is_directory(storage.stat(parent)) else errno.ENOTDIR
            raise OSError(number, os.strerror(number), parent)
    return Prepared(made, is_there)


def commit(
    part: Path,
    identity: Identity | None,
    size: int,
    destination: Path,
    storage: Storage = STORAGE,
    *,
    fsync: bool,
    and_then: Callable[[os.stat_result], None],
) -> None:
    """Rename the part file to the destination. The old file stays until then.

    Args:
        identity: Device and inode of the written file; None if the file system has no inodes that last.
        size: The size that it must have.
        fsync: Whether the file must be on the disk before the rename, and the new name before this returns.
        and_then: Called with the file at the end. If the process crashes before, the next run can still resume.

    Raises:
        OSError: The rename failed; FileNotFoundError if the part file is missing or was replaced.
    """
    # Every step is needed: tests/crash_model finds what a power cut leaves if one is removed.
    descriptor = storage.open(part, UPDATE)
    is_lost = False
    try:
        _check_is(storage.fstat(descriptor), identity, size, part)
        replaced = _replaced(storage, destination)
        if replaced is None:
            set_mode(storage, descriptor, permissions(state_of_new_file(storage, probe_of(part))))
        else:
            remove(storage, probe_of(part))  # an earlier run may have failed to
            _take_permissions(storage, descriptor, replaced)
        if fsync:
            # Before the rename: names and bytes reach the disk in any order, and the name might come without the bytes.
            is_lost = True
            storage.fsync(descriptor)
            is_lost = False
    finally:
        _close_or_forget(storage, descriptor, part, is_lost=is_lost)
    # Once more, because the fsync may have taken long.
    committed = storage.stat(part, follow_symlinks=False)
    _check_is(committed, identity, size, part)
    storage.replace(part, destination)
    if fsync:
        # Before the checkpoint is removed: otherwise its removal might reach the disk without the rename.
        sync_directory(storage, destination.parent)
    and_then(committed)


def _close_or_forget(storage: Storage, descriptor: int, part: Path, *, is_lost: bool) -> None:
    """Close the part file, and remove it if it could not be synced.

    The kernel reports a failed write only once, and keeps the bytes in memory as if they were written: the next run
    would prove them there, its fsync would succeed, and the file on the disk would be a different one.

    Source: https://wiki.postgresql.org/wiki/Fsync_Errors
    """
    try:
        storage.close(descriptor)
    finally:
        if is_lost:
            with suppress(OSError):
                storage.unlink(part)


def changed_part_error(part: StrPath) -> FileNotFoundError:
    """The error for a part file that is not the one that this download has written."""
    return FileNotFoundError(errno.ENOENT, "the part file was changed by someone else", os.fspath(part))


def _check_is(found: os.stat_result, identity: Identity | None, size: int, part: Path) -> None:
    if not is_file_of(identity, found) or found.st_size != size:
        raise changed_part_error(part)


def publish_whole(
    part: StrPath,
    body: bytearray,
    destination: StrPath,
    storage: Storage = STORAGE,
    *,
    fsync: bool,
    and_then: Callable[[os.stat_result], None],
) -> None:
    """Write a small file and rename it to the destination, as commit() does.

    Args:
        part: A unique name. Otherwise, where locks do not work, another process's file might be published.

    Raises:
        OSError: Nothing was left, and the old destination is unchanged.
    """
    replaced = _replaced(storage, destination)
    mode = 0o666 if replaced is None else 0o600  # users who could not read the old file must not read these bytes
    descriptor = storage.open(part, CREATE, mode)
    try:
        try:
            if replaced is not None:
                _take_permissions(storage, descriptor, replaced)
            for _ in written_parts(storage, descriptor, [body], 0):
                pass
            if fsync:
                storage.fsync(descriptor)  # before the rename, as in commit()
            committed = storage.fstat(descriptor)
        finally:
            storage.close(descriptor)
        storage.replace(part, destination)
    except OSError:
        with suppress(OSError):  # the first error counts
            remove(storage, part)
        raise
    if fsync:
        sync_directory(storage, Path(destination).parent)
    and_then(committed)


def _replaced(storage: Storage, destination: StrPath) -> os.stat_result | None:
    """The file that the rename will replace, or None."""
    try:
        found = storage.stat(destination, follow_symlinks=False)
    except FileNotFoundError:
        return None
    return found if is_regular(found) else None


def _take_permissions(storage: Storage, descriptor: int, replaced: os.stat_result) -> None:
    """Copy the permission bits, and if permitted the group, of the file that is replaced.

    If the group cannot be copied, the new group only gets the permissions of everybody.
    """
    mode = permissions(replaced)
    if storage.fstat(descriptor).st_gid != replaced.st_gid:
        try:
            storage.fchgrp(descriptor, replaced.st_gid)
        except OSError:
            mode &= ~0o070 | (mode & 0o007) << 3
    set_mode(storage, descriptor, mode)
