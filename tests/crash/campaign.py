"""Downloads, one after the other, killed at random moments; what must hold after each kill and at each end."""

import random
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from aioss_resume._core.crc64 import crc64
from aioss_resume.cli.process import DownloadProcess
from aioss_resume.testing import GeneratedContent, LocalOSS, MiB

from .moments import Moment, choose, wait_for
from .received import stop_and_count
from .runs import Run

BUCKET, KEY = "examplebucket", "exampledir/crash.bin"
CONCURRENCY = 8
LOST_AT_MOST = 64 * MiB + CONCURRENCY * 2 * MiB
"""Bytes fetched twice because of one kill: what the checkpoint lags behind, and what the slots have in memory."""
_UNCERTAIN = CONCURRENCY * MiB // 2  # LocalOSS counts a piece of 512 KiB when it begins to send it
THRESHOLD = 1 * MiB  # so that small objects keep checkpoints too

_SETTLE_SECONDS = 10.0
_BLOCK = 4 * MiB


class Ledger:
    """What one download has cost so far, over all its runs: bytes received, and those that a kill lost.

    A run that was killed before its first report is counted with the next one that made a report.
    """

    def __init__(self) -> None:
        self.received = 0
        self.kills = 0
        self._position = 0  # the resumed bytes that a run reported last
        self._received_since = 0
        self._kills_since = 0

    def add(self, resumed_from: int | None, received: int) -> tuple[int, int]:
        """Another run. Bytes lost by the kills before it, and how many kills; (0, 0) while that is not known."""
        lost = (0, 0)
        if resumed_from is not None and self._kills_since:
            lost = self._position + self._received_since - resumed_from, self._kills_since
        if resumed_from is not None:
            self._position, self._received_since, self._kills_since = resumed_from, 0, 0
        self.received += received
        self._received_since += received
        return lost

    def add_kill(self) -> None:
        self.kills += 1
        self._kills_since += 1


