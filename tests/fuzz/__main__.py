"""`python -m tests.fuzz checkpoint -max_total_time=60`: one target under atheris, which is not a dependency of ours.

Options are libFuzzer's; a directory among them keeps the inputs that it finds worth keeping.
"""

import os
import sys
import tempfile
from pathlib import Path


def main() -> int:
    try:
        import atheris
    except ImportError:
        print("python -m tests.fuzz needs atheris: pip install atheris", file=sys.stderr)
        return 2
    with atheris.instrument_imports(include=["aioss_resume", "tests.fuzz", "json", "email", "xml"]):
        from .seeds import SEEDS
        from .targets import TARGETS
    if len(sys.argv) < 2 or sys.argv[1] not in TARGETS:
        print(f"usage: python -m tests.fuzz {{{','.join(TARGETS)}}} [libFuzzer's options]", file=sys.stderr)
        return 2
    name = sys.argv.pop(1)
    with tempfile.TemporaryDirectory() as directory:
        for number, seed in enumerate(SEEDS[name]):
            (Path(directory) / str(number)).write_bytes(seed)
        if not (child := os.fork()):  # libFuzzer ends the process, and would leave the directory
            atheris.Setup([*sys.argv, directory], TARGETS[name])
            atheris.Fuzz()
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    sys.exit(main())
