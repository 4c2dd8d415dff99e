"""Calls of the file system from a coroutine: they run in a thread, and raise our errors."""

import os
from collections.abc import Callable
from typing import TypeVar

from aioss_resume._io.resolve import NOT_REGULAR
from aioss_resume._io.threads import Threads
from aioss_resume.errors import LocalFileError, ObjectName, local_file_error

T = TypeVar("T")

USE_STREAM = "read it with Downloader.stream(), and write its chunks where they should go"
"""The hint for a destination that cannot be replaced by a file."""


async def on_disk(
    threads: Threads, task: str, call: Callable[[], T], path: str, name: ObjectName, *, is_short: bool = True
) -> T:
    """The result of a call that blocks.

    Args:
        task: What the call does, for the error's message.
        path: The file that the error names, where the call's own error names none.
        is_short: Whether it may keep other short calls waiting.

    Raises:
        LocalFileError: For an OSError of the call.
    """
    try:
        return await (threads.file_thread.run(call) if is_short else threads.run(call))
    except LocalFileError:  # raised by the call itself
        raise
    except OSError as error:
        hint = USE_STREAM if error.errno == NOT_REGULAR else None
        failed = os.fsdecode(error.filename or path)
        raise local_file_error(task, error, failed, name=name, hint=hint) from None
