"""The checkpoint's file, written so that a crash cannot tear it."""

import asyncio
import os
import stat
from contextlib import suppress
from pathlib import Path

from aioss_resume._core.checkpoint import MOST_BYTES, Checkpoint, Unusable, decode, encode
from aioss_resume._io.threads import Threads
from aioss_resume.errors import ObjectName, local_file_error


class CheckpointFile:
    """Where one download's checkpoint is.

    The asyncio lock guards the file: flushes do not overtake each other.
    """

    def __init__(self, path: Path, name: ObjectName, threads: Threads, *, fsync: bool) -> None:
        self.path = path
        self._name = name
        self._threads = threads
        self._fsync = fsync
        self._flushing = asyncio.Lock()

    def load(self) -> Checkpoint | None:
        """The checkpoint that an earlier run left; None when there is none. For a thread: it blocks.

        Raises:
            Unusable: There is one, and it cannot be used.
        """
        data = _read(self.path)
        return None if data is None else decode(data)

    def remove_now(self) -> None:
        """Remove it, if it is there. For a thread: it blocks."""
        _remove(self.path)

    async def flush(self, checkpoint: Checkpoint) -> None:
        """Replace the file. It is there as a whole, old or new, at any time.

        Raises:
            LocalFileError: The disk is full, or does not let us.
        """
        async with self._flushing:
            try:
                await self._threads.surely(_replace, self.path, encode(checkpoint), fsync=self._fsync)
            except OSError as error:
                raise local_file_error("flush the checkpoint", error, str(self.path), name=self._name) from None

    async def remove(self) -> None:
        """Remove it, if it is there."""
        async with self._flushing:
            await self._threads.surely(_remove, self.path)


def _read(path: Path) -> bytes | None:
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # a planted FIFO must not hang us
    try:
        descriptor = os.open(path, flags)
    except FileNotFoundError:
        return None
    except OSError as error:
        reason = f"it cannot be opened ({error.strerror})"
        raise Unusable(reason) from None
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise Unusable("it is no regular file")
        if found.st_uid != os.geteuid():
            raise Unusable("it belongs to another user")
        return file.read(MOST_BYTES + 1)


def _replace(path: Path, data: bytes, *, fsync: bool) -> None:
    temporary = path.with_name(path.name + ".new")
    if not path.parent.is_dir():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with suppress(FileNotFoundError):
        temporary.unlink()  # of a run that was killed here
    descriptor = os.open(temporary, flags, 0o600)
    try:
        with os.fdopen(descriptor, "wb", buffering=0) as file:
            while data:
                data = data[file.write(data) :]
            if fsync:
                os.fsync(descriptor)
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.with_name(path.name + ".new").unlink(missing_ok=True)
