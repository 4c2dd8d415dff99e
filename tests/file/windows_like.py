"""A storage that behaves as Windows does: a file that is open can be neither replaced nor removed."""

import errno
import os
from collections import Counter
from threading import Lock

from aioss_resume._io.storage import PortableStorage, StrPath, identity_of

IN_USE = 32


def in_use_error(path: StrPath) -> PermissionError:
    """As os.replace() and os.unlink() raise it on Windows."""
    error = PermissionError(errno.EACCES, "The process cannot access the file", os.fspath(path))
    error.winerror = IN_USE  # type: ignore[attr-defined,unused-ignore]  # only on Windows
    return error


class WindowsLike(PortableStorage):
    """Knows the files that were opened through it.

    Attributes:
        refused: The calls that were refused because the file was open.
    """

    removes_open_files = False

    def __init__(self) -> None:
        super().__init__()
        self.refused: list[str] = []
        self._open_files: Counter[tuple[int, int]] = Counter()
        self._lock = Lock()  # guards both: the library's threads come side by side

    @property
    def open_files(self) -> int:
        return self._open_files.total()

    def open(self, path: StrPath, flags: int, mode: int = 0o600) -> int:
        descriptor = super().open(path, flags, mode)
        with self._lock:
            self._open_files[identity_of(os.fstat(descriptor))] += 1
        return descriptor

    def close(self, descriptor: int) -> None:
        with self._lock:
            self._open_files[identity_of(os.fstat(descriptor))] -= 1
        super().close(descriptor)

    def replace(self, path: StrPath, becomes: StrPath) -> None:
        self._refuse_if_open("replace", path)
        self._refuse_if_open("replace", becomes)
        super().replace(path, becomes)

    def unlink(self, path: StrPath) -> None:
        self._refuse_if_open("unlink", path)
        super().unlink(path)

    def _refuse_if_open(self, call: str, path: StrPath) -> None:
        try:
            identity = identity_of(os.stat(path, follow_symlinks=False))
        except FileNotFoundError:
            return
        with self._lock:
            if self._open_files[identity]:
                self.refused.append(f"{call} {os.path.basename(path)}")
                raise in_use_error(path)
