"""The demo: a download is killed half-way, and the next process resumes it."""

import secrets
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NoReturn

from aioss_resume.cli.process import DownloadProcess
from aioss_resume.cli.reports import Ended, Failed, Progressed, Warned
from aioss_resume.cli.showing import Shown, State, is_animated, showing
from aioss_resume.cli.signals import end_signals
from aioss_resume.cli.sizes import in_words
from aioss_resume.testing import KiB, LocalOSS, MiB, RequestRecord, StoredObject

BUCKET: Final = "examplebucket"
KEY: Final = "exampledir/demo.bin"
CONCURRENCY: Final = 8

LOST_AT_MOST: Final = 64 * MiB + CONCURRENCY * 2 * MiB
"""Bytes that a kill may cost: those written since the last checkpoint, and those in memory for each connection."""

_BLOCK: Final = 4 * MiB
_RESETS: Final = (3, 9, 15)  # after so many requests, the next one that is long enough is reset
_RUN_SECONDS: Final = 1.8
# For the share of the object that one run fetches. Checkpoints are flushed once a second, or after 32 MiB: a run
# that is killed sooner has kept nothing.
_DEMO_SECONDS: Final = 4.0  # the least duration of all runs together, so that there is something to watch
_SPEED_MOST: Final = 128 * MiB
# Bytes a second. What is sent faster than it is read fills the kernel's buffers, up to 36 MiB a connection, and a kill
# throws that away too.


@dataclass(slots=True)
class _Runs:
    """The reports of all runs."""

    resumed_from: list[int] = field(default_factory=list)
    result: Ended | None = None
    failure: str | None = None


