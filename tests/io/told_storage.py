"""A file system that tells what was called, and stops or fails where a test wants it to."""

import os
import threading
from typing import Any

from aioss_resume._io.storage import Storage

CALLS = [name for name, value in vars(Storage).items() if callable(value) and not name.startswith("_")]


class Killed(BaseException):
    """The process is gone: no call of its has an effect any more."""


class ToldStorage(Storage):
    """The real file system, up to one call.

    Args:
        stop_at: Which call, counted from 0, has no effect; None: all have.
        error: What it raises. After Killed, every later call raises it too.
    """

    def __init__(self, stop_at: int | None = None, error: BaseException | None = None) -> None:
        self.calls: list[str] = []
        self._stop_at = stop_at
        self._error = error or Killed()
        self._lock = threading.Lock()  # guards the list

    def told(self, name: str, *args: Any, **kwargs: Any) -> Any:  # Any: every call
        with self._lock:
            number = len(self.calls)
            self.calls.append(name)
        is_dead = isinstance(self._error, Killed) and self._stop_at is not None and number > self._stop_at
        if number == self._stop_at or is_dead:
            raise self._error
        return getattr(Storage, name)(self, *args, **kwargs)


def _told(name: str) -> Any:
    return lambda self, *args, **kwargs: self.told(name, *args, **kwargs)


for _name in CALLS:
    setattr(ToldStorage, _name, _told(_name))


class HeldStorage(ToldStorage):
    """Writes begin, and end only when they may."""

    def __init__(self) -> None:
        super().__init__()
        self.begun = threading.Event()
        self.may_end = threading.Event()

    def write_at(self, descriptor: int, buffers: Any, offset: int) -> int:
        self.begun.set()
        assert self.may_end.wait(20)
        return self.told("write_at", descriptor, buffers, offset)  # type: ignore[no-any-return]


class SparingStorage(Storage):
    """Writes and reads at most a few bytes a call; after `most` bytes the disk is full."""

    def __init__(self, few: int, most: int = 1 << 60, error: int = 28) -> None:
        self._few = few
        self._left = most
        self._error = error

    def write_at(self, descriptor: int, buffers: Any, offset: int) -> int:
        if not self._left:
            raise OSError(self._error, os.strerror(self._error))
        taken = super().write_at(descriptor, [b"".join(buffers)[: min(self._few, self._left)]], offset)  # type: ignore[list-item]
        self._left -= taken
        return taken

    def read_at(self, descriptor: int, buffer: memoryview, offset: int) -> int:
        return super().read_at(descriptor, buffer[: self._few], offset)
