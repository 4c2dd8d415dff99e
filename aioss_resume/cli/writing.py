"""Bytes of objects to standard output."""

import asyncio
import sys


async def write_out(chunk: bytes) -> None:
    """Write a chunk, in a thread: a reader may be slow.

    Raises:
        BrokenPipeError: The reader has gone.
    """
    await asyncio.to_thread(_write, chunk)


def _write(chunk: bytes) -> None:
    sys.stdout.buffer.write(chunk)
    sys.stdout.buffer.flush()