class Demo:
    """One demo, with its server and its directory."""

    def __init__(self, size: int, kills: int, directory: Path | None) -> None:
        """Set up.

        Args:
            size: Bytes of the object, at least 1 MiB.
            kills: How often SIGKILL is sent.
            directory: The directory of the file; None for a temporary one, which is removed at the end.
        """
        self._size = size
        self._kills = kills
        self._directory = directory
        # As a download would choose it, but small enough for each connection to get a part.
        self._part_size = max(128 * KiB, min(8 * MiB, size // (4 * CONCURRENCY)))

    def run(self) -> int:
        """Run the demo. Returns the exit code, 0 if everything was as promised.

        Raises:
            OSError: The directory cannot be used.
        """
        with LocalOSS() as oss, _directory(self._directory) as directory:
            stored = oss.put(BUCKET, KEY, size=self._size, seed=secrets.randbits(32))
            self._set_faults(oss)
            destination = directory / "demo.bin"
            _say(f"{in_words(self._size)} in oss://{BUCKET}/{KEY} on {oss.endpoint}")
            _say(f"parts of {in_words(self._part_size)}, {CONCURRENCY} at once, signed with OSS4-HMAC-SHA256")
            runs = _Runs()
            with showing("bar" if is_animated() else "plain", as_json=False, quiet=False) as shown:
                for number in range(1, self._kills + 2):
                    self._run_once(oss, destination, number, runs, shown)
                    if runs.failure is not None or runs.result is not None:
                        break
            return self._account(oss.requests, runs, stored, destination)

    def _set_faults(self, oss: LocalOSS) -> None:
        seconds = max(_DEMO_SECONDS, _RUN_SECONDS * (self._kills + 1), self._size / _SPEED_MOST)
        oss.faults.slow(self._size / seconds / CONCURRENCY, times=None)
        for spared in _RESETS:
            oss.faults.reset_after(self._part_size // 2, after_requests=spared)

    def _run_once(self, oss: LocalOSS, destination: Path, number: int, runs: _Runs, shown: Shown) -> None:
        """Run one process, and kill it after its share of the object unless it is the last."""
        kill_at = self._size * number // (self._kills + 1) if number <= self._kills else None
        with DownloadProcess(
            oss,
            BUCKET,
            KEY,
            destination,
            part_size=self._part_size,
            multiget_threshold=self._part_size,
            concurrency=CONCURRENCY,
        ) as process:
            state = State(f"run {number}", total=self._size)
            is_first = True
            for report in process.reports():
                match report:
                    case Progressed(consumed=consumed):
                        if is_first:
                            runs.resumed_from.append(consumed)
                            _say(f"run {number}: process {process.pid} {_beginning(consumed)}")
                            is_first, state.kept = False, consumed
                        state.consumed = consumed
                        shown.show(state)
                        if kill_at is not None and consumed >= kill_at:
                            process.kill()
                            _say(f"run {number}: killed with SIGKILL when {in_words(consumed)} were written")
                            return
                    case Warned(message=message):
                        _say(f"run {number}: {message}")
                    case Ended():
                        runs.result = report
                    case Failed(message=message):
                        runs.failure = message
            code = process.wait()
        if runs.result is None and runs.failure is None:
            runs.failure = f"the process ended with exit code {code} and without a result"
        _say(f"run {number}: {runs.failure or 'verified and committed'}")

    def _account(self, requests: list[RequestRecord], runs: _Runs, stored: StoredObject, destination: Path) -> int:
        """Print the summary. Returns the exit code, 0 if everything was as promised."""
        result = runs.result
        if result is None:
            _say("the download did not get through")
            return 1
        twice = sum(request.bytes_sent for request in requests) - self._size
        resets = sum("reset_after" in request.faults for request in requests)
        verified = result.verified and result.crc64 == stored.content.crc64
        equal = _is_equal(destination, stored)
        left = [path.name for path in destination.parent.glob(f".{destination.name}.*")]
        facts = (
            ("kept", f"{in_words(result.resumed_bytes)} from the runs before, proven on the disk"),
            ("fetched", f"{in_words(result.fetched_bytes)} by the last run, in {result.elapsed:.1f} s"),
            ("fetched twice", f"{in_words(twice)} over all runs, {100 * twice / self._size:.1f} % of the object"),
            ("requests", f"{len(requests)}, of which {resets} were reset"),
            ("CRC-64", f"{'verified' if verified else 'NOT VERIFIED'}, {result.crc64}"),
            ("file", "the object, byte by byte" if equal else "NOT THE OBJECT"),
            ("left behind", ", ".join(left) or "nothing"),
        )
        print()
        for name, value in facts:
            _say(f"{name + ':':15}{value}")
        broken = [
            promise
            for promise, holds in (
                ("the CRC-64 is verified", verified),
                ("the file is the object", equal),
                ("each run after the first resumes", all(runs.resumed_from[1:])),
                (
                    "kept and fetched bytes are the object's size",
                    result.resumed_bytes + result.fetched_bytes == self._size,
                ),
                (
                    f"a kill costs at most {in_words(LOST_AT_MOST)}",
                    not self._kills or twice <= self._kills * LOST_AT_MOST,
                ),
                ("success leaves nothing but the file", not left),
            )
            if not holds
        ]
        for promise in broken:
            _say(f"BROKEN: {promise}")
        return 1 if broken else 0


def _beginning(consumed: int) -> str:
    return f"resumes from its checkpoint: {in_words(consumed)} are there" if consumed else "begins from zero"


def _is_equal(path: Path, stored: StoredObject) -> bool:
    """Whether the file has the object's bytes, by comparing them."""
    size = stored.content.size
    if path.stat().st_size != size:
        return False
    with path.open("rb", buffering=0) as file:
        return all(file.read(_BLOCK) == stored.content.read(at, at + _BLOCK) for at in range(0, size, _BLOCK))


@contextmanager
def _directory(given: Path | None) -> Iterator[Path]:
    if given is not None:
        given.mkdir(parents=True, exist_ok=True)
        yield given
        return
    with tempfile.TemporaryDirectory(prefix="aioss-resume-demo-") as made:
        yield Path(made)


def _say(line: str) -> None:
    print(line, flush=True)


def run_demo(size: int, kills: int, directory: Path | None) -> int:
    """Run a demo, and return the exit code. All signals that end it clean up like Ctrl-C."""
    try:
        with _as_ctrl_c(*(number for number in end_signals() if number != signal.SIGINT)):
            return Demo(size, kills, directory).run()
    except KeyboardInterrupt:
        return 130
    except OSError as error:
        print(f"aioss-resume demo: {error}", file=sys.stderr)
        return 1


@contextmanager
def _as_ctrl_c(*numbers: signal.Signals) -> Iterator[None]:
    """End the process by an exception on these signals, so that processes and directories are cleaned up."""

    def end(number: int, _frame: object) -> NoReturn:
        sys.exit(128 + number)

    before = [(number, signal.signal(number, end)) for number in numbers]
    try:
        yield
    finally:
        for number, handler in before:
            signal.signal(number, handler)
