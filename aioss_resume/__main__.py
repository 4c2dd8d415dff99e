"""The command `aioss-resume`, also `python -m aioss_resume`."""

import gc
import io
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Final

_GARBAGE_THRESHOLD: Final = 50_000
"""New objects after which the garbage collector runs; Python's default is 700.

Nearly all objects of a short command belong to imported modules, and are never garbage. Collecting among them, and once
more at exit, took a quarter of the time from start to exit.
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command, and end the process with its exit code. With None, it takes those of the process."""
    if arguments is None:  # the process runs nothing but the command
        gc.set_threshold(_GARBAGE_THRESHOLD)
    try:
        sys.exit(_run(sys.argv[1:] if arguments is None else arguments))
    except KeyboardInterrupt:  # before the command handles it
        sys.exit(130)
    finally:
        if arguments is None:
            gc.freeze()


def _run(arguments: Sequence[str]) -> int:
    if find_spec("click") is None:
        print("aioss-resume: the command needs more packages: pip install 'aioss-resume[cli]'", file=sys.stderr)
        return 2
    import click

    from aioss_resume.cli.app import app

    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and not stream.isatty():  # a pipe has the system's old encoding
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")

    try:
        return app.main(arguments, "aioss-resume", "_AIOSS_RESUME_COMPLETE", standalone_mode=False) or 0
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.Abort as error:  # what click makes of a KeyboardInterrupt
        raise KeyboardInterrupt from error
    except Exception as error:
        if "--debug" in arguments:
            raise
        from aioss_resume.cli.exits import explain_unexpected

        return explain_unexpected(error)


if __name__ == "__main__":
    main()
