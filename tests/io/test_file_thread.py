"""Errands: short calls in a thread of their own, awaited like hops."""

import asyncio
import threading
from collections.abc import AsyncIterator

import anyio
import pytest

from aioss_resume._io.file_thread import Errands

pytestmark = pytest.mark.anyio


@pytest.fixture
async def errands(request: pytest.FixtureRequest) -> AsyncIterator[Errands]:
    errands = Errands(getattr(request, "param", 4))
    yield errands
    errands.close()
    for thread in errands.threads:
        await anyio.to_thread.run_sync(thread.join)


class Held:
    """A call that does not come back until it is let go."""

    def __init__(self) -> None:
        self.has_begun = threading.Event()
        self.may_end = threading.Event()
        self.times = 0

    def __call__(self) -> str:
        self.times += 1
        self.has_begun.set()
        assert self.may_end.wait(30)
        return "let go"

    async def begun(self) -> None:
        await anyio.to_thread.run_sync(self.has_begun.wait)


async def test_calls_are_made_one_behind_the_other_in_one_thread(errands: Errands) -> None:
    made: list[tuple[int, str]] = []

    def call(number: int) -> int:
        made.append((number, threading.current_thread().name))
        return number

    found = await asyncio.gather(*(errands.run(lambda number=number: call(number)) for number in range(50)))  # type: ignore[misc]
    assert found == list(range(50))
    assert [number for number, _ in made] == list(range(50))
    assert {name for _, name in made} == {"aioss-resume errands 0"}
    assert len(errands.threads) == 1


async def test_what_a_call_raises_is_raised_where_it_is_awaited(errands: Errands) -> None:
    def fail() -> None:
        raise FileNotFoundError("gone")

    for awaited in (errands.run, errands.surely):
        with pytest.raises(FileNotFoundError, match="gone"):
            await awaited(fail)


@pytest.mark.parametrize("errands", [1], indirect=True)  # a second thread would begin what waits
async def test_cancelled_before_it_begins_a_call_is_not_made_and_the_sure_one_is(errands: Errands) -> None:
    first, unmade, made = Held(), Held(), Held()
    unmade.may_end.set()
    made.may_end.set()
    ahead = asyncio.create_task(errands.run(first))
    await first.begun()
    tasks = [asyncio.create_task(errands.run(unmade)), asyncio.create_task(errands.surely(made))]
    await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    await asyncio.sleep(0)
    assert not any(task.done() for task in tasks)
    first.may_end.set()
    assert await ahead == "let go"
    await asyncio.wait(tasks)
    assert all(task.cancelled() for task in tasks)
    assert (unmade.times, made.times) == (0, 1)


async def test_cancelled_again_and_again_it_waits_for_a_call_that_has_begun(errands: Errands) -> None:
    held = Held()
    task = asyncio.create_task(errands.run(held))
    await held.begun()
    for _ in range(3):
        task.cancel()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not task.done()
    held.may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert held.times == 1


async def test_behind_a_call_that_does_not_come_back_others_do_not_wait_for_ever(errands: Errands) -> None:
    stuck = Held()
    task = asyncio.create_task(errands.run(stuck))
    await stuck.begun()
    for _ in range(2):  # each brings help of its own, which ends when nothing waits
        assert await errands.run(lambda: "there") == "there"
        helper = errands.threads[-1]
        assert len(errands.threads) == 2
        await anyio.to_thread.run_sync(helper.join)
    assert not task.done()
    stuck.may_end.set()
    assert await task == "let go"


@pytest.mark.parametrize("errands", [1], indirect=True)
async def test_what_was_done_before_a_call_that_does_not_come_back_is_heard_of(errands: Errands) -> None:
    first, stuck = Held(), Held()
    tasks = [asyncio.create_task(errands.run(call)) for call in (first, lambda: "there", stuck)]
    await first.begun()
    first.may_end.set()  # the others are done in one go with it
    await stuck.begun()
    assert await asyncio.gather(*tasks[:2]) == ["let go", "there"]
    assert not tasks[2].done()
    stuck.may_end.set()
    assert await tasks[2] == "let go"


async def test_when_all_threads_are_stuck_there_are_no_more(errands: Errands) -> None:
    stuck = [Held() for _ in range(5)]
    tasks = [asyncio.create_task(errands.run(held)) for held in stuck]
    for held in stuck[:4]:
        await held.begun()
    assert len(errands.threads) == 4
    stuck[0].may_end.set()
    await stuck[4].begun()  # by a thread that there was already
    assert len(errands.threads) == 4
    for held in stuck:
        held.may_end.set()
    assert await asyncio.gather(*tasks) == ["let go"] * 5


async def test_closed_while_a_call_is_stuck_its_thread_ends_after_it(errands: Errands) -> None:
    stuck = Held()
    tasks = [asyncio.create_task(errands.run(stuck))]
    await stuck.begun()
    tasks.append(asyncio.create_task(errands.run(lambda: "there")))
    assert await tasks[1] == "there"
    tasks.append(asyncio.create_task(errands.run(lambda: "late")))
    await asyncio.sleep(0)
    errands.close()
    stuck.may_end.set()
    assert await tasks[0] == "let go"
    assert await tasks[2] == "late"
    for thread in errands.threads:
        await anyio.to_thread.run_sync(thread.join)


async def test_the_threads_end_when_it_is_closed_after_what_waits_was_done() -> None:
    errands = Errands()
    found = [asyncio.create_task(errands.run(lambda: 1)) for _ in range(5)]
    await asyncio.sleep(0)
    errands.close()
    for thread in errands.threads:
        await anyio.to_thread.run_sync(thread.join)
    assert await asyncio.gather(*found) == [1] * 5
