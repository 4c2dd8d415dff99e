"""Small downloads in many ranges: what tests of faults and of resuming ask for, and how they read the ledger."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel

import aioss_resume
from aioss_resume import DownloadResult, RetryPolicy
from aioss_resume._io.clock import Clock
from aioss_resume.testing import GeneratedContent, KiB, LocalOSS

PART = 100 * KiB
SIZE = 10 * PART + 77
QUICK = RetryPolicy(wait_initial=0.0, wait_max=0.0)
RANGED: dict[str, Any] = {"part_size": PART, "multiget_threshold": PART, "fsync": False, "retry": QUICK}
"""Any: the keywords of download() are of many types."""


class CountingClock(Clock):
    """Sleeps no time and remembers for how long it was asked to."""

    def __init__(self, chance: float = 1.0) -> None:
        self.waits: list[float] = []
        self._chance = chance

    def chance(self) -> float:
        return self._chance

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        await anyio.lowlevel.checkpoint()


def whole(size: int = SIZE, seed: int = 1) -> bytes:
    return GeneratedContent(size, seed).read(0, size)


def asked(oss: LocalOSS) -> list[tuple[int, int | None] | None]:
    """The ranges of the ledger's GETs, in the order of arrival."""
    return [record.range for record in oss.requests if record.method == "GET"]


def begins_at(offset: int) -> Callable[[tuple[int, int | None] | None], bool]:
    """A scope for faults: ranges that begin there or further on."""
    return lambda range_: range_ is not None and range_[0] >= offset


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def leftover(directory: Path, kind: str) -> Path:
    """The one part file, checkpoint or lock in a directory."""
    [path] = directory.glob(f".*.{kind}")
    return path


async def interrupt(bucket: Any, oss: LocalOSS, path: Path, *, at: int = 5 * PART, **keywords: Any) -> None:
    """Begin a download and cancel it when exactly the first `at` bytes, a multiple of PART, are written."""
    hold = oss.faults.stall(range=begins_at(at), times=None)
    reached = anyio.Event()

    def progress(consumed: int, _total: int | None) -> None:
        if consumed >= at:
            reached.set()

    async def run() -> DownloadResult:
        return await aioss_resume.download(bucket, "key", path, **{**RANGED, "progress_callback": progress, **keywords})

    async with anyio.create_task_group() as group:
        group.start_soon(run)
        with anyio.fail_after(20):
            await reached.wait()
        group.cancel_scope.cancel()
    hold.cancel()
    oss.clear_requests()
