"""The directory that a prefix is downloaded into, and the files in it. Links in it are not followed.

Everything here blocks and runs in threads.
"""

import errno
import os
import unicodedata
from collections.abc import Iterable
from contextlib import AbstractContextManager, suppress
from pathlib import Path

from aioss_resume._core.manifest import FileState
from aioss_resume._io.anchored import Anchor, anchor
from aioss_resume._io.made_directories import DirectoryUse
from aioss_resume._io.resolve import is_system_path, system_path_error
from aioss_resume._io.storage import CREATE, STORAGE, Storage, exists, is_directory, is_regular, make_missing


class Tree:
    """A directory, opened once.

    Args:
        root: An absolute path. The directory is created if it is missing, unless `dry_run`.

    Attributes:
        root: The absolute path.
        ignores_case, ignores_form: Whether the file system ignores case, or Unicode normalisation, in names.

    Raises:
        OSError: The path is not a directory and cannot be one.
    """

    def __init__(self, root: str, *, dry_run: bool, fsync: bool, token: str) -> None:
        self.root = root
        self._anchor: Anchor | None = None
        self.ignores_case = self.ignores_form = False
        if is_system_path(root):
            raise system_path_error(root)
        if not dry_run:
            make_missing(STORAGE, Path(root), fsync=fsync)
        try:
            self._anchor = anchor(root)
        except FileNotFoundError:
            if not dry_run:
                raise
        if not dry_run:
            self._probe(f".aioss-resume.{token}.pr\u00f6be")

    def storage(self) -> AbstractContextManager[Storage]:
        """The file system below the directory, which must exist."""
        assert self._anchor is not None
        return self._anchor.storage()

    def states(self, paths: Iterable[str]) -> list[FileState | None]:
        """The states of the files at these relative paths; None if there is no regular file."""
        if self._anchor is None:  # of a dry run
            return [None for _ in paths]
        with self.storage() as storage:
            return [_state(storage, f"{self.root}/{path}") for path in paths]

    def make_directory(self, path: str, *, fsync: bool, dry_run: bool) -> bool:
        """Create a directory at a relative path, unless `dry_run`. Returns False if it existed.

        Raises:
            OSError: Something else exists there.
        """
        directory = Path(self.root, path)
        if self._anchor is None:
            return True
        with self.storage() as storage:
            if dry_run:
                is_new = not exists(storage, directory)
            else:
                use = DirectoryUse(str(directory), storage)
                use.enter()
                try:
                    is_new = bool(make_missing(storage, directory, fsync=fsync))
                finally:
                    use.leave(has_file=True)  # it stays, whichever download had made it
            if not is_new and not is_directory(storage.stat(directory)):
                raise OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(directory))
            return is_new

    def delete(self, path: str, expected: FileState) -> bool:
        """Delete the file at a relative path and its empty parents. Returns False if the file was modified.

        Raises:
            OSError: The file cannot be deleted. FileNotFoundError: It does not exist any more.
        """
        whole = f"{self.root}/{path}"
        with self.storage() as storage:
            found = _state(storage, whole)
            if found is None:
                storage.stat(whole)  # raises FileNotFoundError, unless something else is there
            if found != expected:
                return False
            storage.unlink(whole)
            with suppress(OSError):  # not empty
                for directory in list(Path(path).parents)[:-1]:
                    storage.rmdir(f"{self.root}/{directory}")
        return True

    def close(self) -> None:
        if self._anchor is not None:
            self._anchor.close()
            self._anchor = None

    def _probe(self, name: str) -> None:
        with self.storage() as storage, suppress(OSError):  # then the downloads fail, and say why
            path = f"{self.root}/{name}"
            storage.close(storage.open(path, CREATE))
            try:
                self.ignores_case = _state(storage, f"{self.root}/{name.upper()}") is not None
                self.ignores_form = _state(storage, unicodedata.normalize("NFD", path)) is not None
            finally:
                storage.unlink(path)


def state_of(found: os.stat_result) -> FileState:
    """The state of a file, as stored in a manifest."""
    return FileState(found.st_size, found.st_mtime_ns, found.st_ino)


def _state(storage: Storage, path: str) -> FileState | None:
    try:
        found = storage.stat(path)
    except OSError:  # a download says what is wrong
        return None
    return state_of(found) if is_regular(found) else None
