"""When to kill: a moment, chosen by chance, and waited for."""

import random
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from aioss_resume.testing import GiB, LocalOSS

from .runs import Run

_LOOK_SECONDS = 0.05  # between two looks whether the process has ended
_START_SECONDS = 0.8  # the interpreter, the imports and the first requests
_COMMIT_SECONDS = 0.1  # the last writes, the rename, the clean-up
_PROOF_SPEED = 2 * GiB  # bytes a second, about, at which kept spans are read back before the commit
_WORTH_CUTTING = 0.02  # as a fraction of the object
_RENAME_LOOK_SECONDS = 0.0005


@dataclass(frozen=True, slots=True)
class Moment:
    """A moment in a run.

    Start: `seconds` after the process began. Bytes: when `share` of what was missing is served. Commit: `seconds`
    after all of it is served; bytes are that too, when next to nothing was missing. Rename: as soon as there is
    another file at the destination.
    """

    kind: Literal["bytes", "start", "commit", "rename"]
    share: float = 1.0
    seconds: float = 0.0


def choose(dice: random.Random, size: int) -> Moment:
    kind = dice.choices(("bytes", "start", "commit", "rename"), (12, 4, 4, 1))[0]
    if kind == "start":
        return Moment("start", seconds=dice.uniform(0, _START_SECONDS))
    if kind == "rename":
        return Moment("rename")
    seconds = dice.uniform(0, _COMMIT_SECONDS + size / _PROOF_SPEED)
    return Moment("commit", seconds=seconds) if kind == "commit" else Moment("bytes", dice.uniform(0, 0.8), seconds)


def wait_for(moment: Moment, run: Run, oss: LocalOSS, size: int, destination: Path) -> None:
    """Return at the moment, or when the process has ended before it."""
    if moment.kind == "rename":
        _wait_for_rename(run, destination)
        return
    if moment.kind != "start":
        resumed = run.wait_for_first_report()
        if resumed is None:
            return
        missing = size - resumed
        if moment.kind == "bytes" and missing >= size * _WORTH_CUTTING:
            _wait_for_bytes(int(missing * moment.share), run, oss)
            return
        _wait_for_bytes(missing, run, oss)
    run.wait_for_end(moment.seconds)


def _wait_for_rename(run: Run, destination: Path) -> None:
    before = _identity(destination)
    deadline = time.monotonic() + run.most_seconds
    while _identity(destination) == before and time.monotonic() < deadline:
        if run.wait_for_end(_RENAME_LOOK_SECONDS):
            return


def _identity(path: Path) -> int | None:
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return None


def _wait_for_bytes(count: int, run: Run, oss: LocalOSS) -> None:
    deadline = time.monotonic() + run.most_seconds
    while run.is_alive and time.monotonic() < deadline:
        try:
            oss.wait_for_bytes(count, _LOOK_SECONDS)
        except TimeoutError:
            continue
        return
