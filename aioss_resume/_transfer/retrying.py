"""Retries according to a RetryPolicy."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from aioss_resume._core.retry import Attempts
from aioss_resume._io.clock import Clock
from aioss_resume._transfer.reporting import Reporter
from aioss_resume.errors import AiossError, ProtocolError, RequestError, ServiceError
from aioss_resume.options import RetryPolicy

T = TypeVar("T")

RETRYABLE = (RequestError, ProtocolError, ServiceError)
"""What an attempt may end with and be followed by another; Attempts decides which of them are."""


async def with_retries(call: Callable[[], Awaitable[T]], policy: RetryPolicy, clock: Clock, report: Reporter) -> T:
    """Call a function until it succeeds or the policy's attempts are used up; then raise the last error."""
    attempts = Attempts(policy)
    while True:
        try:
            return await call()
        except RETRYABLE as error:
            await wait_or_raise(error, attempts, clock, report)


async def wait_or_raise(
    error: AiossError, attempts: Attempts, clock: Clock, report: Reporter, *, progress: int = 0
) -> None:
    """Wait for the next attempt, or raise the error of the last one."""
    wait = attempts.wait_after(error, progress=progress, chance=clock.chance())
    if wait is None:
        if attempts.total > 1:
            error.add_note(f"after {attempts.total} attempts, the last {attempts.failed} of them without progress")
        raise error
    report.attempt_failed(error, attempts.total, wait)
    await clock.sleep(wait)
