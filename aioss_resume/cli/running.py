"""Run the coroutine of a command. A signal cancels it, and the download can be resumed."""

import asyncio
import os
import shlex
import sys
from collections.abc import Callable, Coroutine
from typing import Any, Final

import click

from aioss_resume.cli.exits import discard_output, fail
from aioss_resume.cli.signals import cancel_on_end_signals
from aioss_resume.errors import AiossError

_PIPE: Final = 141  # as a shell says that SIGPIPE has ended a program


def run(
    main: Callable[[], Coroutine[Any, Any, int]],
    hint_for: Callable[[AiossError], str | None],
    *,
    verbose: bool,
    debug: bool,
    as_json: bool,
    resumes: bool,
) -> int:
    """Run the coroutine and return the exit code. Any: what a coroutine yields and receives.

    Args:
        hint_for: Returns a better hint than the error's own, or None.
        verbose, debug, as_json: How to print an error.
        resumes: Whether the same command resumes after an interruption; then it is shown.
    """
    try:
        return asyncio.run(_main(main, resumes=resumes))
    except AiossError as error:
        return fail(error, verbose=verbose, debug=debug, as_json=as_json, hint=hint_for(error))
    except BrokenPipeError:
        discard_output()
        return _PIPE


async def _main(main: Callable[[], Coroutine[Any, Any, int]], *, resumes: bool) -> int:
    caught = cancel_on_end_signals()
    try:
        return await main()
    except asyncio.CancelledError:
        if not caught:
            raise
    if resumes:
        command = shlex.join(["aioss-resume", *sys.argv[1:]])
        click.echo(f"\ninterrupted; what was written is kept. To go on:\n  {command}", err=True)
    # Everything has been closed. Python would still wait for a thread that writes to a pipe which nobody reads.
    os._exit(128 + caught[0])
