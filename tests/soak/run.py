"""A soak: an OSS with faults in this process, the downloads in another, and what they must keep to."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

from aioss_resume.testing import KiB, LocalOSS, MiB

from .growth import Sample, growing, memory_growth
from .worker import CONCURRENCY, FLIPPED

BUCKET = "examplebucket"
SIZES = (0, 1, 1000, 100 * KiB, MiB - 1, 2 * MiB, 5 * MiB + 7, 12 * MiB)
COPIES = 4  # of each size, so that tasks rarely use the same object
CANCELS = 0.05
THREADS = 8  # four of the pool, and up to four of file_thread if calls hang
_WORKER = Path(__file__).with_name("worker.py")
_SAY_SECONDS = 10.0
_LEDGER_MOST = 5_000


class SoakRun:
    """One run. `violations` says what did not hold."""

    def __init__(
        self, directory: Path, seconds: float, *, faults: float, seed: int, say: Callable[[str], None]
    ) -> None:
        self.violations: list[str] = []
        self.samples: list[Sample] = []
        self.outcomes: dict[str, int] = {}
        self._directory = directory
        self._seconds = seconds
        self._faults = faults
        self._seed = seed
        self._say = say
        self._fetched = 0
        self._said = self._began = time.monotonic()
        self.warnings = 0

    def run(self) -> None:
        """Download until the time is over; then, without faults, every object once more."""
        with LocalOSS() as oss:
            objects = [(f"{size}-{copy}.bin", size, 1000 * copy + 1) for size in SIZES for copy in range(COPIES)]
            for key, size, seed in objects:
                oss.put(BUCKET, key, size=size, seed=seed)
            set_faults(oss, self._faults, self._seed)
            with self._worker(oss, objects) as worker:
                try:
                    self._follow(worker, oss)
                finally:
                    worker.kill()
        if self.samples:
            self.violations += growing(self.samples, sockets=CONCURRENCY, threads=THREADS)

    def summary(self) -> str:
        last = self.samples[-1] if self.samples else None
        held = ""
        if last is not None:
            rise, _ = memory_growth(self.samples)
            held = (
                f"; {last.memory / MiB:.1f} MiB ({rise / MiB:+.1f} MiB/h over the second half), {last.sockets} sockets,"
                f" {last.files} files, {last.threads} threads, {last.tasks} tasks"
            )
        ends = ", ".join(f"{count} {kind}" for kind, count in sorted(self.outcomes.items()))
        return (
            f"{time.monotonic() - self._began:.0f} s: {ends or 'nothing yet'}; {self._fetched / MiB:,.0f} MiB fetched,"
            f" {self.warnings} warnings"
            f"{held}; {len(self.violations)} violations"
        )

    def _worker(self, oss: LocalOSS, objects: list[tuple[str, int, int]]) -> subprocess.Popen[str]:
        given = {
            "endpoint": oss.endpoint,
            "region": oss.region,
            "bucket": BUCKET,
            "objects": objects,
            "directory": str(self._directory),
            "seconds": self._seconds,
            "cancels": CANCELS if self._faults else 0,
            "seed": self._seed,
        }
        environment = {
            "OSS_ACCESS_KEY_ID": oss.access_key_id,
            "OSS_ACCESS_KEY_SECRET": oss.access_key_secret,
            # One arena for all threads. malloc_trim() does not shrink the top of other arenas, so memory would seem to
            # grow by 2 MiB whenever a thread uses more than ever before.
            "MALLOC_ARENA_MAX": "1",
        }
        pipe = subprocess.PIPE
        command = [sys.executable, str(_WORKER), json.dumps(given)]
        return subprocess.Popen(command, env=os.environ | environment, stdin=pipe, stdout=pipe, text=True)

    def _follow(self, worker: subprocess.Popen[str], oss: LocalOSS) -> None:
        assert worker.stdout is not None
        assert worker.stdin is not None
        for line in worker.stdout:
            told = json.loads(line)
            if told.get("last"):
                oss.faults.clear()
                worker.stdin.write("\n")
                worker.stdin.flush()
                continue
            self._take(told)
            if told.get("end"):
                break
            if len(oss.requests) > _LEDGER_MOST:
                oss.clear_requests()
        else:
            self.violations.append(f"the process that downloads ended with exit code {worker.wait()}")

    def _take(self, told: dict[str, Any]) -> None:
        self.outcomes = told["outcomes"]
        self.violations += told["wrong"]
        if told.get("end"):
            for key in told["missing"]:
                self.violations.append(f"{key} is not there in the end")
            if told["left"]:
                self.violations.append(f"left behind in the end: {', '.join(told['left'])}")
            return
        self._fetched = told["fetched"]
        self.warnings = told["warnings"]
        self.samples.append(Sample(**{field.name: told[field.name] for field in fields(Sample)}))
        if time.monotonic() - self._said >= _SAY_SECONDS:
            self._said = time.monotonic()
            self._say(self.summary())


def set_faults(oss: LocalOSS, share: float, seed: int) -> None:
    """Let about that share of the requests meet a fault, for ever: a replaced object and a flipped bit seldom."""
    if not share:
        return
    faults = oss.faults
    weights: list[tuple[float, Callable[..., object]]] = [
        (4, lambda **scope: faults.reset_after(70_000, **scope)),
        (3, faults.reset_before),
        (4, lambda **scope: faults.truncate(300_000, **scope)),
        (4, lambda **scope: faults.status(503, retry_after=0, **scope)),
        (2, lambda **scope: faults.status(500, **scope)),
        (1, lambda **scope: faults.stall(50_000, **scope)),
        (1, faults.never_answer),
        (1, lambda **scope: faults.flip_bit(FLIPPED, **scope)),
        (1, faults.replace_object),
    ]
    total = sum(weight for weight, _ in weights)
    for index, (weight, fault) in enumerate(weights):
        fault(times=None, probability=share * weight / total, seed=seed * 100 + index)
