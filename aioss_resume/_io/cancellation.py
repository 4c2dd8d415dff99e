"""Waiting that cancellation cannot shorten, for work that must end before anything else is done."""

import asyncio
from collections.abc import Awaitable, Callable

from anyio import CancelScope


async def wait_uncancelled(
    is_over: Callable[[], bool], wait: Callable[[], Awaitable[object]]
) -> asyncio.CancelledError | None:
    """Wait until it is over, however often this task is cancelled. Returns the last cancellation.

    Args:
        wait: Called as long as it is not over.
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
