"""File system calls from a coroutine: they run in a thread and raise our errors."""

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
    """Run a blocking call in a thread.

    Args:
        task: What the call does, for the error message.
        path: The file to name in the error if the OSError names none.
        is_short: Whether it may delay other short calls.

    Raises:
        LocalFileError: The call raised OSError.
    """
    try:
        return await (threads.file_thread.run(call) if is_short else threads.run(call))
    except LocalFileError:  # raised by the call itself
        raise
    except OSError as error:
        hint = USE_STREAM if error.errno == NOT_REGULAR else None
        failed = os.fsdecode(error.filename or path)
        raise local_file_error(task, error, failed, name=name, hint=hint) from None
