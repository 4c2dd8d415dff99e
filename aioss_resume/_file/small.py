"""A small object's bytes, kept in memory as they come, through retries."""

from aioss_resume._core.ranges import Range
from aioss_resume._core.retry import Attempts
from aioss_resume._io.fetch import Answer, Source, Tally
from aioss_resume._transfer.client import Client
from aioss_resume._transfer.retrying import WORTH_TRYING_AGAIN, wait_or_raise
from aioss_resume.options import RetryPolicy


async def fetch_small(first: Answer, source: Source, policy: RetryPolicy, client: Client, tally: Tally) -> bytearray:
    """All bytes of an object that came with one answer.

    Args:
        first: That answer; it is closed here. What it does not bring is asked for again, of the very same object.

    Raises:
        AiossError: What ended the last attempt.
    """
    pinned, answer, attempts = first.meta, first, Attempts(policy)
    found = bytearray(pinned.size)
    buffer = memoryview(found)  # what is still to come

    def receive(length: int, _now: float) -> bool:
        nonlocal buffer
        buffer = buffer[length:]
        return True

    while True:
        before = len(buffer)
        try:
            while left := len(buffer):
                await answer.fill(buffer[: client.write_size], receive)
                await client.keep_pace(left - len(buffer))
        except WORTH_TRYING_AGAIN as error:
            problem = error
        else:
            return found
        finally:
            answer.close()
        progress = before - len(buffer)
        while True:
            await wait_or_raise(problem, attempts, client.clock, tally, progress=progress)
            try:
                answer = await source.open_range(Range(pinned.size - len(buffer), pinned.size), pinned)
                break
            except WORTH_TRYING_AGAIN as error:
                problem, progress = error, 0
