"""Work that must end in time, beside a cancellation of the task that awaits it."""

import asyncio
import time

import anyio
import pytest

from aioss_resume._io.cancellation import run_in_time

pytestmark = pytest.mark.anyio


class LateError(Exception):
    """The work took too long."""


async def never() -> None:
    await asyncio.Event().wait()


async def test_work_that_takes_too_long_is_cancelled() -> None:
    ended = []

    async def work() -> None:
        try:
            await never()
        finally:
            ended.append(True)

    with pytest.raises(LateError) as error:
        await run_in_time(work, 0.01, LateError)
    assert ended
    assert error.value.args == (0.01,)
    assert error.value.__context__ is None


@pytest.mark.parametrize("seconds", [None, 10])
async def test_what_the_work_returns_or_raises_is_passed_on(seconds: float | None) -> None:
    async def work() -> int:
        return 1

    async def fail() -> int:
        raise TimeoutError("of the work itself")

    assert await run_in_time(work, seconds, LateError) == 1
    with pytest.raises(TimeoutError, match="of the work itself"):
        await run_in_time(fail, seconds, LateError)


@pytest.mark.parametrize("iterations", range(8))
async def test_task_that_is_cancelled_when_its_time_is_over_is_cancelled(iterations: int) -> None:
    async def work() -> None:
        try:
            await never()
        finally:
            await asyncio.sleep(0)
            await asyncio.sleep(0)

    task = asyncio.create_task(run_in_time(work, 0.01, LateError))
    await asyncio.sleep(0)
    time.sleep(0.02)  # noqa: ASYNC251  # blocks the loop, so that both come together
    for _ in range(iterations):
        await asyncio.sleep(0)
    is_running = task.cancel()
    await asyncio.wait([task])
    assert task.cancelled() == is_running
    assert is_running or isinstance(task.exception(), LateError)


async def test_scope_of_the_caller_that_is_cancelled_when_the_time_is_over_ends_the_caller() -> None:
    with anyio.CancelScope() as scope:
        asyncio.get_running_loop().call_later(0.01, scope.cancel)
        await run_in_time(never, 0.01, LateError)
    assert scope.cancelled_caught
