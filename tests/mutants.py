"""`python -m tests.mutants [checkpoint ...] [--processes 2]`: how many small changes to a rule tests/core notices.

mutmut makes the changes, one at a time. All that are not killed are shown; exit code 1 when a module scores below
90 %. A change that no test reaches has survived. One that never ends, twice, is noticed: such a suite is stopped.
"""

import argparse
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

MODULES = ["checkpoint", "transfer", "answers", "paths"]
LEAST = 0.9
_ROOT = Path(__file__).parents[1]
_MEMORY = 4 << 30  # bytes of a process, so that a mutant with an endless list fails before it fills the machine


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("modules", nargs="*", default=MODULES, help="of aioss_resume/_core")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    given = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    with tempfile.TemporaryDirectory(prefix="aioss-resume-mutants-") as directory:
        # A copy, so that edits made meanwhile do not change the score.
        for name in ("aioss_resume", "tests/core"):
            shutil.copytree(_ROOT / name, Path(directory) / name, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(_ROOT / "pyproject.toml", directory)
        mutmut = Mutmut(directory, given.processes)
        mutmut.run(*(f"aioss_resume._core.{module}.*" for module in given.modules))
        # A busy machine causes timeouts as well, so mutants that timed out are run again.
        if late := [name for name, fate in mutmut.fates().items() if fate == "timeout"]:
            mutmut.run(*late)
        fates = mutmut.fates()
        scores = []
        for module in given.modules:
            found = {name: fate for name, fate in fates.items() if name.startswith(f"aioss_resume._core.{module}.")}
            for name, fate in found.items():
                if fate != "killed":
                    print(mutmut.show(name))
            scores.append(_Score(module, list(found.values())))
    print(*scores, sep="\n")
    return 0 if all(score.share >= LEAST for score in scores) else 1


class Mutmut:
    """mutmut's command in a directory that has what it needs; its own files are left there."""

    def __init__(self, directory: str, processes: int) -> None:
        self._directory = directory
        self._processes = processes

    def run(self, *names: str) -> None:
        command = ["mutmut", "run", f"--max-children={self._processes}", *names]
        subprocess.run(command, cwd=self._directory, check=True)

    def fates(self) -> dict[str, str]:
        """What became of each mutant, in mutmut's words."""
        return dict(re.findall(r"^ *(\S+): (.+)$", self._said("results", "--all=true"), re.MULTILINE))

    def show(self, name: str) -> str:
        return self._said("show", name)

    def _said(self, *command: str) -> str:
        run = subprocess.run(["mutmut", *command], cwd=self._directory, check=True, stdout=subprocess.PIPE, text=True)
        return run.stdout


@dataclass(frozen=True, slots=True)
class _Score:
    module: str
    fates: list[str]

    @property
    def noticed(self) -> int:
        return sum(fate in ("killed", "timeout") for fate in self.fates)

    @property
    def share(self) -> float:
        return self.noticed / len(self.fates)

    def __str__(self) -> str:
        late = self.fates.count("timeout")
        return f"{self.module}: {self.noticed} of {len(self.fates)} noticed ({late} never ended), {self.share:.1%}"


if __name__ == "__main__":
    sys.exit(main())
