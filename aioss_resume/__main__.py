"""The command `aioss-resume`, also `python -m aioss_resume`."""

import argparse
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import NoReturn

from aioss_resume.cli.sizes import parse_size

_SIZE_LEAST = 2**20
_KILLS_MOST = 100


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code. None: the arguments of the process."""
    given = _parser().parse_args(arguments)
    # Imported here, because --help needs neither the server nor its dependencies.
    from aioss_resume.cli.demo import Demo

    try:
        with _as_ctrl_c(signal.SIGTERM, signal.SIGHUP):
            return Demo(given.size, given.kills, given.directory).run()
    except KeyboardInterrupt:
        return 130
    except OSError as error:
        print(f"aioss-resume demo: {error}", file=sys.stderr)
        return 1


@contextmanager
def _as_ctrl_c(*numbers: signal.Signals) -> Iterator[None]:
    """Let these signals raise KeyboardInterrupt, so that processes and directories are cleaned up."""

    def end(number: int, _frame: object) -> NoReturn:
        sys.exit(128 + number)

    before = [(number, signal.signal(number, end)) for number in numbers]
    try:
        yield
    finally:
        for number, handler in before:
            signal.signal(number, handler)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="aioss-resume",
        description="Resumable downloads from Alibaba Cloud OSS for asyncio: interrupted anywhere, never a wrong file.",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {version('aioss-resume')}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    demo = commands.add_parser(
        "demo",
        help="kill a download half-way and resume it, against an OSS on this machine",
        description="Serve an object from an OSS on this machine, download it in a process that is killed half-way, "
        "resume it in another one, and say what was kept and fetched. Needs neither network nor account.",
    )
    demo.add_argument("--size", type=_size, default="256MiB", help="of the object, from 1MiB (default: %(default)s)")
    demo.add_argument("--kills", type=_kills, default=1, help="how often SIGKILL is sent (default: %(default)s)")
    demo.add_argument("--directory", type=Path, help="keep the file there (default: a temporary one that is removed)")
    return parser


def _size(text: str) -> int:
    try:
        size = parse_size(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    if size < _SIZE_LEAST:
        raise argparse.ArgumentTypeError(f"{text!r} is less than 1 MiB, the least that a demo makes sense with")
    return size


def _kills(text: str) -> int:
    if not text.isdecimal() or int(text) > _KILLS_MOST:
        raise argparse.ArgumentTypeError(f"{text!r} must be a whole number from 0 to {_KILLS_MOST}")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
