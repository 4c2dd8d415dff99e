"""Where one object goes: the destination, what lies beside it, and who may write there."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Final, TypeVar

from aioss_resume._core.checkpoint import Checkpoint, Unusable
from aioss_resume._core.objects import ObjectMeta
from aioss_resume._core.paths import checkpoint_name, lock_name, part_name, temporary_name
from aioss_resume._io.commit import commit, is_replaceable, prepare, publish_whole
from aioss_resume._io.flush import CheckpointFile
from aioss_resume._io.lock import POLL_FIRST, POLL_MOST, PathLock
from aioss_resume._io.storage import exists, remove_made
from aioss_resume._io.verify import crc64_of_file
from aioss_resume._io.write import PartFile
from aioss_resume._transfer.client import Client
from aioss_resume.errors import DownloadInProgressError, LocalFileError, ObjectName, local_file_error
from aioss_resume.options import DownloadOptions

T = TypeVar("T")

LOCK_SECONDS: Final = 0.05
"""Seconds after which a download that needs no lock takes one all the same, so that other processes know of it. Whoever
begins within them would have begun at the same time."""


@dataclass(frozen=True, slots=True)
class Existing:
    """What there is when the lock is held.

    Attributes:
        exists: Whether there is a file at the destination.
        checkpoint: What an earlier run left; `reason` is why it cannot be read.
        after_another: Another process had the lock first.
    """

    exists: bool
    checkpoint: Checkpoint | None = None
    reason: str | None = None
    after_another: bool = False


class TakenByAnotherProcess(Exception):
    """Another process has the destination now (`found` is None), or had it and left something."""

    def __init__(self, found: Existing | None) -> None:
        super().__init__()
        self.found = found


class Destination:
    """One destination of one download.

    Args:
        path: Absolute.

    Attributes:
        has_checkpoint: Whether there may be one, to be removed in the end.
    """

    def __init__(self, client: Client, name: ObjectName, path: str, options: DownloadOptions) -> None:
        self.has_checkpoint = False
        self._client = client
        self._name = name
        self._fsync = options.fsync
        self._made: list[Path] = []
        self._reserved: Existing | None = None  # what there was when there was but a claim
        self._alarm: asyncio.TimerHandle | None = None
        self._locking: Callable[[], Awaitable[asyncio.CancelledError | None]] | None = None
        # Strings, since a Path costs as much as a call of the system, and a small object needs no more of either.
        self._path = path
        self._parent, _, self._file = self._path.rpartition("/")
        self._lock = PathLock(f"{self._parent}/{lock_name(self._file)}", client.storage)
        directory = options.store.directory if options.store else self._parent
        self._checkpoint = f"{directory}/{checkpoint_name(self._path, name, options.version_id)}"

    @cached_property
    def path(self) -> Path:
        """The destination; absolute."""
        return Path(self._path)

    @cached_property
    def checkpoint_file(self) -> CheckpointFile:
        """Beside the destination, or in the store."""
        client = self._client
        return CheckpointFile(self._checkpoint, self._name, client.threads, client.storage, fsync=self._fsync)

    async def reserve(self) -> Existing | None:
        """See what is there, and keep the other threads of this process away; None when another has the destination.

        A small object is there in no time, and is published under its name as a whole: no lock file is made for it
        unless it takes LOCK_SECONDS all the same, or there is something that a lock guards.

        Raises:
            LocalFileError: As lock_or_wait().
        """
        found = await self._on_disk("prepare the destination", partial(self._look_around, is_reservation=True))
        if found is not None and not self._lock.is_held:
            self._reserved = found
            self._alarm = asyncio.get_running_loop().call_later(LOCK_SECONDS, self._lock_meanwhile)
        return found

    async def lock(self) -> None:
        """Hold the lock now, if there is but a claim.

        Raises:
            TakenByAnotherProcess: Another process has it, or has left something since.
            LocalFileError: As lock_or_wait().
        """
        reserved, self._reserved = self._reserved, None
        if reserved is None:
            return
        self._cancel_lock_timer()
        if cancelled := await self._wait_for_pending_lock():
            raise cancelled
        found = await self._on_disk("prepare the destination", self._look_around)
        if found != reserved:
            raise TakenByAnotherProcess(found)

    async def lock_or_wait(self, *, waits: bool) -> Existing:
        """Hold the lock, and see what is there.

        Raises:
            LocalFileError: The destination cannot be one, or its checkpoint is a newer release's.
            DownloadInProgressError: Another process has the lock, and we are not to wait.
        """
        found = await self._on_disk("prepare the destination", self._look_around)
        if found is not None:
            return found
        if not waits:
            raise DownloadInProgressError(
                f"{self._name}: another process is downloading to {self._path!r}",
                name=self._name,
                hint='wait for it with on_busy="wait"',
            )
        pause = POLL_FIRST
        while found is None:
            await self._client.clock.sleep(pause * (0.5 + self._client.clock.chance()))
            pause = min(pause * 1.5, POLL_MOST)
            found = await self._on_disk("prepare the destination", self._look_around)
        return replace(found, after_another=True)

    async def release(self) -> None:
        """Whoever waits for the destination may have it; directories made for nothing are removed."""
        self._cancel_lock_timer()
        cancelled = await self._wait_for_pending_lock()
        if self._lock.is_held or self._made:
            await self._client.threads.file_thread.run_uncancelled(self._release)
        else:
            self._lock.release()
        if cancelled:
            raise cancelled

    def _lock_meanwhile(self) -> None:
        """It takes so long that others shall know."""
        self._locking = self._client.threads.file_thread.begin(self._try_lock)

    def _try_lock(self) -> None:
        with suppress(OSError):  # another has it, or nobody can have it: a small object needs none
            self._lock.try_lock()

    def _cancel_lock_timer(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()

    async def _wait_for_pending_lock(self) -> asyncio.CancelledError | None:
        """Wait for the end of what was begun meanwhile; a cancellation is returned."""
        return None if self._locking is None else await self._locking()

    async def has(self, meta: ObjectMeta) -> bool:
        """Whether the destination is that object already: its size and its CRC-64."""
        if meta.crc64 is None:
            return False
        threads, storage = self._client.threads, self._client.storage
        return await crc64_of_file(self.path, meta.size, threads, storage, name=self._name) == meta.crc64

    async def was_published(self, part_file: PartFile, meta: ObjectMeta) -> bool:
        """Whether the destination is that very part file, and not that object: somebody has to mend it."""

        def is_ours() -> bool:
            try:
                found = self._client.storage.stat(self._path, follow_symlinks=False)
            except OSError:
                return False
            return (found.st_dev, found.st_ino) == part_file.identity

        return await self._client.threads.run(is_ours) and not await self.has(meta)

    def part_file(self, meta: ObjectMeta) -> PartFile:
        """The part file of that very object, to be resumed."""
        return self._part_file(part_name(self.path.name, self._name, meta))

    def temporary_part_file(self) -> PartFile:
        """A part file that is never resumed: where locks do nothing, nobody else writes there."""
        return self._part_file(temporary_name(self.path.name, self._client.clock.token()))

    async def is_there(self, part_file: PartFile) -> bool:
        """Whether a part file still has its name; asked even when this task is cancelled."""
        return await self._client.threads.run_uncancelled(
            exists, self._client.storage, part_file.path, follow_symlinks=False
        )

    async def commit(self, part_file: PartFile, size: int) -> None:
        """The part file gets its name; the checkpoint goes last.

        Raises:
            LocalFileError: The old destination is as it was.
        """
        at = self.path, self._client.storage
        call = partial(commit, part_file.path, part_file.identity, size, *at, fsync=self._fsync, and_then=self._finish)
        await self._on_disk("commit the file", call, is_short=not self._fsync)

    async def publish(self, body: bytearray) -> None:
        """A small file is written and gets its name, in one hop.

        Raises:
            LocalFileError: The old destination is as it was.
        """
        await self._on_disk("write the file", partial(self._publish, body), is_short=not self._fsync)

    def _part_file(self, name: str) -> PartFile:
        return PartFile(self.path.with_name(name), self._name, self._client.threads, self._client.storage)

    def _publish(self, body: bytearray) -> None:
        passing = f"{self._parent}/{temporary_name(self._file, self._client.clock.token())}"
        storage = self._client.storage
        publish_whole(passing, body, self._path, storage, fsync=self._fsync, and_then=self._finish)

    def _look_around(self, *, is_reservation: bool = False) -> Existing | None:
        """In a thread: try the lock, and see what is there; None if another has the lock."""
        storage = self._client.storage
        take = self._reserve_if_possible if is_reservation else self._lock.try_lock
        try:
            is_there, is_held = is_replaceable(storage, self._path), take()
        except (FileNotFoundError, NotADirectoryError, PermissionError):  # it needs more, or cannot be at all
            made, is_there = prepare(self.path, storage, fsync=self._fsync)
            self._made = made or self._made
            is_held = take()
        if not is_held:
            return None
        if not self._lock.is_held:
            return Existing(is_there)
        try:
            return Existing(is_there, self.checkpoint_file.load())
        except Unusable as reason:
            return Existing(is_there, reason=str(reason))

    def _reserve_if_possible(self) -> bool:
        storage = self._client.storage
        if self._lock.has_file() or exists(storage, self._checkpoint, follow_symlinks=False):
            return self._lock.try_lock()
        if not storage.access(self._parent or "/", os.W_OK | os.X_OK):
            raise PermissionError
        return self._lock.reserve()

    def _release(self) -> None:
        self._lock.release()
        remove_made(self._client.storage, self._made)  # succeeds only where nothing was written

    def _finish(self) -> None:
        """In a thread, when the file has its name: remove what only served to get there."""
        if self.has_checkpoint:
            self.checkpoint_file.remove_now()
        self._lock.release()
        self._made = []

    async def _on_disk(self, tried: str, call: Callable[[], T], *, is_short: bool = True) -> T:
        """A call of the file system, off the loop; its OSError as ours."""
        threads = self._client.threads
        try:
            return await (threads.file_thread.run(call) if is_short else threads.run(call))
        except LocalFileError:  # of the call's own
            raise
        except OSError as error:
            path = error.filename or self._path
            raise local_file_error(tried, error, os.fsdecode(path), name=self._name) from None
