"""Reserving a destination within this process, locking it against others, and finding what already exists there.

A small object is fetched quickly and published in one step, so at first no lock file is created for it. Its destination
is only reserved within this process, and is locked if the download takes longer than LOCK_SECONDS.
"""

import asyncio
import os
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from aioss_resume._core.checkpoint import Checkpoint, Unusable
from aioss_resume._file.disk import on_disk
from aioss_resume._io.commit import prepare
from aioss_resume._io.flush import CheckpointFile
from aioss_resume._io.lock import POLL_FIRST, POLL_MOST, PathLock
from aioss_resume._io.made_directories import DirectoryUse
from aioss_resume._io.resolve import check_destination
from aioss_resume._io.storage import Storage, exists
from aioss_resume._transfer.client import Client
from aioss_resume.errors import DownloadInProgressError, ObjectName

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

LOCK_SECONDS: Final = 0.05
"""Seconds after which a download that needs no lock takes one all the same, so that other processes know of it.
Another one that begins before then would have begun at the same time."""


@dataclass(frozen=True, slots=True)
class Existing:
    """What exists when the destination is reserved or locked.

    Attributes:
        has_file: Whether a file exists at the destination.
        checkpoint: The checkpoint of an earlier run. `reason` says why it cannot be read.
        after_another: Whether another process had the lock first.
    """

    has_file: bool
    checkpoint: Checkpoint | None = None
    reason: str | None = None
    after_another: bool = False


class TakenByAnotherProcess(Exception):
    """Another process has locked the destination (`existing` is None), or has changed something there."""

    def __init__(self, existing: Existing | None) -> None:
        super().__init__()
        self.existing = existing


class DestinationLock:
    """The lock of one destination, for one download.

    Args:
        path: The absolute path of the destination, which is not a link.
        lock_path: The path of the lock file.
        checkpoint_file: The file in which an earlier run may have left a checkpoint.
        fsync: Whether created directories must be on the disk before a method returns.

    Attributes:
        is_waiting: Whether this download waits for another process that has the lock.
    """

    def __init__(
        self,
        client: Client,
        storage: Storage,
        name: ObjectName,
        path: str,
        *,
        lock_path: str,
        checkpoint_file: CheckpointFile,
        fsync: bool,
    ) -> None:
        self.is_waiting = False
        self._client = client
        self._storage = storage
        self._name = name
        self._path = path
        self._checkpoint_file = checkpoint_file
        self._fsync = fsync
        self._lock = PathLock(lock_path, storage)
        self._directory = DirectoryUse(os.path.dirname(path), storage)  # noqa: PTH120  # cheaper than a Path
        self._reserved: Existing | None = None  # what was there when the destination was only reserved
        self._lock_timer: asyncio.TimerHandle | None = None
        self._pending_lock: Callable[[], Awaitable[asyncio.CancelledError | None]] | None = None

    async def reserve(self) -> Existing | None:
        """Reserve the destination within this process. Returns what exists, or None if another download has it.

        Locks it at once if there is a checkpoint or a lock file.

        Raises:
            LeadsElsewhere: The destination is a link.
            LocalFileError: The destination cannot be a file, or a newer release wrote its checkpoint.
        """
        existing = await self._look(is_reservation=True)
        if existing is not None and not self._lock.is_held:
            self._reserved = existing
            self._lock_timer = asyncio.get_running_loop().call_later(LOCK_SECONDS, self._start_locking)
        return existing

    async def lock(self) -> None:
        """Lock a destination that was only reserved.

        Raises:
            TakenByAnotherProcess: Another process has the lock, or has changed something since.
            LocalFileError: As for reserve().
        """
        reserved, self._reserved = self._reserved, None
        if reserved is None:
            return
        self._cancel_lock_timer()
        if cancelled := await self._end_pending_lock():
            raise cancelled
        existing = await self._look()
        if existing != reserved:
            raise TakenByAnotherProcess(existing)

    async def try_lock(self) -> Existing | None:
        """Lock the destination. Returns what exists, or None if another download has it.

        Raises:
            LeadsElsewhere, LocalFileError: As for reserve().
        """
        return await self._look()

    async def wait_and_lock(self) -> Existing:
        """Wait until the lock is released, then lock the destination.

        Raises:
            LeadsElsewhere, LocalFileError: As for reserve().
        """
        self.is_waiting = True
        try:
            pause, existing = POLL_FIRST, None
            while existing is None:
                await self._client.clock.sleep(pause * (0.5 + self._client.clock.chance()))
                pause = min(pause * 1.5, POLL_MOST)
                existing = await self._look()
        finally:
            self.is_waiting = False
        return replace(existing, after_another=True)

    def taken_error(self) -> DownloadInProgressError:
        """The error if another process has the lock and this download must not wait."""
        return DownloadInProgressError(
            f"{self._name}: another process is downloading to {self._path!r}",
            name=self._name,
            hint='wait for it with on_busy="wait"',
        )

    async def release(self) -> None:
        """Release the destination, and remove created directories that were not used."""
        self._cancel_lock_timer()
        cancelled = await self._end_pending_lock()
        if self._lock.is_held or not self._directory.is_idle:
            await self._client.threads.file_thread.run_uncancelled(self._release_now)
        else:
            self._release_now()
        if cancelled:
            raise cancelled

    def release_committed(self) -> None:
        """Release the lock after the file was published. Blocks; call it in a thread."""
        self._lock.release()
        self._directory.leave(has_file=True)

    async def _look(self, *, is_reservation: bool = False) -> Existing | None:
        call = partial(self._look_now, is_reservation=is_reservation)
        return await on_disk(self._client.threads, "prepare the destination", call, self._path, self._name)

    def _look_now(self, *, is_reservation: bool) -> Existing | None:
        """Acquire the lock. Returns what exists, or None if another download has it. Blocks; call it in a thread."""
        storage = self._storage
        self._directory.enter()
        take = self._reserve_or_lock if is_reservation else self._lock.try_lock
        try:
            has_file, is_taken = check_destination(storage, self._path), take()
        except (FileNotFoundError, NotADirectoryError, PermissionError):  # a directory is missing or cannot be used
            made, has_file = prepare(Path(self._path), storage, fsync=self._fsync)
            self._directory.note_made(made)
            is_taken = take()
        if not is_taken:
            return None
        if not self._lock.is_held:
            return Existing(has_file)
        try:
            return Existing(has_file, self._checkpoint_file.load())
        except Unusable as reason:
            return Existing(has_file, reason=str(reason))

    def _reserve_or_lock(self) -> bool:
        storage = self._storage
        if self._lock.has_file() or exists(storage, self._checkpoint_file.path, follow_symlinks=False):
            return self._lock.try_lock()
        if not storage.access(os.path.dirname(self._path), os.W_OK | os.X_OK):  # noqa: PTH120  # cheaper than a Path
            raise PermissionError
        return self._lock.reserve()

    def _start_locking(self) -> None:
        """Acquire the lock after LOCK_SECONDS, so that other processes notice the download."""
        self._pending_lock = self._client.threads.file_thread.start(self._try_lock_now)

    def _try_lock_now(self) -> None:
        with suppress(OSError):  # a small object needs no lock
            self._lock.try_lock()

    def _cancel_lock_timer(self) -> None:
        if self._lock_timer is not None:
            self._lock_timer.cancel()

    async def _end_pending_lock(self) -> asyncio.CancelledError | None:
        """Wait for the end of a pending attempt to lock. Returns a cancellation that arrived meanwhile."""
        return None if self._pending_lock is None else await self._pending_lock()

    def _release_now(self) -> None:
        self._lock.release()
        self._directory.leave(has_file=False)
