"""One download per destination, over all processes of this machine, and of others where the file system can.

The lock saves work and never guards correctness: on Lustre, GPFS and some NFS it is granted to everyone. What is
published without it is right all the same: part files of different contents have different names, and writes of the
same content at the same offsets change nothing.
"""

import errno
import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from filelock import lock_descriptor

POLL_FIRST: Final = 0.02
POLL_MOST: Final = 0.5
"""Seconds between two tries to hold a lock: flock() cannot be awaited, and half a second is little for a download."""

_NOT_HERE: Final = frozenset({errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK})


class PathLock:
    """A file that whoever downloads to a destination holds locked, and removes in the end. For a thread: it blocks.

    `is_held` says whether this object holds it.
    """

    def __init__(self, path: Path) -> None:
        self._path = str(path)
        self._descriptor = -1

    @property
    def is_held(self) -> bool:
        return self._descriptor >= 0

    def try_hold(self) -> bool:
        """Take it if it is free; OSError when the directory does not let us."""
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        while True:
            descriptor = os.open(self._path, flags, 0o600)
            try:
                is_ours = lock_descriptor(descriptor, blocking=False)
            except OSError as error:
                if error.errno not in _NOT_HERE:
                    os.close(descriptor)
                    raise
                is_ours = True  # a file system without locks: see above
            if not is_ours:
                os.close(descriptor)
                return False
            if os.fstat(descriptor).st_nlink:
                self._descriptor = descriptor
                return True
            os.close(descriptor)  # its last holder removed it between our open() and lock: that one locks nothing

    def release(self) -> None:
        """Remove the file and let go, in that order: whoever waits finds it removed, and makes a new one."""
        if self.is_held:
            descriptor, self._descriptor = self._descriptor, -1
            with suppress(OSError):
                os.unlink(self._path)  # noqa: PTH108  # cheaper than a Path's
            os.close(descriptor)
