"""The files of one destination: its lock, part files and checkpoint, and how the file is published."""

import os
from collections.abc import Callable
from functools import cached_property, partial
from pathlib import Path

from aioss_resume._core.objects import ObjectMeta
from aioss_resume._core.paths import checkpoint_name, lock_name, part_name, temporary_name
from aioss_resume._file.disk import on_disk
from aioss_resume._file.locking import DestinationLock
from aioss_resume._io.commit import changed_part_error, commit, publish_whole
from aioss_resume._io.flush import CheckpointFile
from aioss_resume._io.storage import Storage, exists, identity_of
from aioss_resume._io.verify import crc64_of_file
from aioss_resume._io.write import PartFile
from aioss_resume._transfer.client import Client
from aioss_resume.errors import ObjectName, local_file_error
from aioss_resume.options import DownloadOptions


class Destination:
    """The destination of one download.

    Args:
        storage: The file system, or the part of it that may be accessed.
        path: An absolute path that is not a link.

    Attributes:
        storage: The file system.
        checkpoint_file: The checkpoint file beside the destination or in the store.
        lock: The lock, which must be held or reserved while anything is written.
        has_checkpoint: Whether there may be a checkpoint that publishing must remove.
        is_publishing: Whether publishing has begun, so that the file may exist.
        committed: The stat result of the published file, or None. Another file may have replaced it since.
    """

    def __init__(self, client: Client, storage: Storage, name: ObjectName, path: str, options: DownloadOptions) -> None:
        self.committed: os.stat_result | None = None
        self.has_checkpoint = False
        self.is_publishing = False
        self._client = client
        self.storage = storage
        self._name = name
        self._fsync = options.fsync
        self._newest_part: PartFile | None = None
        # Strings, because a Path costs as much as a system call, and small objects need few of these.
        self._path = path
        self._parent, self._file = os.path.split(path)
        directory = options.store.directory if options.store else self._parent
        self.checkpoint_file = CheckpointFile(
            os.path.join(directory, checkpoint_name(path, name, options.version_id)),  # noqa: PTH118
            name,
            client.threads,
            storage,
            fsync=options.fsync,
        )
        self.lock = DestinationLock(
            client,
            storage,
            name,
            path,
            lock_path=os.path.join(self._parent, lock_name(self._file)),  # noqa: PTH118
            checkpoint_file=self.checkpoint_file,
            fsync=options.fsync,
        )

    @cached_property
    def path(self) -> Path:
        """The absolute path of the destination."""
        return Path(self._path)

    async def has(self, meta: ObjectMeta) -> bool:
        """Whether the destination already has the size and the CRC-64 of that object."""
        if meta.crc64 is None:
            return False
        threads = self._client.threads
        return await crc64_of_file(self.path, meta.size, threads, self.storage, name=self._name) == meta.crc64

    async def was_published_wrong(self, part_file: PartFile, meta: ObjectMeta) -> bool:
        """Whether the part file was published as the destination although it was not complete."""

        def is_ours() -> bool:
            try:
                found = self.storage.stat(self._path, follow_symlinks=False)
            except OSError:
                return False
            return identity_of(found) == part_file.identity

        return await self._client.threads.run(is_ours) and not await self.has(meta)

    def part_file(self, meta: ObjectMeta) -> PartFile:
        """The part file for that version of the object."""
        self._newest_part = self._part_file(part_name(self._file, self._name, meta))
        return self._newest_part

    def temporary_part_file(self) -> PartFile:
        """A part file with a unique name that no later run resumes."""
        return self._part_file(temporary_name(self._file, self._client.clock.token()))

    async def has_part_file(self, part_file: PartFile) -> bool:
        """Whether a part file still exists under its name. Checked even if this task is cancelled."""
        return await self._client.threads.run_uncancelled(exists, self.storage, part_file.path, follow_symlinks=False)

    async def discard(self) -> None:
        """Remove the newest part file and the checkpoint."""
        await self.checkpoint_file.remove(self._newest_part.path if self._newest_part else None)

    async def commit(self, part_file: PartFile, size: int, crc64: int | None = None) -> None:
        """Rename the part file to the destination. The checkpoint is removed last.

        Args:
            crc64: The CRC-64 of the written bytes. It identifies the part file if nothing else does. None for a part
                file with a unique name.

        Raises:
            LocalFileError: It failed; the old destination is unchanged.
        """
        if part_file.identity is None and crc64 is not None:
            await self._check_content(part_file, size, crc64)
        at = self.path, self.storage
        call = partial(commit, part_file.path, part_file.identity, size, *at, fsync=self._fsync, and_then=self._finish)
        await self._publish("commit the file", call)

    async def _check_content(self, part_file: PartFile, size: int, crc64: int) -> None:
        found = await crc64_of_file(part_file.path, size, self._client.threads, self.storage, name=self._name)
        if found != crc64:
            error = changed_part_error(part_file.path)
            raise local_file_error("commit the file", error, self._path, name=self._name)

    async def publish(self, body: bytearray) -> None:
        """Write a small file and rename it to the destination in one call.

        Raises:
            LocalFileError: It failed; the old destination is unchanged.
        """
        await self._publish("write the file", partial(self._publish_now, body))

    async def _publish(self, task: str, call: Callable[[], None]) -> None:
        self.is_publishing = True
        await on_disk(self._client.threads, task, call, self._path, self._name, is_short=not self._fsync)

    def _publish_now(self, body: bytearray) -> None:
        name = temporary_name(self._file, self._client.clock.token())
        temporary = os.path.join(self._parent, name)  # noqa: PTH118
        publish_whole(temporary, body, self._path, self.storage, fsync=self._fsync, and_then=self._finish)

    def _part_file(self, name: str) -> PartFile:
        return PartFile(self.path.with_name(name), self._name, self._client.threads, self.storage)

    def _finish(self, committed: os.stat_result) -> None:
        """In a thread, after the rename: remove the checkpoint and release the lock."""
        self.committed = committed
        if self.has_checkpoint:
            self.checkpoint_file.remove_now()
        self.lock.release_committed()
