"""One call for all tasks that need its result at the same time."""

import asyncio

import pytest

from aioss_resume._io.single_flight import SingleFlight

pytestmark = pytest.mark.anyio


class Counted:
    """A coroutine function that ends when it may, and says how often it was called, and how often cancelled."""

    def __init__(self) -> None:
        self.may_end = asyncio.Event()
        self.calls = self.cancelled = 0

    async def __call__(self) -> int:
        self.calls += 1
        try:
            await self.may_end.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            for _ in range(5):
                await asyncio.sleep(0)  # it does not end at once
            self.cancelled += 1
            raise
        return self.calls


async def waiting(flight: SingleFlight[int], count: int) -> list[asyncio.Task[int]]:
    tasks = [asyncio.create_task(flight.join()) for _ in range(count)]
    await asyncio.sleep(0)  # each has begun
    return tasks


async def abandoning(flight: SingleFlight[int], call: Counted) -> asyncio.Task[int]:
    """Begin a call, and cancel the only task that waits for it. The call has not ended yet."""
    (leaving,) = await waiting(flight, 1)
    await asyncio.sleep(0)  # the call has begun
    leaving.cancel()
    while not call.cancelled:  # noqa: ASYNC110  # it is within a few iterations of the loop
        await asyncio.sleep(0)
    return leaving


async def test_waiting_tasks_share_the_result_of_one_call() -> None:
    call = Counted()
    flight = SingleFlight(call)
    assert not flight.is_running
    tasks = await waiting(flight, 5)
    assert flight.is_running
    call.may_end.set()
    assert await asyncio.gather(*tasks) == [1] * 5
    assert not flight.is_running
    assert await flight.join() == 2


async def test_call_continues_while_any_task_waits() -> None:
    call = Counted()
    *leaving, staying = await waiting(SingleFlight(call), 4)
    for task in leaving:
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
    call.may_end.set()
    assert await staying == 1
    assert (call.calls, call.cancelled) == (1, 0)


async def test_call_is_cancelled_and_ends_when_no_task_waits() -> None:
    call = Counted()
    flight = SingleFlight(call)
    tasks = await waiting(flight, 2)
    await asyncio.sleep(0)  # the call has begun
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    assert (call.calls, call.cancelled, flight.is_running) == (1, 2, False)
    call.may_end.set()
    assert await flight.join() == 2


async def test_task_that_comes_while_an_abandoned_call_ends_gets_the_result_of_a_new_one() -> None:
    call = Counted()
    flight = SingleFlight(call)
    leaving = await abandoning(flight, call)
    assert flight.is_running
    coming = await waiting(flight, 2)
    call.may_end.set()
    assert await asyncio.gather(*coming) == [2, 2]
    assert leaving.cancelled()


async def test_task_that_is_cancelled_while_it_waits_for_an_abandoned_call_starts_none() -> None:
    call = Counted()
    flight = SingleFlight(call)
    leaving = await abandoning(flight, call)
    (coming,) = await waiting(flight, 1)
    coming.cancel()
    await asyncio.wait([leaving, coming])
    assert (call.calls, coming.cancelled(), flight.is_running) == (1, True, False)


async def test_waiting_tasks_of_two_calls_in_a_row_are_counted_separately() -> None:
    call = Counted()
    flight = SingleFlight(call)
    first = await waiting(flight, 3)
    await asyncio.sleep(0)
    call.may_end.set()
    while flight.is_running:  # noqa: ASYNC110  # it ends within a few iterations of the loop
        await asyncio.sleep(0)
    call.may_end.clear()
    second = await waiting(flight, 1)  # the waiters of the first call may not have resumed yet
    assert await asyncio.gather(*first) == [1] * 3
    call.may_end.set()
    assert await second[0] == 2
