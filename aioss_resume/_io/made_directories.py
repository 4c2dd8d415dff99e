"""Directories created by the running downloads of this process. Those that stay empty are removed again.

Directories are shared: the download that created one may fail while others still use it, so the last one removes it.
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
    """One download's use of the directory of its file. All methods except `is_idle` may block."""

    def __init__(self, directory: str, storage: Storage) -> None:
        self._directory = directory
        self._storage = storage
        self._is_used = False

    @property
    def is_idle(self) -> bool:
        """Whether leaving needs no call of the file system."""
        return not self._is_used or self._directory not in _made

    def enter(self) -> None:
        """From now on, prevent others from removing the directory. Further calls have no effect."""
        if not self._is_used:
            with _lock:
                _users[self._directory] += 1
            self._is_used = True

    def note_made(self, directories: Iterable[Path]) -> None:
        """Note the directories that were created for the file."""
        with _lock:
            _made.update(map(str, directories))

    def leave(self, *, has_file: bool) -> None:
        """Stop using the directory.

        Args:
            has_file: Whether a file was published there. Otherwise created directories are removed if they are empty
                and unused.
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
