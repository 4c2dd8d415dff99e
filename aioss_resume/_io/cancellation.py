"""Waiting that a cancellation cannot interrupt, and work that must end in time."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from anyio import CancelScope

T = TypeVar("T")


async def wait_uncancelled(
    is_over: Callable[[], bool], wait: Callable[[], Awaitable[object]]
) -> asyncio.CancelledError | None:
    """Wait until some work is over, even if this task is cancelled. Returns the last cancellation.

    Args:
        is_over: Whether the work is over.
        wait: Called repeatedly until it is.
    """
    cancelled = None
    # The shield stops anyio's scopes, which cancel again in each iteration of the loop; the except stops task.cancel().
    with CancelScope(shield=True):
        while not is_over():
            try:
                await wait()
            except asyncio.CancelledError as error:
                cancelled = error
    return cancelled


async def run_in_time(
    work: Callable[[], Awaitable[T]], seconds: float | None, late_error: Callable[[float], BaseException]
) -> T:
    """Await the work, and cancel it if it takes longer than `seconds`. None is no limit.

    Raises:
        BaseException: What late_error(seconds) returns, if the work took longer; or what the work raised.
    """
    if seconds is None:
        return await work()
    try:
        # Not anyio.move_on_after(), which loses a task.cancel() of the same iteration of the loop before anyio 4.16.
        async with asyncio.timeout(seconds) as timeout:
            return await work()
    except TimeoutError:
        if not timeout.expired():
            raise
    raise late_error(seconds)
