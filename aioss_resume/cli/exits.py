"""Exit codes and error messages."""

import sys
import traceback
from collections.abc import Callable
from typing import Final

import click

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


def on_stderr(line: str) -> None:
    click.echo(line, err=True)


def explain(error: AiossError, *, verbose: bool, debug: bool, say: Callable[[str], None] = on_stderr) -> None:
    """Print what went wrong and what to do. `say` prints to standard error, above the bar if there is one."""
    if debug:
        traceback.print_exception(error, file=sys.stderr)
        return
    text, hint = error.args[0] if error.args else str(error), error.hint
    say(f"aioss-resume: {text}")
    if hint:
        say(f"  {hint}")
    if verbose and isinstance(error, ServiceError):
        say(f"  request id {error.request_id or 'unknown'}, EC {error.ec or 'unknown'}")
    if verbose:
        for note in getattr(error, "__notes__", ()):
            say(f"  {note}")
