"""Waiting that cancellation cannot shorten, for work that must end before anything else is done."""

import asyncio
from collections.abc import Awaitable, Callable

from anyio import CancelScope


async def wait_uncancelled(
    is_over: Callable[[], bool], wait: Callable[[], Awaitable[object]]
) -> asyncio.CancelledError | None:
    """Wait until it is over, however often this task is cancelled meanwhile; the last cancellation is returned.

    Args:
        wait: Called as long as it is not over.
    """
    cancelled = None
    # The shield is against anyio's scopes, which cancel again at each turn of the loop; the except against the rest.
    with CancelScope(shield=True):
        while not is_over():
            try:
                await wait()
            except asyncio.CancelledError as error:
                cancelled = error
    return cancelled
