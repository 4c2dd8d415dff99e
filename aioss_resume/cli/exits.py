"""Exit codes and error messages."""

import os
import sys
import traceback
from collections.abc import Callable
from typing import Final

import click

from aioss_resume.cli.showing import print_json
from aioss_resume.errors import (
    AccessDeniedError,
    AiossError,
    ConfigError,
    CredentialsError,
    DownloadInProgressError,
    IntegrityError,
    LocalFileError,
    ObjectArchivedError,
    ObjectChangedError,
    ObjectNotFoundError,
    RequestError,
    ServiceError,
)

DONE: Final = 0
SOME_FAILED: Final = 1
USAGE: Final = 2
NOT_FOUND: Final = 3
DENIED: Final = 4
NETWORK: Final = 5
INTEGRITY: Final = 6
CHANGED: Final = 7
LOCAL: Final = 8
BUSY: Final = 9
DEADLINE: Final = 10

_CODES: Final = (
    (ConfigError, USAGE),
    (ObjectChangedError, CHANGED),
    (ObjectNotFoundError, NOT_FOUND),
    ((AccessDeniedError, CredentialsError, ObjectArchivedError), DENIED),
    (IntegrityError, INTEGRITY),
    (LocalFileError, LOCAL),
    (DownloadInProgressError, BUSY),
)


def code_of(error: BaseException) -> int:
    """The exit code for an error."""
    if isinstance(error, RequestError) and error.is_past_deadline:
        return DEADLINE
    for kinds, code in _CODES:
        if isinstance(error, kinds):
            return code
    return NETWORK if isinstance(error, AiossError) else SOME_FAILED


def fail(error: AiossError, *, verbose: bool, debug: bool, as_json: bool = False, hint: str | None = None) -> int:
    """Print the error that ends the command. Returns the exit code.

    Args:
        as_json: Whether to print it as a line of JSON on standard output, too.
        hint: Instead of the error's own.
    """
    code = code_of(error)
    if as_json:
        print_json(event="failed", key=error.key, error=str(error), code=code)
    explain(error, verbose=verbose, debug=debug, hint=hint)
    return code


def explain_unexpected(error: Exception) -> int:
    """Print an error that is none of the library's. Returns the exit code."""
    if not isinstance(error, OSError):
        on_stderr(f"aioss-resume: {type(error).__name__}: {error}\n  --debug shows where it was raised")
        return SOME_FAILED
    if error.filename is None:  # a write to a stream, not to a file
        discard_output()
    what = "could not write the output" if error.filename is None else f"could not use {error.filename!r}"
    on_stderr(f"aioss-resume: {what}: {error.strerror or error}")
    return LOCAL


def discard_output() -> None:
    """Write nothing more to standard output, which Python would otherwise flush at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def on_stderr(line: str) -> None:
    click.echo(line, err=True)


def explain(
    error: AiossError,
    *,
    verbose: bool,
    debug: bool,
    hint: str | None = None,
    say: Callable[[str], None] = on_stderr,
) -> None:
    """Print what went wrong and what to do.

    Args:
        hint: Instead of the error's own.
        say: Prints to standard error, above the bar if there is one.
    """
    if debug:
        traceback.print_exception(error, file=sys.stderr)
        return
    say(f"aioss-resume: {error.args[0] if error.args else error}")
    if hint := hint or error.hint:
        say(f"  {hint}")
    if verbose and isinstance(error, ServiceError):
        say(f"  request id {error.request_id or 'unknown'}, EC {error.ec or 'unknown'}")
    if verbose:
        for note in getattr(error, "__notes__", ()):
            say(f"  {note}")
