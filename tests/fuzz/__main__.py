"""`python -m tests.fuzz checkpoint -runs=1000000`: one target under atheris, which is not a dependency of ours."""

import sys

from .targets import TARGETS


def main() -> int:
    if len(sys.argv) < 2 or sys.argv[1] not in TARGETS:
        print(f"usage: python -m tests.fuzz {{{','.join(TARGETS)}}} [libFuzzer's options]", file=sys.stderr)
        return 2
    try:
        import atheris
    except ImportError:
        print("python -m tests.fuzz needs atheris: pip install atheris", file=sys.stderr)
        return 2
    target = TARGETS[sys.argv.pop(1)]
    atheris.instrument_all()
    atheris.Setup(sys.argv, target)
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())
