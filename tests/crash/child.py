"""The process that is killed, with two things more: `--no-locks` and `--wait`. Run as a file; it imports no tests.

With --no-locks every flock() succeeds, as on Lustre without `-o flock`. With --wait it says "ready" in its first line
when all is imported, and begins when it is sent a line.
"""

import fcntl
import sys

from aioss_resume.cli import child


def main() -> int:
    if _took("--no-locks"):
        fcntl.flock = lambda *_: None
    if _took("--wait"):
        print("ready", flush=True)
        sys.stdin.readline()
    return child.main()


def _took(flag: str) -> bool:
    if flag not in sys.argv:
        return False
    sys.argv.remove(flag)
    return True


if __name__ == "__main__":
    sys.exit(main())
