"""One download per destination, over all processes of this machine, and of others where the file system can.

The lock saves work and never guards correctness: on Lustre, GPFS and some NFS it is granted to everyone. What is
published without it is right all the same: part files of different contents have different names, and writes of the
same content at the same offsets change nothing.
"""

from contextlib import suppress
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout

from aioss_resume._io.clock import Clock
from aioss_resume._io.threads import Threads

_POLL_FIRST: Final = 0.02
_POLL_MOST: Final = 0.5  # seconds: whoever waits for a download does not notice half a second


class PathLock:
    """A file that whoever downloads to a destination holds locked, and removes in the end.

    `is_held` says whether this object holds it. All but the waits is synchronous, for a thread.
    """

    def __init__(self, path: Path) -> None:
        self._lock = FileLock(path, timeout=0, thread_local=False)
        self._path = path

    @property
    def is_held(self) -> bool:
        return self._lock.is_locked

    def try_hold(self) -> bool:
        """Take it if it is free; OSError when the directory does not let us."""
        try:
            self._lock.acquire()
        except Timeout:
            return False
        return True

    def release(self) -> None:
        """Remove the file and let go, in that order: who waits finds it unlinked, and makes a new one."""
        if self._lock.is_locked:
            with suppress(OSError):
                self._path.unlink()
            self._lock.release(force=True)


async def wait_for(lock: PathLock, threads: Threads, clock: Clock) -> None:
    """Hold the lock as soon as its holder lets go. It is asked for again and again: flock() cannot be awaited."""
    pause = _POLL_FIRST
    while not await threads.run(lock.try_hold):
        await clock.sleep(pause * (0.5 + clock.chance()))
        pause = min(pause * 1.5, _POLL_MOST)
