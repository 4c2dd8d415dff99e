"""Downloads in processes of their own, one system call of which is made to fail by strace."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import pytest

from aioss_resume.testing import LocalOSS

_NURSERY: Final = Path(__file__).with_name("nursery.py")

CALLS: Final = {
    "open": ("open", "openat"),
    "write_at": ("pwritev", "pwritev2"),
    "read_at": ("preadv", "preadv2"),
    "ftruncate": ("ftruncate",),
    "fsync": ("fsync", "fdatasync"),
    "close": ("close",),
    "replace": ("rename", "renameat", "renameat2"),
    "unlink": ("unlink", "unlinkat"),
}
"""Methods of Storage, and what the kernel may call them."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a child's download ended, and the calls that strace saw, as it writes them."""

    how: Any  # of JSON
    calls: Sequence[str]

    @property
    def injected(self) -> list[str]:
        return [call for call in self.calls if call.endswith("(INJECTED)")]

    def names_below(self, directory: Path) -> set[str]:
        """The directory, and every file in it that was opened."""
        return {found for call in self.calls for found in re.findall(f'"({re.escape(str(directory))}[^"]*)"', call)}


class Traced:
    """Starts downloads. Left by `with`, its processes are no more."""

    def __init__(self, oss: LocalOSS, log: Path) -> None:
        self._oss = oss
        self._log = log
        environment = os.environ | {
            "OSS_ACCESS_KEY_ID": oss.access_key_id,
            "OSS_ACCESS_KEY_SECRET": oss.access_key_secret,
        }
        pipe = subprocess.PIPE
        self._nursery = subprocess.Popen(
            [sys.executable, str(_NURSERY)], env=environment, stdin=pipe, stdout=pipe, text=True
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._nursery.kill()
        self._nursery.communicate()

    def download(self, path: Path, keywords: Any, strace: Sequence[str]) -> Ended:
        """One download with these options of strace."""
        self._say(json.dumps({"endpoint": self._oss.endpoint, "path": str(path), "keywords": keywords}))
        command = ["strace", "-f", "-y", "-s", "4096", "-o", str(self._log), *strace, "-p", self._hear()]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as tracer:
            assert tracer.stderr is not None
            said = ""
            for line in tracer.stderr:
                said += line
                if "attached" in line:
                    break
            else:
                self._say("alone")
                self._hear()
                if "not permitted" in said:
                    pytest.skip(f"no process may be traced here: {said.strip()}")
                raise AssertionError(said)
            self._say("traced")
            how = json.loads(self._hear())
            tracer.stderr.read()  # it ends with the child
        return Ended(how, self._log.read_text().splitlines())

    def _say(self, line: str) -> None:
        assert self._nursery.stdin is not None
        self._nursery.stdin.write(line + "\n")
        self._nursery.stdin.flush()

    def _hear(self) -> str:
        assert self._nursery.stdout is not None
        return self._nursery.stdout.readline().strip()


def watching(method: str) -> list[str]:
    """strace's options: these calls alone are told of."""
    return ["-e", f"trace={_kernels(method)}"]


def failing(method: str, nth: int, error: str, paths: set[str]) -> list[str]:
    """strace's options: the nth of these calls, on any of these files, fails."""
    injected = f"inject={_kernels(method)}:error={error}:when={nth}"
    return [*watching(method), "-e", injected, *(option for path in sorted(paths) for option in ("-P", path))]


def skip_without_strace() -> None:
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")


def _kernels(method: str) -> str:
    # strace ignores a name with "?" if the kernel does not have it.
    return ",".join(f"?{name}" for name in CALLS[method])
