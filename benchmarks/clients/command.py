"""CommandClient: a program that the parent starts, watches and times from its start to its exit."""

import shutil
import subprocess
from typing import ClassVar

from benchmarks.job import Job


class CommandClient:
    """A subclass says how to call the program for a Job."""

    reports: ClassVar[bool] = False
    program: ClassVar[str]
    version_argument: ClassVar[str] = "--version"

    def __init__(self, name: str, skills: set[str]) -> None:
        self.name = name
        self.skills = frozenset(skills)

    def missing(self) -> str | None:
        return None if shutil.which(self.program) else f"{self.program} is not installed"

    def version(self) -> str:
        text = subprocess.check_output([self.program, self.version_argument], text=True)
        return " ".join(text.splitlines()[0].split()[:3])

    def command(self, job: Job) -> list[str]:
        raise NotImplementedError
