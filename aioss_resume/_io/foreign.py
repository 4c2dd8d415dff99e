"""Records that other tools left of a download, and their temporary files.

Everything here blocks and runs in threads, except the methods of the caller's store, which may be coroutines.
"""

import errno
import inspect
import os
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from aioss_resume._core.foreign import (
    MOST_BYTES,
    OSS2_DIRECTORY,
    Record,
    UnusableRecordError,
    oss2_name,
    parse_json,
    read_oss2,
    read_v2,
    v2_name,
)
from aioss_resume._io.storage import (
    READ,
    STORAGE,
    UPDATE,
    Storage,
    exists,
    home_directory,
    is_own_file,
    is_own_or_mapped_file,
    is_same_file,
    probe_of,
    read_start,
)
from aioss_resume._io.threads import Threads
from aioss_resume.errors import ConfigError, ObjectName

STORE_METHODS: Final = ("get", "put", "delete", "make_store_key")


class Store(Protocol):
    """A store for oss2's records, like its ResumableDownloadStore. The methods may be coroutines."""

    def get(self, key: str) -> Any: ...  # Any: a record as json.loads() gives it, or None; perhaps to be awaited
    def put(self, key: str, value: Any) -> Any: ...
    def delete(self, key: str) -> Any: ...
    def make_store_key(self, bucket_name: str, key: str, filename: str, version_id: str | None = None) -> str: ...


@dataclass(frozen=True, slots=True)
class Found:
    """A record that was found, and a function that removes it."""

    record: Record
    remove: Callable[[], Awaitable[None]]


class ForeignRecords:
    """Finds the records of other tools.

    Args:
        store: A store of oss2; None for the directory that oss2 uses by default.
    """

    def __init__(self, threads: Threads, store: Store | None = None) -> None:
        self._threads = threads
        self._store = store

    async def find(self, name: ObjectName, version_id: str | None, path: str) -> list[Found]:
        """Find the usable records of a download to that absolute path.

        Raises:
            Exception: The caller's store raised it.
        """
        found = [] if self._store is None else await self._in_store(self._store, name, version_id, path)
        return [*found, *await self._threads.run(self._in_files, name, version_id, path)]

    async def _in_store(self, store: Store, name: ObjectName, version_id: str | None, path: str) -> list[Found]:
        arguments = (*name, path) if version_id is None else (*name, path, version_id)
        try:
            inspect.signature(store.make_store_key).bind(*arguments)
        except (TypeError, ValueError):  # an upload's store knows of no versions
            return []
        key = await self._call(store.make_store_key, *arguments)
        content = await self._call(store.get, key)

        async def remove() -> None:
            await self._call(store.delete, key)

        try:
            return [] if content is None else [Found(read_oss2(content, *name, path), remove)]
        except UnusableRecordError:
            return []

    async def _call(self, method: Callable[..., Any], *arguments: str) -> Any:  # Any: the caller's own
        if inspect.iscoroutinefunction(method):
            return await method(*arguments)
        answer = await self._threads.run(method, *arguments)
        return await answer if inspect.isawaitable(answer) else answer

    def _in_files(self, name: ObjectName, version_id: str | None, path: str) -> list[Found]:
        found, home = [], home_directory()
        if self._store is None and home is not None:
            file = home / OSS2_DIRECTORY / oss2_name(*name, version_id, os.path.normcase(path))
            found += self._in_file(file, lambda data: read_oss2(parse_json(data), *name, path))
        directories = {os.path.dirname(path)}  # noqa: PTH120  # cheaper than a Path
        with suppress(OSError):  # no directory for temporary files can be written to
            directories.add(tempfile.gettempdir())
        for directory in sorted(directories):
            file = Path(directory, v2_name(*name, version_id, path))
            found += self._in_file(file, lambda data: read_v2(data, *name, version_id, path))
        return found

    def _in_file(self, file: Path, read: Callable[[bytes], Record]) -> list[Found]:
        try:
            data = _read(file)
            record = read(data)
        except (OSError, UnusableRecordError):
            return []

        def remove_now() -> None:
            try:
                if _read(file) == data:  # it is still that record
                    file.unlink()
            except OSError:  # what is left does no harm: its temporary file is gone
                pass

        async def remove() -> None:
            await self._threads.run_uncancelled(remove_now)

        return [Found(record, remove)]


def checked_store(store: Any) -> Store:  # Any: it is checked here
    """Check a store. Raises ConfigError unless it has the methods of oss2's stores."""
    missing = [name for name in STORE_METHODS if not callable(getattr(store, name, None))]
    if missing:
        raise ConfigError(
            f"store must have {', '.join(STORE_METHODS)}; {type(store).__name__} lacks {', '.join(missing)}",
            hint="pass an oss2.ResumableDownloadStore, or leave it out",
        )
    found: Store = store
    return found


def take_temporary_file(storage: Storage, temporary: str, part: str, size: int) -> bool:
    """Rename the temporary file of another tool to a part file. Returns False if the file is unsuitable.

    Args:
        size: The object's size in bytes. A longer file is not its temporary file.

    Raises:
        OSError: The file could not be renamed.
    """
    try:
        descriptor = storage.open(temporary, UPDATE)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ELOOP, errno.ENXIO, errno.EISDIR, errno.EACCES, errno.EPERM):
            return False
        raise
    try:
        found = storage.fstat(descriptor)
        is_usable = found.st_nlink <= 1 and is_own_or_mapped_file(storage, found, probe_of(part))
        if not is_usable or found.st_size > size or exists(storage, part, follow_symlinks=False):
            return False
        with suppress(OSError):  # some file systems refuse it; its bytes were as readable before
            storage.fchmod(descriptor, 0o600)
    finally:
        storage.close(descriptor)
    if not is_same_file(storage.stat(temporary, follow_symlinks=False), found):
        return False
    storage.replace(temporary, part)
    return True


def _read(file: Path) -> bytes:
    """Read a small file. Raises OSError if it is too large or belongs to another user."""
    descriptor = STORAGE.open(file, READ)
    try:
        found = STORAGE.fstat(descriptor)
        if not is_own_file(found) or found.st_size > MOST_BYTES:
            raise OSError(errno.EINVAL, "it is no record", str(file))
        return read_start(STORAGE, descriptor, found.st_size)
    finally:
        STORAGE.close(descriptor)