class Campaign:
    """All downloads of one `python -m tests.crash`. `violations` says what did not hold."""

    def __init__(self, directory: Path, size: int, seed: int, *, say: Callable[[str], None]) -> None:
        self.violations: list[str] = []
        self._directory = directory
        self._destination = directory / "crash.bin"
        self._size = size
        self._dice = random.Random(seed)
        self._say = say
        self._old: bytes | None = None
        self._content = GeneratedContent(size, 0)
        self._ledger = Ledger()
        self._kinds: Counter[str] = Counter()
        self._downloads = 0
        self._published_by_killed = 0
        self._twice = 0
        self._most_lost = 0
        self._resumed = 0
        self._seconds = 0.0

    def run(self, kills: int) -> None:
        """Download until so many kills have happened, and the last download to its end."""
        began = time.monotonic()
        with LocalOSS() as oss:
            while self._killed < kills and not self.violations:
                self._begin_download(oss)
                while not self._run_once(oss, choose(self._dice, self._size) if self._killed < kills else None):
                    if self.violations:
                        break
                else:
                    self._end_download()
                self._seconds = time.monotonic() - began
                self._say(self.summary())

    def summary(self) -> str:
        kinds = ", ".join(f"{count} by {kind}" for kind, count in sorted(self._kinds.items()))
        average = self._twice / MiB / max(1, self._killed)
        return (
            f"{self._killed} kills ({kinds or 'none'}) over {self._downloads} downloads of {self._size / MiB:,.0f} MiB"
            f" in {self._seconds:.0f} s: {self._resumed} runs resumed, {self._published_by_killed} were killed"
            f" after the rename; a kill cost {self._most_lost / MiB:.1f} MiB at most (of {LOST_AT_MOST / MiB:.0f}) and"
            f" {average:.1f} on average, {len(self.violations)} violations"
        )

    @property
    def _killed(self) -> int:
        return self._kinds.total()

    def _begin_download(self, oss: LocalOSS) -> None:
        """Another object under the same key, mostly, and an old file at the destination, mostly."""
        if self._dice.random() < 0.7:
            self._content = GeneratedContent(self._size, self._dice.randrange(2**32))
        oss.put(BUCKET, KEY, size=self._size, seed=self._content.seed)
        self._old = f"the old file of download {self._downloads}\n".encode() * 1000
        self._destination.unlink(missing_ok=True)
        if self._dice.random() < 0.75:
            self._destination.write_bytes(self._old)
        else:
            self._old = None
        self._ledger = Ledger()

    def _run_once(self, oss: LocalOSS, moment: Moment | None) -> bool:
        """One process, to its end or to its kill; True when the destination is the new file then."""
        oss.clear_requests()
        process = DownloadProcess(
            oss, BUCKET, KEY, self._destination, part_size=None, multiget_threshold=THRESHOLD, concurrency=CONCURRENCY
        )
        with Run(process) as run:
            received = None
            if moment is None:
                code = run.end()
            else:
                wait_for(moment, run, oss, self._size, self._destination)
                received = stop_and_count(run, oss)
                code = run.kill()
        resumed_from = run.result.resumed_bytes if run.result is not None else run.resumed_from
        sent = self._settled_bytes(oss)
        self._count(run, sent if received is None or code == 0 else received, resumed_from)
        if code == -9 and moment is not None:
            self._kinds[moment.kind] += 1
            self._ledger.add_kill()
        elif code != 0:
            self.violations.append(f"a run ended with exit code {code}: {run.failure or 'nothing was told'}")
        return self._look(run, was_killed=code == -9)

    def _settled_bytes(self, oss: LocalOSS) -> int:
        """Bytes that the run was sent, once the server has noticed that it is gone."""
        deadline = time.monotonic() + _SETTLE_SECONDS
        while not all(request.is_finished for request in oss.requests) and time.monotonic() < deadline:
            time.sleep(0.002)
        return sum(request.bytes_sent for request in oss.requests)

    def _count(self, run: Run, received: int, resumed_from: int | None) -> None:
        if resumed_from:
            self._resumed += 1
        if run.result is not None and run.resumed_from not in (None, run.result.resumed_bytes):
            self.violations.append(
                f"the checkpoint promised {run.resumed_from} bytes, and {run.result.resumed_bytes} were on the disk"
            )
        self._check_loss(*self._ledger.add(resumed_from, received))

    def _check_loss(self, lost: int, kills: int) -> None:
        if not kills:
            return
        self._most_lost = max(self._most_lost, lost // kills)
        if lost > kills * (LOST_AT_MOST + _UNCERTAIN):
            self.violations.append(f"{kills} kill(s) cost {lost} bytes, more than {LOST_AT_MOST} each")

    def _look(self, run: Run, *, was_killed: bool) -> bool:
        """The destination is what it was, or the new file as a whole."""
        if not self._destination.exists():
            if self._old is not None:
                self.violations.append("the old file is gone, and the new one is not there")
            return False
        if self._old is not None and self._destination.stat().st_size == len(self._old):
            if self._destination.read_bytes() != self._old:
                self.violations.append("the old file was damaged")
            if run.result is not None:
                self.violations.append("the process told of a result, and the old file is still there")
            return False
        self._check_published()
        if was_killed:
            self._published_by_killed += 1
        else:
            left = sorted(path.name for path in self._directory.iterdir() if path != self._destination)
            if left:
                self.violations.append(f"success left {', '.join(left)} behind")
        return True

    def _check_published(self) -> None:
        """The file is the object, by its bytes and by its CRC-64."""
        if self._destination.stat().st_size != self._size:
            self.violations.append(f"a file of {self._destination.stat().st_size} bytes was published")
            return
        summed = 0
        with self._destination.open("rb", buffering=0) as file:
            for start in range(0, self._size, _BLOCK):
                block = file.read(_BLOCK)
                summed = crc64(block, summed)
                if block != self._content.read(start, start + _BLOCK):
                    self.violations.append(f"the published file differs from the object at [{start}, {start + _BLOCK})")
                    return
        if summed != self._content.crc64:
            self.violations.append(f"the published file's CRC-64 is {summed}, not {self._content.crc64}")

    def _end_download(self) -> None:
        self._downloads += 1
        kills, twice = self._ledger.kills, self._ledger.received - self._size
        self._twice += max(0, twice)
        if kills and twice > kills * (LOST_AT_MOST + _UNCERTAIN):
            self.violations.append(
                f"{self._ledger.received} bytes were received for {self._size}, with {kills} kill(s)"
            )
