"""`python -m tests.crash --kills 200 --size 1GiB --seed 1`: SIGKILL at random moments; exit code 1 on any violation."""

import argparse
import random
import shutil
import sys
import tempfile
from pathlib import Path

from aioss_resume.cli.sizes import parse_size

from .campaign import Campaign

_SHM = Path("/dev/shm")
_COPIES = 3  # of the object, that must fit: the part file, the file before it, and room for others


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.crash", description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--size", type=parse_size, default="1GiB")
    parser.add_argument("--seed", type=int, default=None, help="of the moments (default: another one each time)")
    parser.add_argument("--directory", type=Path, help="default: /dev/shm where there is room, else a temporary one")
    given = parser.parse_args()
    seed = given.seed if given.seed is not None else random.SystemRandom().randrange(10**6)
    print(f"{given.kills} kills over downloads of {given.size} bytes, seed {seed}", flush=True)
    with tempfile.TemporaryDirectory(
        prefix="aioss-resume-crash-", dir=given.directory or _roomy(given.size)
    ) as directory:
        campaign = Campaign(Path(directory), given.size, seed, say=lambda line: print(line, flush=True))
        campaign.run(given.kills)
    for violation in campaign.violations:
        print(f"VIOLATION: {violation}")
    print(campaign.summary())
    return 1 if campaign.violations else 0


def _roomy(size: int) -> Path | None:
    return _SHM if _SHM.is_dir() and shutil.disk_usage(_SHM).free > _COPIES * size else None


if __name__ == "__main__":
    sys.exit(main())
