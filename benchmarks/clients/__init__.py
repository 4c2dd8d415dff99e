"""The clients: one file each behind one small protocol.

A client is either a command that the parent starts and watches, or Python code that `benchmarks.run` starts
in a fresh process: it imports everything first, and only then lets the clock run.
"""

import importlib
import importlib.metadata
import importlib.util
import sys
from collections.abc import Callable
from typing import Any, ClassVar, Protocol

from benchmarks.job import Job

ONE, MANY, RESUME, LOOP = "one", "many", "resume", "loop"
"""What a client can do: one object; many small ones; continue after a kill; run beside an event loop."""

Transfer = Callable[[], Any]
"""Does the job. Async where the client has a `loop`. May return a dict of more figures."""


class Client(Protocol):
    name: str
    skills: frozenset[str]

    def missing(self) -> str | None:
        """Why it cannot run here, or None."""

    def version(self) -> str: ...

    def command(self, job: Job) -> list[str]:
        """The process to start."""

    reports: ClassVar[bool]
    """Its process prints its own figures, as benchmarks.run does."""


class PythonClient:
    """Code in a fresh Python. A subclass imports in `prepare` and does everything else in the Transfer."""

    reports: ClassVar[bool] = True
    package: ClassVar[str]
    module: ClassVar[str]

    def __init__(self, name: str, skills: set[str], *, loop: str | None = None) -> None:
        self.name = name
        self.skills = frozenset(skills)
        self.loop = loop
        """None for a blocking one, else "asyncio" or "uvloop"."""

    def missing(self) -> str | None:
        if importlib.util.find_spec(self.module) is None:
            return f"not installed (pip install {self.package})"
        if self.loop == "uvloop" and importlib.util.find_spec("uvloop") is None:
            return "not installed (pip install uvloop)"
        return None

    def version(self) -> str:
        return importlib.metadata.version(self.package)

    def python(self) -> str:
        return sys.executable

    def command(self, job: Job) -> list[str]:
        return [self.python(), "-m", "benchmarks.run", self.name, job.to_json()]

    def prepare(self, job: Job) -> Transfer:
        raise NotImplementedError


FILES = {
    "aioss-resume": "aioss_resume",
    "oss2": "oss2_threads",
    "oss-v2": "oss_v2",
    "aiooss2": "aiooss2_own",
    "obstore": "obstore_rust",
    "opendal": "opendal_rust",
    "pypdl": "pypdl_segments",
    "aria2c": "aria2",
    "curl": "curl",
    "rclone": "rclone",
    "fair": "in_memory",
    "service": "service",
    "stream": "in_memory",
    "first-byte": "in_memory",
    "read": "in_memory",
    "ranges": "in_memory",
    "list": "listings",
    "many": "batches",
    "cluster": "batches",
    "command": "command_line",
}
"""The part of a client's name before the slash, and the file that it lives in."""


def load(name: str) -> Client:
    """The client of that name, for example "oss2/no-crc"."""
    for client in _in_file(name.partition("/")[0]):
        if client.name == name:
            return client
    raise LookupError(f"no client {name!r}; there are: {', '.join(names())}")


def names() -> list[str]:
    return list(dict.fromkeys(client.name for family in FILES for client in _in_file(family)))


def _in_file(family: str) -> list[Client]:
    if family not in FILES:
        raise LookupError(f"no client {family!r}; there are: {', '.join(FILES)}")
    module = importlib.import_module(f"benchmarks.clients.{FILES[family]}")
    found: list[Client] = module.CLIENTS
    return found
