"""The command `aioss-resume`, also `python -m aioss_resume`."""

import io
import sys
from collections.abc import Sequence
from importlib.util import find_spec


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command, and end the process with its exit code. None: the arguments of the process."""
    if find_spec("click") is None:
        print("aioss-resume: the command needs more packages: pip install 'aioss-resume[cli]'", file=sys.stderr)
        sys.exit(2)
    from aioss_resume.cli.app import app

    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and not stream.isatty():  # a pipe has the system's old encoding
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")

    app(arguments, prog_name="aioss-resume", complete_var="_AIOSS_RESUME_COMPLETE")


if __name__ == "__main__":
    main()
