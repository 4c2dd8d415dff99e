"""The checkpoint's file, written so that a crash cannot tear it."""

import asyncio
import errno
import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from aioss_resume._core.checkpoint import MOST_BYTES, Checkpoint, TooNew, Unusable, decode, encode
from aioss_resume._core.retry import SCARCE
from aioss_resume._io.storage import (
    CREATE,
    READ,
    STORAGE,
    Storage,
    StrPath,
    exists,
    is_own_or_mapped_file,
    is_regular,
    make_missing,
    read_start,
    remove,
)
from aioss_resume._io.threads import Threads
from aioss_resume._io.write import written_parts
from aioss_resume.errors import ObjectName, local_file_error

_NEW: Final = ".new"  # suffix of the temporary file, until it is complete


class CheckpointFile:
    """The checkpoint file of one download.

    An asyncio lock guards the file, so that flushes do not overtake each other.
    """

    def __init__(
        self, path: StrPath, name: ObjectName, threads: Threads, storage: Storage = STORAGE, *, fsync: bool
    ) -> None:
        self.path = os.fspath(path)
        self._name = name
        self._threads = threads
        self._storage = storage
        self._fsync = fsync
        self._flushing = asyncio.Lock()

    def load(self) -> Checkpoint | None:
        """Read the checkpoint that an earlier run left; None if there is none. Blocks; call it in a thread.

        Raises:
            Unusable: The checkpoint cannot be used.
            LocalFileError: A newer release wrote the checkpoint, and can resume from it.
        """
        data = _read(self._storage, self.path)
        try:
            return None if data is None else decode(data)
        except TooNew as reason:
            hint = f"{reason}: use the release that wrote it, or remove it to start from zero"
        raise local_file_error("go on from the checkpoint", errno.ENOTSUP, self.path, name=self._name, hint=hint)

    def remove_now(self) -> None:
        """Remove the file, if it exists. Blocks; call it in a thread."""
        _remove(self._storage, self.path)

    async def flush(self, checkpoint: Checkpoint) -> None:
        """Replace the file atomically.

        Raises:
            LocalFileError: The disk is full, or permission is denied.
        """
        async with self._flushing:
            try:
                await self._threads.run_uncancelled(
                    _replace, self._storage, self.path, encode(checkpoint), fsync=self._fsync
                )
            except OSError as error:
                raise local_file_error("flush the checkpoint", error, self.path, name=self._name) from None

    async def remove(self, part: Path | None = None) -> None:
        """Remove it if it exists, and first the part file that it belongs to.

        Both go in one thread call, which cancellation cannot split, and in that order: a checkpoint without its part
        file is found and removed by the next run, a part file without its checkpoint by nobody. Raises:
        LocalFileError: It is there still.
        """
        async with self._flushing:
            try:
                await self._threads.run_uncancelled(_remove, self._storage, self.path, part)
            except OSError as error:
                raise local_file_error("remove the checkpoint", error, self.path, name=self._name) from None


def _read(storage: Storage, path: str) -> bytes | None:
    try:
        descriptor = storage.open(path, READ)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno in SCARCE:
            raise
        reason = f"it cannot be opened ({error.strerror})"
        raise Unusable(reason) from None
    try:
        found = storage.fstat(descriptor)
        if not is_regular(found):
            raise Unusable("it is no regular file")
        if not is_own_or_mapped_file(storage, found, path + _NEW):
            raise Unusable("it belongs to another user")
        return read_start(storage, descriptor, min(found.st_size, MOST_BYTES) + 1)
    finally:
        with suppress(OSError):  # nothing was written
            storage.close(descriptor)


def _replace(storage: Storage, path: str, data: bytes, *, fsync: bool) -> None:
    temporary = path + _NEW
    directory = Path(path).parent
    if not exists(storage, directory):
        make_missing(storage, directory, 0o700, fsync=False)
    remove(storage, temporary)  # left by a killed run
    # Where locks do nothing, another process may flush at the same time and rename the temporary file first. Its
    # checkpoint is as good as ours: it has the same name, and its spans are verified before they are used.
    try:
        descriptor = storage.open(temporary, CREATE)
    except FileExistsError:
        return
    try:
        try:
            for _ in written_parts(storage, descriptor, [data], 0):
                pass
            if fsync:
                # Not needed for correctness, since a torn checkpoint is recognized. But it would have replaced a
                # complete one, and everything would be fetched again. The directory need not be synced: if the old
                # checkpoint comes back, it is still usable.
                storage.fsync(descriptor)
        finally:
            storage.close(descriptor)
        with suppress(FileNotFoundError):
            storage.replace(temporary, path)
    except OSError:
        with suppress(OSError):  # the first error counts
            remove(storage, temporary)
        raise


def _remove(storage: Storage, path: str, part: Path | None = None) -> None:
    if part is not None:
        remove(storage, part)
    remove(storage, path)
    remove(storage, path + _NEW)
