"""A thread that looks at a destination all the time."""

import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

_PAUSE = 0.003


class Watcher:
    """Looks, from `with` to its end, whether the destination is the old file or the right one, and never none.

    `wrong` says what it saw that must not be.
    """

    def __init__(self, destination: Path, old: bytes | None, right: Callable[[], list[bytes]]) -> None:
        """
        Args:
            destination: The file.
            old: What was there before; None: nothing.
            right: The contents that may be there.
        """
        self._destination = destination
        self._old = old
        self._right = right
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._was_published = False
        self.wrong: list[str] = []
        self.looks = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        self._look()

    def _watch(self) -> None:
        while not self._stop.wait(_PAUSE) and not self.wrong:
            self._look()

    def _look(self) -> None:
        self.looks += 1
        try:
            found = self._destination.read_bytes()
        except FileNotFoundError:
            if self._old is not None or self._was_published:
                self.wrong.append("the destination was gone")
            return
        if found in self._right():
            self._was_published = True
        elif found != self._old:
            self.wrong.append(f"the destination had {len(found)} bytes, neither the old ones nor the right ones")
        elif self._was_published:
            self.wrong.append("the old file came back")
