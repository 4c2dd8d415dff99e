"""`python -m tests.crash --kills 200 --size 1GiB --seed 1`: SIGKILL at random moments; exit code 1 on any violation.

With `--processes 2` several download to one path, any of which is killed; with `--no-locks` nothing keeps them apart.
"""

import argparse
import random
import shutil
import sys
import tempfile
from pathlib import Path

from aioss_resume.cli.sizes import parse_size

from .campaign import Campaign
from .race import Race

_SHM = Path("/dev/shm")
_COPIES = 3  # the disk must have space for so many copies of the object: part file, earlier file, and some reserve


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.crash", description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--size", type=parse_size, default="1GiB")
    parser.add_argument("--seed", type=int, default=None, help="of the moments (default: another one each time)")
    parser.add_argument("--processes", type=int, default=1, help="that download to one path at the same time")
    parser.add_argument("--no-locks", action="store_true", help="flock() does nothing in any process")
    parser.add_argument("--directory", type=Path, help="default: /dev/shm where there is room, else a temporary one")
    given = parser.parse_args()
    seed = given.seed if given.seed is not None else random.SystemRandom().randrange(10**6)
    how = f"{given.processes} process(es) at once, {'locks that do nothing' if given.no_locks else 'locks'}"
    print(f"{given.kills} kills over downloads of {given.size} bytes, {how}, seed {seed}", flush=True)
    with tempfile.TemporaryDirectory(
        prefix="aioss-resume-crash-", dir=given.directory or _roomy(given.size)
    ) as directory:
        campaign: Campaign | Race
        if given.processes == 1 and not given.no_locks:
            campaign = Campaign(Path(directory), given.size, seed, say=_say)
        else:
            campaign = Race(Path(directory), given.size, seed, given.processes, no_locks=given.no_locks, say=_say)
        campaign.run(given.kills)
    for violation in campaign.violations:
        print(f"VIOLATION: {violation}")
    print(campaign.summary())
    return 1 if campaign.violations else 0


def _say(line: str) -> None:
    print(line, flush=True)


def _roomy(size: int) -> Path | None:
    return _SHM if _SHM.is_dir() and shutil.disk_usage(_SHM).free > _COPIES * size else None


if __name__ == "__main__":
    sys.exit(main())
