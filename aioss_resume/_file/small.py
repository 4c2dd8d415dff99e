"""Fetching a small object into memory, with retries."""

from aioss_resume._core.ranges import Range
from aioss_resume._core.retry import Attempts
from aioss_resume._io.fetch import Source
from aioss_resume._io.response import AcceptedResponse
from aioss_resume._transfer.client import Client
from aioss_resume._transfer.reporting import Reporter
from aioss_resume._transfer.retrying import RETRYABLE, wait_or_raise
from aioss_resume.options import RetryPolicy


async def fetch_small(
    first: AcceptedResponse, source: Source, policy: RetryPolicy, client: Client, report: Reporter
) -> bytearray:
    """Receive all bytes of an object that was requested as a whole.

    Args:
        first: The response, which is closed here. If it is cut short, the rest of the same version is requested.

    Raises:
        AiossError: The last attempt failed.
    """
    pinned, response, attempts = first.meta, first, Attempts(policy)
    found = bytearray(pinned.size)
    buffer = memoryview(found)  # the part that is still to be received

    def receive(length: int, _now: float) -> bool:
        nonlocal buffer
        buffer = buffer[length:]
        return True

    while True:
        before = len(buffer)
        try:
            while left := len(buffer):
                await response.fill(buffer[: client.write_size], receive)
                await client.keep_pace(left - len(buffer))
        except RETRYABLE as error:
            problem = error
        else:
            return found
        finally:
            response.close()
        progress = before - len(buffer)
        while True:
            await wait_or_raise(problem, attempts, client.clock, report, progress=progress)
            try:
                response = await source.open_range(Range(pinned.size - len(buffer), pinned.size), pinned)
                break
            except RETRYABLE as error:
                problem, progress = error, 0
