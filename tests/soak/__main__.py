"""`python -m tests.soak --seconds 3600 [--faults 0.05] [--seed 1]`: exit code 1 on a wrong file or when things grow."""

import argparse
import random
import sys
import tempfile
from pathlib import Path

from .run import SoakRun

_SHM = Path("/dev/shm")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--faults", type=float, default=0.05, help="the share of the requests that meet one")
    parser.add_argument("--seed", type=int, default=None, help="of the faults (default: another one each time)")
    parser.add_argument("--directory", type=Path, help="default: /dev/shm where it is, else a temporary one")
    given = parser.parse_args()
    seed = given.seed if given.seed is not None else random.SystemRandom().randrange(10**6)
    print(f"{given.seconds:g} s with faults in {given.faults:.0%} of the requests, seed {seed}", flush=True)
    with tempfile.TemporaryDirectory(
        prefix="aioss-resume-soak-", dir=given.directory or (_SHM if _SHM.is_dir() else None)
    ) as directory:
        run = SoakRun(Path(directory), given.seconds, faults=given.faults, seed=seed, say=_say)
        run.run()
    for violation in run.violations:
        print(f"VIOLATION: {violation}")
    print(run.summary())
    return 1 if run.violations else 0


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
