"""Access to files below one directory, without following any link in it.

If the operating system supports it, each directory of the path is opened relative to its parent, and must not be a
link. Replacing a directory meanwhile has no effect, because the opened one is used. Otherwise each directory of the
path is checked before each call; a link that is created between the check and the call is followed.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Protocol, Self

from aioss_resume._io.storage import (
    DIRECTORY,
    NO_LINK,
    STORAGE,
    PortableStorage,
    Storage,
    StrPath,
    identity_of,
    is_directory,
    is_link,
)


class Anchor(Protocol):
    """An open directory."""

    def storage(self) -> "AbstractContextManager[Storage]":
        """The file system below the directory, for one download or one look at many files."""

    def close(self) -> None: ...


def anchor(root: str) -> Anchor:
    """Open a directory. Links that lead to the directory itself are followed. Raises OSError if it is not one."""
    return _OpenDirectory(root) if STORAGE.opens_below else _CheckedDirectory(root)


class _OpenDirectory:
    def __init__(self, root: str) -> None:
        self._root = root
        self._descriptor = os.open(root, DIRECTORY)

    def storage(self) -> "AnchoredStorage":
        return AnchoredStorage(self._root, self._descriptor)

    def close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


class _CheckedDirectory:
    def __init__(self, root: str) -> None:
        self._root = root
        found = STORAGE.stat(root)
        if not is_directory(found):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), root)
        self._identity = identity_of(found)

    def storage(self) -> "CheckedStorage":
        return CheckedStorage(self._root, self._identity)

    def close(self) -> None:
        pass


class AnchoredStorage(Storage):
    """The file system below one directory, for one download or one look at many files. Used with `with`.

    Other paths are treated as in Storage. Opened directories stay open until the end of the block.

    Args:
        root: The absolute path of the directory.
        descriptor: The directory's descriptor, which is not closed here.
    """

    __slots__ = ("_beyond", "_descriptor", "_lock", "_opened", "_root")

    def __init__(self, root: str, descriptor: int) -> None:
        self._root = root
        self._beyond = root.rstrip("/") + "/"
        self._descriptor = descriptor
        self._opened: dict[str, int] = {}  # by the directory's path below the root
        self._lock = Lock()  # guards _opened

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        while self._opened:
            os.close(self._opened.popitem()[1])

    def open(self, path: StrPath, flags: int, mode: int = 0o600) -> int:
        with self._at(path) as (at, name):
            if at is not None:
                flags |= NO_LINK
            return os.open(name, flags, mode, dir_fd=at)

    def stat(self, path: StrPath, *, follow_symlinks: bool = True) -> os.stat_result:
        with self._at(path) as (at, name):
            return os.stat(name, dir_fd=at, follow_symlinks=follow_symlinks and at is None)

    def readlink(self, path: StrPath) -> str:
        with self._at(path) as (at, _):
            if at is not None:
                raise _link_error(str(path))
            return super().readlink(path)

    def access(self, path: StrPath, wanted: int) -> bool:
        try:
            with self._at(path) as (at, name):
                leads_out = at is not None and is_link(os.stat(name, dir_fd=at, follow_symlinks=False))
                return not leads_out and os.access(name, wanted, dir_fd=at)
        except OSError:
            return False

    def replace(self, path: StrPath, becomes: StrPath) -> None:
        with self._at(path) as (at, name), self._at(becomes) as (becomes_at, becomes_name):
            os.replace(name, becomes_name, src_dir_fd=at, dst_dir_fd=becomes_at)

    def unlink(self, path: StrPath) -> None:
        with self._at(path) as (at, name):
            os.unlink(name, dir_fd=at)

    def mkdir(self, path: StrPath, mode: int = 0o777) -> None:
        with self._at(path) as (at, name):
            os.mkdir(name, mode, dir_fd=at)

    def rmdir(self, path: StrPath) -> None:
        with self._at(path) as (at, name):
            os.rmdir(name, dir_fd=at)

    @contextmanager
    def _at(self, path: StrPath) -> Iterator[tuple[int | None, str]]:
        """The descriptor of a path's directory and the name in it; (None, path) if the path is not below the root.

        Errors raised in the block name the whole path.
        """
        text = os.fspath(path)
        try:
            if text == self._root:
                yield self._descriptor, "."
            elif text.startswith(self._beyond):
                directory, _, name = text[len(self._beyond) :].rpartition("/")
                yield self._directory(directory), name
            else:
                yield None, text
        except OSError as error:
            if error.errno != errno.ELOOP or error.filename is None:
                error.filename, error.filename2 = text, None
            raise

    def _directory(self, path: str) -> int:
        if not path:
            return self._descriptor
        with self._lock:
            found = self._opened.get(path)
        if found is not None:
            return found
        above, _, name = path.rpartition("/")
        parent = self._directory(above)
        try:
            opened = os.open(name, DIRECTORY | NO_LINK, dir_fd=parent)
        except NotADirectoryError:
            if is_link(os.stat(name, dir_fd=parent, follow_symlinks=False)):
                raise _link_error(self._beyond + path) from None
            raise
        with self._lock:
            found = self._opened.setdefault(path, opened)
        if found != opened:  # another thread was quicker
            os.close(opened)
        return found


class CheckedStorage(PortableStorage):
    """The file system below one directory, for systems where directories cannot be opened. Used with `with`.

    Other paths are treated as in PortableStorage.

    Args:
        root: The absolute path of the directory.
        identity: The identity of the directory.
    """

    __slots__ = ("_identity", "_root")

    def __init__(self, root: str, identity: tuple[int, int]) -> None:
        super().__init__()
        self._root = Path(root)
        self._identity = identity

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        pass

    def open(self, path: StrPath, flags: int, mode: int = 0o600) -> int:
        return super().open(path, flags | NO_LINK if self._check(path) else flags, mode)

    def stat(self, path: StrPath, *, follow_symlinks: bool = True) -> os.stat_result:
        return super().stat(path, follow_symlinks=follow_symlinks and not self._check(path))

    def readlink(self, path: StrPath) -> str:
        if self._check(path):
            raise _link_error(os.fspath(path))
        return super().readlink(path)

    def access(self, path: StrPath, wanted: int) -> bool:
        try:
            leads_out = self._check(path) and is_link(super().stat(path, follow_symlinks=False))
        except OSError:
            return False
        return not leads_out and super().access(path, wanted)

    def replace(self, path: StrPath, becomes: StrPath) -> None:
        self._check(path)
        self._check(becomes)
        super().replace(path, becomes)

    def unlink(self, path: StrPath) -> None:
        self._check(path)
        super().unlink(path)

    def mkdir(self, path: StrPath, mode: int = 0o777) -> None:
        self._check(path)
        super().mkdir(path, mode)

    def rmdir(self, path: StrPath) -> None:
        self._check(path)
        super().rmdir(path)

    def _check(self, path: StrPath) -> bool:
        """Whether a path is below the root. Raises OSError if the root was replaced, or a directory is a link."""
        whole = Path(path)
        if whole == self._root or not whole.is_relative_to(self._root):
            return False
        if identity_of(super().stat(self._root)) != self._identity:
            raise OSError(errno.ESTALE, "the directory was replaced by another", str(self._root))
        directory = self._root
        for name in whole.relative_to(self._root).parts[:-1]:
            directory = directory / name
            try:
                found = super().stat(directory, follow_symlinks=False)
            except OSError as error:
                error.filename = os.fspath(path)
                raise
            if is_link(found):
                raise _link_error(str(directory))
        return True


def _link_error(path: str) -> OSError:
    return OSError(errno.ELOOP, "a link in the directory is not followed", path)
