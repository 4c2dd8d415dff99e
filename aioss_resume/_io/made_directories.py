"""Directories that the running downloads of this process have made. Those in which nothing was left are removed again.

A directory is shared: the download that made it may fail while others still rely on it, so the last one removes it.
"""

import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from threading import Lock
from typing import Final

from aioss_resume._io.storage import Storage

_lock: Final = Lock()  # guards both
_users: Final[Counter[str]] = Counter()  # downloads by the directory of their file
_made: Final[set[str]] = set()  # in which nothing was published yet


class DirectoryUse:
    """One download's use of the directory of its file. Its methods may block, but for `is_idle`."""

    def __init__(self, directory: str, storage: Storage) -> None:
        self._directory = directory
        self._storage = storage
        self._is_used = False

    @property
    def is_idle(self) -> bool:
        """Whether leaving makes no call of the file system."""
        return not self._is_used or self._directory not in _made

    def enter(self) -> None:
        """Keep others from removing the directory from now on. Has an effect once."""
        if not self._is_used:
            with _lock:
                _users[self._directory] += 1
            self._is_used = True

    def note_made(self, directories: Iterable[Path]) -> None:
        """Directories were made for it."""
        with _lock:
            _made.update(map(str, directories))

    def leave(self, *, has_file: bool) -> None:
        """It is not used any more.

        Args:
            has_file: A file was published there. Otherwise directories that were made are removed, as far as nobody
                uses them and nothing is in them.
        """
        if not self._is_used:
            return
        self._is_used = False
        with _lock:
            _users[self._directory] -= 1
            if not _users[self._directory]:
                del _users[self._directory]
            directory = self._directory
            while directory in _made:
                if not has_file and (_users[directory] or not self._remove(directory)):
                    break
                _made.discard(directory)
                directory = os.path.dirname(directory)  # noqa: PTH120  # cheaper than a Path
            if not _users:
                _made.clear()

    def _remove(self, directory: str) -> bool:
        try:
            self._storage.rmdir(directory)
        except OSError:  # something is in it
            return False
        return True
