"""Waiting that cancellation cannot interrupt, for work that must end first."""

import asyncio
from collections.abc import Awaitable, Callable

from anyio import CancelScope


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
