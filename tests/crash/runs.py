"""One process of a campaign, listened to by a thread."""

import signal
import subprocess
import threading
from contextlib import suppress
from types import TracebackType
from typing import Self

from aioss_resume.cli.process import DownloadProcess
from aioss_resume.cli.reports import Ended, Failed, Progressed

_EXIT_SECONDS = 10.0  # between the last report and the end of the interpreter


class Run:
    """A process that downloads, and what it told; a context manager that leaves no process behind."""

    most_seconds = 120.0

    def __init__(self, process: DownloadProcess) -> None:
        self._process = process
        self._first = threading.Event()
        self._ended = threading.Event()
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self.resumed_from: int | None = None
        self.result: Ended | None = None
        self.failure: str | None = None

    def __enter__(self) -> Self:
        self._listener.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._listener.join()
        self._process.__exit__(kind, error, trace)

    @property
    def is_alive(self) -> bool:
        return not self._ended.is_set()

    def wait_for_first_report(self) -> int | None:
        """The bytes that it resumes from; None when it ended without a word."""
        self._first.wait(self.most_seconds)
        return self.resumed_from

    def wait_for_end(self, seconds: float) -> bool:
        return self._ended.wait(seconds)

    def send(self, number: signal.Signals) -> None:
        self._process.send(number)

    def end(self) -> int:
        """Let it come to its end, if it does in time; its exit code."""
        self.wait_for_end(self.most_seconds)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_EXIT_SECONDS)
        return self.kill()

    def kill(self) -> int:
        code = self._process.kill()
        self._listener.join()
        return code

    def _listen(self) -> None:
        try:
            for report in self._process.reports():
                match report:
                    case Progressed(consumed=consumed) if self.resumed_from is None:
                        self.resumed_from = consumed
                        self._first.set()
                    case Ended():
                        self.result = report
                    case Failed(message=message):
                        self.failure = message
        finally:
            self._ended.set()
            self._first.set()
