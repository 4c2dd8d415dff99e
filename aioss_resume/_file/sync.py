"""Syncing of many files that were published without fsync."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final

import anyio

from aioss_resume._io.storage import Storage, sync_directory, sync_file
from aioss_resume._transfer.client import Client
from aioss_resume.errors import ConfigError, LocalFileError, ObjectName, local_file_error
from aioss_resume.events import DownloadResult

_AT_ONCE: Final = 3  # of the pool's threads: file systems combine syncs that are requested at the same time


async def sync(client: Client, bucket_name: str, results: Iterable[DownloadResult]) -> None:
    """Sync files and their names to the disk. If one fails, the others are still synced.

    Raises:
        ConfigError: The argument is not an iterable of DownloadResults.
        LocalFileError: The first file or directory that could not be synced.
    """
    if not isinstance(results, Iterable):
        raise ConfigError(f"results must be an iterable of DownloadResults, not {type(results).__name__}")
    files: dict[Path, ObjectName] = {}
    for result in results:
        if not isinstance(result, DownloadResult):
            raise ConfigError(f"results must be DownloadResults, not {type(result).__name__}")
        files[result.path] = ObjectName(bucket_name, result.key)
    # Directories above it may have been created for the file, and must be synced, too.
    directories = {directory: name for path, name in files.items() for directory in path.parents}
    failed = [*await _sync_each(client, sync_file, files), *await _sync_each(client, sync_directory, directories)]
    if failed:
        if len(failed) > 1:
            failed[0].add_note(f"and {len(failed) - 1} more could not be synced")
        raise failed[0]


async def _sync_each(
    client: Client, call: Callable[[Storage, Path], None], paths: Mapping[Path, ObjectName]
) -> list[LocalFileError]:
    failed = []
    left = iter(paths.items())

    async def work() -> None:
        for path, name in left:
            try:
                await client.threads.run(call, client.storage, path)
            except OSError as error:
                hint = 'the disk may keep something else: download it again, with overwrite="always"'
                failed.append(local_file_error("sync", error, str(path), name=name, hint=hint))

    async with anyio.create_task_group() as group:
        for _ in range(_AT_ONCE):
            group.start_soon(work)
    return failed
