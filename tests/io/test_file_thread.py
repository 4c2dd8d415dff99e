"""FileThread: short calls in a thread of their own, awaited like hops."""

import asyncio
import threading
from collections.abc import AsyncIterator

import anyio
import pytest

from aioss_resume._io.file_thread import FileThread

pytestmark = pytest.mark.anyio


@pytest.fixture
async def file_thread(request: pytest.FixtureRequest) -> AsyncIterator[FileThread]:
    file_thread = FileThread(getattr(request, "param", 4))
    yield file_thread
    file_thread.close()
    for thread in file_thread.threads:
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


async def test_calls_are_made_one_after_the_other_in_one_thread(file_thread: FileThread) -> None:
    made: list[tuple[int, str]] = []

    def call(number: int) -> int:
        made.append((number, threading.current_thread().name))
        return number

    found = await asyncio.gather(*(file_thread.run(lambda number=number: call(number)) for number in range(50)))  # type: ignore[misc]
    assert found == list(range(50))
    assert [number for number, _ in made] == list(range(50))
    assert {name for _, name in made} == {"aioss-resume file_thread 0"}
    assert len(file_thread.threads) == 1


async def test_exception_of_a_call_is_raised_where_it_is_awaited(file_thread: FileThread) -> None:
    def fail() -> None:
        raise FileNotFoundError("gone")

    for awaited in (file_thread.run, file_thread.run_uncancelled):
        with pytest.raises(FileNotFoundError, match="gone"):
            await awaited(fail)


@pytest.mark.parametrize("file_thread", [1], indirect=True)  # a second thread would begin the waiting calls
async def test_call_cancelled_before_it_begins_is_made_only_by_run_uncancelled(file_thread: FileThread) -> None:
    first, unmade, made = Held(), Held(), Held()
    unmade.may_end.set()
    made.may_end.set()
    ahead = asyncio.create_task(file_thread.run(first))
    await first.begun()
    tasks = [asyncio.create_task(file_thread.run(unmade)), asyncio.create_task(file_thread.run_uncancelled(made))]
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


async def test_run_cancelled_repeatedly_waits_for_a_call_that_has_begun(file_thread: FileThread) -> None:
    held = Held()
    task = asyncio.create_task(file_thread.run(held))
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


async def test_hanging_call_does_not_block_later_calls_forever(file_thread: FileThread) -> None:
    stuck = Held()
    task = asyncio.create_task(file_thread.run(stuck))
    await stuck.begun()
    for _ in range(2):  # each time another thread helps, and ends when no call waits
        assert await file_thread.run(lambda: "there") == "there"
        helper = file_thread.threads[-1]
        assert len(file_thread.threads) == 2
        await anyio.to_thread.run_sync(helper.join)
    assert not task.done()
    stuck.may_end.set()
    assert await task == "let go"


@pytest.mark.parametrize("file_thread", [1], indirect=True)
async def test_results_of_calls_before_a_hanging_one_are_delivered(file_thread: FileThread) -> None:
    first, stuck = Held(), Held()
    tasks = [asyncio.create_task(file_thread.run(call)) for call in (first, lambda: "there", stuck)]
    await first.begun()
    first.may_end.set()  # the same thread goes on with the other calls
    await stuck.begun()
    assert await asyncio.gather(*tasks[:2]) == ["let go", "there"]
    assert not tasks[2].done()
    stuck.may_end.set()
    assert await tasks[2] == "let go"


async def test_no_more_threads_start_when_all_are_stuck(file_thread: FileThread) -> None:
    stuck = [Held() for _ in range(5)]
    tasks = [asyncio.create_task(file_thread.run(held)) for held in stuck]
    for held in stuck[:4]:
        await held.begun()
    assert len(file_thread.threads) == 4
    stuck[0].may_end.set()
    await stuck[4].begun()  # begun by one of the existing threads
    assert len(file_thread.threads) == 4
    for held in stuck:
        held.may_end.set()
    assert await asyncio.gather(*tasks) == ["let go"] * 5


async def test_thread_with_a_stuck_call_ends_after_it_when_closed(file_thread: FileThread) -> None:
    stuck = Held()
    tasks = [asyncio.create_task(file_thread.run(stuck))]
    await stuck.begun()
    tasks.append(asyncio.create_task(file_thread.run(lambda: "there")))
    assert await tasks[1] == "there"
    tasks.append(asyncio.create_task(file_thread.run(lambda: "late")))
    await asyncio.sleep(0)
    file_thread.close()
    stuck.may_end.set()
    assert await tasks[0] == "let go"
    assert await tasks[2] == "late"
    for thread in file_thread.threads:
        await anyio.to_thread.run_sync(thread.join)


async def test_close_ends_the_threads_after_the_queued_calls() -> None:
    file_thread = FileThread()
    found = [asyncio.create_task(file_thread.run(lambda: 1)) for _ in range(5)]
    await asyncio.sleep(0)
    file_thread.close()
    for thread in file_thread.threads:
        await anyio.to_thread.run_sync(thread.join)
    assert await asyncio.gather(*found) == [1] * 5
