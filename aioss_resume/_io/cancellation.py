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


async def wait_for_event(event: asyncio.Event, seconds: float | None) -> None:
    """Wait until an event is set. After so many seconds, it is set here; None is no limit.

    A timer sets it, because a deadline of anyio before 4.16 would lose a cancellation that arrives together with it.
    """
    timer = asyncio.get_running_loop().call_later(seconds, event.set) if seconds is not None else None
    try:
        await event.wait()
    finally:
        if timer is not None:
            timer.cancel()


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
        # Not anyio.move_on_after(), for the same reason.
        async with asyncio.timeout(seconds) as timeout:
            return await work()
    except TimeoutError:
        if not timeout.expired():
            raise
    raise late_error(seconds)
