"""Disks that fill up, take little, fail, wait or tell what was done; each the real one but for that."""

import errno
import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from crash_model.runs import downloader_onto
from flow.ranged import RANGED
from over_old import THRICE

from aioss_resume import DownloadResult
from aioss_resume._io.storage import Storage, StrPath


class BadDisk(Storage):
    """Calls of one kind fail with an errno, after so many that succeeded.

    Args:
        call: Which method of Storage.
        error: The errno; 0: it is done.
        after: So many such calls succeed first.
        kind: Only files whose name ends so, as far as the path is known; "": all.
    """

    def __init__(self, call: str = "", error: int = 0, *, after: int = 0, kind: str = "") -> None:
        self.done: list[tuple[str, str]] = []
        """Each call, and the file that it was for."""
        self.failed_at: int | None = None
        """How many calls were done before the first that failed."""
        self._call, self._error, self._after, self._kind = call, error, after, kind
        self._names: dict[int, str] = {}
        self._lock = threading.Lock()  # guards the attributes above

    def _meet(self, call: str, of: StrPath | int) -> None:
        with self._lock:
            name = self._names.get(of, "") if isinstance(of, int) else os.fspath(of)
            self.done.append((call, name))
            if call != self._call or not name.endswith(self._kind) or not self._error:
                return
            if self._after:
                self._after -= 1
                return
            if self.failed_at is None:
                self.failed_at = len(self.done)
        raise OSError(self._error, os.strerror(self._error), name)

    def open(self, path: StrPath, flags: int, mode: int = 0o600) -> int:
        self._meet("open", path)
        descriptor = super().open(path, flags, mode)
        with self._lock:
            self._names[descriptor] = os.fspath(path)
        return descriptor

    def close(self, descriptor: int) -> None:
        super().close(descriptor)  # Linux closes the descriptor even when close() fails
        self._meet("close", descriptor)

    def write_at(self, descriptor: int, buffers: Sequence[memoryview], offset: int) -> int:
        self._meet("write_at", descriptor)
        return super().write_at(descriptor, buffers, offset)

    def read_at(self, descriptor: int, buffer: memoryview, offset: int) -> int:
        self._meet("read_at", descriptor)
        return super().read_at(descriptor, buffer, offset)

    def ftruncate(self, descriptor: int, size: int) -> None:
        self._meet("ftruncate", descriptor)
        super().ftruncate(descriptor, size)

    def fsync(self, descriptor: int) -> None:
        self._meet("fsync", descriptor)
        super().fsync(descriptor)

    def replace(self, path: StrPath, becomes: StrPath) -> None:
        self._meet("replace", path)
        super().replace(path, becomes)

    def unlink(self, path: StrPath) -> None:
        self._meet("unlink", path)
        super().unlink(path)


class SparingDisk(Storage):
    """Takes and gives few bytes a call."""

    def __init__(self, few: int) -> None:
        self._few = few

    def write_at(self, descriptor: int, buffers: Sequence[memoryview], offset: int) -> int:
        return super().write_at(descriptor, [memoryview(b"".join(buffers)[: self._few])], offset)

    def read_at(self, descriptor: int, buffer: memoryview, offset: int) -> int:
        return super().read_at(descriptor, buffer[: self._few], offset)


class WaitingDisk(Storage):
    """Calls of one kind begin, and end when they may.

    Args:
        call: "write_at" or "lock".
    """

    def __init__(self, call: str = "write_at") -> None:
        self.begun = threading.Event()
        self.may_end = threading.Event()
        self._call = call

    def _meet(self, call: str) -> None:
        if call == self._call:
            self.begun.set()
            assert self.may_end.wait(30)

    def write_at(self, descriptor: int, buffers: Sequence[memoryview], offset: int) -> int:
        self._meet("write_at")
        return super().write_at(descriptor, buffers, offset)

    def lock(self, descriptor: int) -> bool:
        self._meet("lock")
        return super().lock(descriptor)


class ScarceDisk(Storage):
    """There are no descriptors for some files, until there are again.

    Args:
        lacks: Whether there is none for a path that is opened with these flags.
    """

    def __init__(self, lacks: Callable[[str, int], bool]) -> None:
        self.refused = threading.Event()
        self.has_some = threading.Event()
        self._lacks = lacks

    def open(self, path: StrPath, flags: int, mode: int = 0o600) -> int:
        if self._lacks(os.fspath(path), flags) and not self.has_some.is_set():
            self.refused.set()
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), os.fspath(path))
        return super().open(path, flags, mode)


class LocklessDisk(Storage):
    """Its locks are granted to everyone."""

    def lock(self, descriptor: int) -> bool:
        return True


class BusyDisk(Storage):
    """Something happens as soon as a download has seen that nobody else is there; once.

    Args:
        happens: In the thread that looks.
    """

    def __init__(self, happens: Callable[[], object]) -> None:
        self.has_refused = threading.Event()
        """A lock was not granted."""
        self._happens = [happens]

    def lock(self, descriptor: int) -> bool:
        is_granted = super().lock(descriptor)
        if not is_granted:
            self.has_refused.set()
        return is_granted

    def access(self, path: StrPath, wanted: int) -> bool:
        may = super().access(path, wanted)
        while self._happens:
            self._happens.pop()()
        return may


async def onto(storage: Storage, bucket: Any, path: Path, **keywords: Any) -> DownloadResult:
    """download(), onto that disk."""
    async with downloader_onto(bucket, storage) as downloader:
        return await downloader.download("key", path, **{**RANGED, "retry": THRICE, **keywords})
