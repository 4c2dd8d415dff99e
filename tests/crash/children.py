"""Processes that download to one path at the same time."""

import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from aioss_resume.cli.process import DownloadProcess
from aioss_resume.testing import LocalOSS, MiB

_CHILD = Path(__file__).with_name("child.py")


class Child(DownloadProcess):
    """A DownloadProcess whose locks may be no-ops, and which may be told when to begin."""

    def __init__(
        self,
        oss: LocalOSS,
        bucket: str,
        key: str,
        path: Path,
        *,
        part_size: int | None = MiB,
        multiget_threshold: int = MiB,
        concurrency: int = 4,
        no_locks: bool = False,
        waits: bool = False,
    ) -> None:
        """Start it; with `waits` it downloads nothing before begin()."""
        command = [sys.executable, str(_CHILD), oss.endpoint, oss.region, bucket, key, str(path)]
        command += [f"--multiget-threshold={multiget_threshold}", f"--concurrency={concurrency}"]
        if part_size is not None:
            command.append(f"--part-size={part_size}")
        command += ["--no-locks"] * no_locks + ["--wait"] * waits
        environment = {name: value for name, value in os.environ.items() if not name.startswith("OSS_")}
        environment |= {"OSS_ACCESS_KEY_ID": oss.access_key_id, "OSS_ACCESS_KEY_SECRET": oss.access_key_secret}
        self._process = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
        )

    def await_readiness(self) -> None:
        """Block until one that waits has imported all it needs."""
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"

    def begin(self) -> None:
        """Let one that waits begin."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def await_open_files(self, suffix: str, count: int) -> None:
        """Block until it has opened so many files whose names end so."""
        directory = Path(f"/proc/{self._process.pid}/fd")
        deadline = time.monotonic() + 20
        while sum(name.endswith(suffix) for name in _targets(directory)) < count:
            assert time.monotonic() < deadline, f"fewer than {count} files *{suffix} are open"
            time.sleep(0.002)

    def __exit__(self, *given: object) -> None:
        self.kill()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()


def _targets(descriptors: Path) -> list[str]:
    found = []
    for each in descriptors.iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            found.append(os.readlink(each))
    return found
