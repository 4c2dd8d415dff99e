"""Several processes on one path, any of them killed at random moments, and others put in their place."""

import random
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from aioss_resume.testing import GeneratedContent, LocalOSS

from .children import Child
from .runs import Run
from .watching import Watcher

BUCKET, KEY = "examplebucket", "exampledir/race.bin"
_MOST_SECONDS = 0.7  # between two kills: about the time in which a process starts and fetches 64 MiB
_LOOK_SECONDS = 0.002


class Race:
    """All downloads of one `python -m tests.crash --processes N`. `violations` says what did not hold.

    What must: the destination is the old file or the right one at every look of a watcher; whoever says that it has
    succeeded is right; in the end one process, alone, succeeds; and where locks hold, nobody fails and nothing else is
    left then. Where they do nothing, a process may fail with an error of ours, and one that is killed may leave
    hidden files that the others did not know of.
    """

    def __init__(
        self,
        directory: Path,
        size: int,
        seed: int,
        processes: int,
        *,
        no_locks: bool,
        say: Callable[[str], None],
    ) -> None:
        self.violations: list[str] = []
        self._directory = directory
        self._destination = directory / "race.bin"
        self._size = size
        self._dice = random.Random(seed)
        self._processes = processes
        self._no_locks = no_locks
        self._say = say
        self._kills = 0
        self._downloads = 0
        self._succeeded = 0
        self._errors: Counter[str] = Counter()
        self._left: Counter[str] = Counter()
        self._looks = 0

    def run(self, kills: int) -> None:
        """Download until so many kills have happened, and the last download to its end."""
        with LocalOSS() as oss:
            while self._kills < kills and not self.violations:
                self._download(oss, kills)
                self._say(self.summary())

    def summary(self) -> str:
        errors = ", ".join(f"{count} {name}" for name, count in sorted(self._errors.items()))
        left = ", ".join(f"{count} {kind}" for kind, count in sorted(self._left.items()))
        return (
            f"{self._kills} kills over {self._downloads} downloads by {self._processes} processes at once:"
            f" {self._succeeded} succeeded, errors: {errors or 'none'}, left behind: {left or 'nothing'},"
            f" {self._looks} looks at the destination, {len(self.violations)} violations"
        )

    def _download(self, oss: LocalOSS, kills: int) -> None:
        """One object, raced for until a process that nobody kills has brought it."""
        seed = self._dice.randrange(2**32)
        oss.put(BUCKET, KEY, size=self._size, seed=seed)
        oss.clear_requests()
        right = GeneratedContent(self._size, seed).read(0, self._size)
        old = f"the old file of download {self._downloads}\n".encode() * 1000 if self._dice.random() < 0.75 else None
        for path in self._directory.iterdir():
            path.unlink()
        if old is not None:
            self._destination.write_bytes(old)
        with Watcher(self._destination, old, lambda: [right]) as watcher, ExitStack() as stack:
            self._race(oss, stack, self._dice.randint(1, 4), kills)
            run = stack.enter_context(Run(self._start(oss)))
            self._judge(run, run.end(), must_succeed=True)
        self.violations += watcher.wrong
        self._looks += watcher.looks
        self._downloads += 1
        if not self._destination.exists() or self._destination.read_bytes() != right:
            self.violations.append("after the last process the destination is not the right file")
        left = [path.name for path in self._directory.iterdir() if path != self._destination]
        self._left.update(name.rpartition(".")[2] for name in left)
        if left and not self._no_locks:
            self.violations.append(f"success left {', '.join(left)} behind")

    def _race(self, oss: LocalOSS, stack: ExitStack, rounds: int, kills: int) -> None:
        """So many kills, each of a random one of the processes; then the rest come to their ends."""
        runs: list[Run] = []
        for _ in range(rounds):
            while len(runs) < self._processes:
                runs.append(stack.enter_context(Run(self._start(oss))))
            deadline = time.monotonic() + self._dice.uniform(0.05, _MOST_SECONDS)
            while time.monotonic() < deadline and any(run.is_alive for run in runs):
                time.sleep(_LOOK_SECONDS)
            victim = runs.pop(self._dice.randrange(len(runs)))
            code = victim.kill()
            if code == -9:
                self._kills += 1
            else:
                self._judge(victim, code)
            for run in [run for run in runs if not run.is_alive]:
                runs.remove(run)
                self._judge(run, run.end())
            if self._kills >= kills:
                break
        for run in runs:
            self._judge(run, run.end())

    def _start(self, oss: LocalOSS) -> Child:
        return Child(oss, BUCKET, KEY, self._destination, no_locks=self._no_locks)

    def _judge(self, run: Run, code: int, *, must_succeed: bool = False) -> None:
        """A process that was not killed has succeeded or has failed with an error of ours."""
        if code == 0 and run.result is not None and run.result.verified:
            self._succeeded += 1
            return
        error = (run.failure or "").partition(":")[0]
        self._errors[error] += 1
        self._say(f"a process failed: {run.failure or 'nothing was told'}")
        if must_succeed or not (self._no_locks and code == 1 and error.endswith("Error")):
            self.violations.append(f"a process ended with exit code {code}: {run.failure or 'nothing was told'}")
