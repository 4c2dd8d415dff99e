"""A process that downloads from a LocalOSS: start it, read its reports, kill it."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from aioss_resume.cli.reports import Report, decode
from aioss_resume.testing import LocalOSS

_END_SECONDS = 10.0  # for a process to end after SIGKILL; the kernel needs milliseconds


class DownloadProcess:
    """One process of `aioss_resume.cli.child`. It has ended when the `with` block ends."""

    def __init__(
        self,
        oss: LocalOSS,
        bucket: str,
        key: str,
        path: Path,
        *,
        part_size: int | None,
        multiget_threshold: int,
        concurrency: int,
    ) -> None:
        """Start it."""
        command = [sys.executable, "-m", "aioss_resume.cli.child", oss.endpoint, oss.region, bucket, key, str(path)]
        command += [f"--multiget-threshold={multiget_threshold}", f"--concurrency={concurrency}"]
        if part_size is not None:
            command.append(f"--part-size={part_size}")
        environment = {name: value for name, value in os.environ.items() if not name.startswith("OSS_")}
        environment |= {"OSS_ACCESS_KEY_ID": oss.access_key_id, "OSS_ACCESS_KEY_SECRET": oss.access_key_secret}
        # The child writes whole lines.
        self._process = subprocess.Popen(  # noqa: S603 - our own module
            command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, encoding="utf-8"
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        if self._process.stdout is not None:
            self._process.stdout.close()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs; -9 when it was killed."""
        return self._process.poll()

    def reports(self) -> Iterator[Report]:
        """Yield the reports of the process until it ends."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            yield decode(line)

    def send(self, number: signal.Signals) -> None:
        """Send a signal, unless the process has ended."""
        self._process.send_signal(number)

    def kill(self) -> int:
        """Send SIGKILL, unless the process has ended. Returns the exit code."""
        self._process.kill()
        return self.wait(_END_SECONDS)

    def wait(self, timeout: float | None = None) -> int:
        """Wait until the process has ended. Returns the exit code.

        Raises:
            subprocess.TimeoutExpired: The process still runs after `timeout` seconds.
        """
        return self._process.wait(timeout)
