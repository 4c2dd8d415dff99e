"""A small object's bytes, kept in memory as they come, through retries."""

from aioss_resume._attempts import WORTH_TRYING_AGAIN, wait_or_raise
from aioss_resume._client import Client
from aioss_resume._core.ranges import Range
from aioss_resume._core.retry import Attempts
from aioss_resume._io.fetch import Answer, Source, Tally
from aioss_resume.errors import RequestError
from aioss_resume.options import RetryPolicy


async def fetch_small(first: Answer, source: Source, policy: RetryPolicy, client: Client, tally: Tally) -> list[bytes]:
    """All bytes of an object that came with one answer, in order.

    Args:
        first: That answer; it is closed here. What it does not bring is asked for again, of the very same object.

    Raises:
        AiossError: What ended the last attempt.
    """
    pinned, answer, attempts = first.meta, first, Attempts(policy)
    chunks: list[bytes] = []
    length = 0
    while True:
        before = length
        try:
            while length < pinned.size:
                chunk = (await answer.receive())[: pinned.size - length]
                if not chunk:
                    raise RequestError(f"{source.name}: the body was cut short at {length}", name=source.name)
                chunks.append(chunk)
                length += len(chunk)
                await client.keep_pace(len(chunk))
        except WORTH_TRYING_AGAIN as error:
            problem = error
        else:
            return chunks
        finally:
            answer.close()
        progress = length - before
        while True:
            await wait_or_raise(problem, attempts, client.clock, tally, progress=progress)
            try:
                answer = await source.open_range(Range(length, pinned.size), pinned)
                break
            except WORTH_TRYING_AGAIN as error:
                problem, progress = error, 0
