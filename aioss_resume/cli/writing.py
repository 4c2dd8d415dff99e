"""Write objects to standard output."""

import asyncio
import errno
import os
import sys
from typing import Any

from aioss_resume.downloader import Downloader
from aioss_resume.urls import SignedURL


async def write_object_out(downloader: Downloader, key: str | SignedURL, **keywords: Any) -> None:
    """Write an object, in order; it is verified before its last chunk is written.

    Args:
        keywords: Keywords of stream(). Any: they are of many types.

    Raises:
        BrokenPipeError: The reader closed the pipe.
        OSError: It is closed, or its disk is full.
        AiossError: As stream().
    """
    if sys.stdout is None:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF), "standard output")
    async with downloader.stream(key, **keywords) as stream:
        async for chunk in stream:
            await asyncio.to_thread(_write, chunk)  # a reader may be slow


def _write(chunk: bytes) -> None:
    sys.stdout.buffer.write(chunk)
    sys.stdout.buffer.flush()
