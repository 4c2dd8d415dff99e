"""FileExecutor to threads that never outlive the task that made them."""

import asyncio
import gc
import threading

import anyio
import pytest

from aioss_resume._io.threads import FileExecutor, SerialQueue, Threads

pytestmark = pytest.mark.anyio


class Held:
    """A call that says when it has begun, and ends when it may."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.may_end = threading.Event()
        self.ended = False

    def __call__(self) -> str:
        self.begun.set()
        assert self.may_end.wait(20)
        self.ended = True
        return "done"

    async def has_begun(self) -> None:
        while not self.begun.is_set():  # noqa: ASYNC110  # set by another thread
            await asyncio.sleep(0.001)


async def turns(count: int = 20) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def fill(threads: Threads, held: Held) -> None:
    """Keep every thread busy until `held` may end."""
    threads.submit(held)
    for _ in range(20):
        threads.submit(held.may_end.wait, 20)


async def test_call_runs_in_a_thread_of_ours_and_its_result_and_error_come_back(threads: Threads) -> None:
    assert (await threads.run(lambda: threading.current_thread().name)).startswith("aioss-resume")
    assert await threads.run(max, 3, 5, key=lambda n: -n) == 3
    with pytest.raises(ZeroDivisionError):
        await threads.run(lambda: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        await threads.run_uncancelled(lambda: 1 // 0)


async def test_raised_error_is_not_logged_as_never_retrieved(threads: Threads) -> None:
    lost: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: lost.append(context))
    held = Held()

    def fail() -> None:
        held()
        raise OSError(28, "full")

    for way in (threads.run_uncancelled, threads.run):
        task = asyncio.ensure_future(way(fail))
        await held.has_begun()
        if way == threads.run:
            task.cancel()
            await turns()
        held.may_end.set()
        with pytest.raises((OSError, asyncio.CancelledError)):
            await task
        del task
        held = Held()
    await turns()
    gc.collect()
    await turns()
    assert lost == []


async def test_run_cancelled_waits_for_a_call_that_has_begun(threads: Threads) -> None:
    held = Held()
    task = asyncio.ensure_future(threads.run(held))
    await held.has_begun()
    task.cancel()
    await turns()
    assert not task.done()
    held.may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert held.ended


async def test_run_cancelled_repeatedly_still_waits(threads: Threads) -> None:
    held = Held()
    task = asyncio.ensure_future(threads.run(held))
    await held.has_begun()
    for _ in range(5):
        task.cancel()
        await turns()
    assert not task.done()
    held.may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert held.ended


async def test_run_cancelled_before_its_call_begins_never_makes_it(threads: Threads) -> None:
    busy, made = Held(), []
    fill(threads, busy)
    task = asyncio.ensure_future(threads.run(made.append, 1))
    await turns()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    busy.may_end.set()
    await threads.close()
    assert made == []


@pytest.mark.parametrize("times", [1, 3])
async def test_run_uncancelled_makes_the_call_even_if_cancelled_before_it_begins(threads: Threads, times: int) -> None:
    busy, made = Held(), []
    fill(threads, busy)
    task = asyncio.ensure_future(threads.run_uncancelled(made.append, 1))
    await turns()
    for _ in range(times):
        task.cancel()
        await turns()
    assert not task.done()
    busy.may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert made == [1]


@pytest.mark.parametrize("way", ["run", "run_uncancelled"])
async def test_scope_of_anyio_that_is_cancelled_is_obeyed_after_the_call(threads: Threads, way: str) -> None:
    held = Held()
    async with anyio.create_task_group() as group:
        group.start_soon(getattr(threads, way), held)
        await held.has_begun()
        group.cancel_scope.cancel()
        held.may_end.set()
    assert held.ended


async def test_cancellation_is_counted_once(threads: Threads) -> None:
    held = Held()

    async def run() -> int:
        try:
            await threads.run(held)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            assert task is not None
            return task.uncancel()
        return -1

    task = asyncio.ensure_future(run())
    await held.has_begun()
    task.cancel()
    held.may_end.set()
    assert await task == 0


async def test_close_ends_the_threads_and_the_next_call_starts_new_ones(threads: Threads) -> None:
    await threads.run(int)
    await threads.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("aioss-resume")]
    assert await threads.run(int) == 0


async def test_close_without_a_call_does_nothing(threads: Threads) -> None:
    await threads.close()
    await threads.close()


async def test_cancelled_close_waits_for_the_threads_and_raises(threads: Threads) -> None:
    held = Held()
    threads.submit(held)
    await held.has_begun()
    task = asyncio.ensure_future(threads.close())
    for _ in range(3):
        await turns()
        task.cancel()
    await turns()
    assert not task.done()
    held.may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("aioss-resume")]


async def test_drain_waits_for_the_last_call_however_often_cancelled(threads: Threads) -> None:
    held, executor = Held(), FileExecutor(threads, SerialQueue(threads))
    await executor.drain()
    executor.submit(held)
    await held.has_begun()
    task = asyncio.ensure_future(executor.drain())
    for _ in range(3):
        await turns()
        task.cancel()
    assert not task.done()
    held.may_end.set()
    await asyncio.wait([task])
    assert held.ended


async def test_calls_of_a_serial_queue_are_made_in_order(threads: Threads) -> None:
    queue = SerialQueue(threads)
    made: list[int] = []
    in_it = threading.Lock()

    def call(number: int) -> int:
        assert in_it.acquire(blocking=False), "two at once"
        made.append(number)
        in_it.release()
        return number

    everyone = [asyncio.wrap_future(queue.submit(call, number)) for number in range(100)]
    assert await asyncio.gather(*everyone) == made == list(range(100))


async def test_error_in_a_serial_queue_concerns_its_call_only(threads: Threads) -> None:
    queue = SerialQueue(threads)
    fails, succeeds = queue.submit(lambda: 1 // 0), queue.submit(max, 3, 5)
    with pytest.raises(ZeroDivisionError):
        await asyncio.wrap_future(fails)
    assert await asyncio.wrap_future(succeeds) == 5


async def test_queued_call_that_is_cancelled_is_never_made(threads: Threads) -> None:
    queue, held, other = SerialQueue(threads), Held(), Held()
    other.may_end.set()
    first, second, third = queue.submit(held), queue.submit(other), queue.submit(int)
    await held.has_begun()
    assert second.cancel()
    held.may_end.set()
    assert await asyncio.wrap_future(third) == 0
    assert first.result() == "done"
    assert not other.ended


async def test_hanging_call_of_a_serial_queue_occupies_one_thread_only(threads: Threads) -> None:
    queue, held = SerialQueue(threads), Held()
    everyone = [queue.submit(held)] + [queue.submit(held.may_end.wait, 20) for _ in range(20)]
    await held.has_begun()
    with anyio.fail_after(20):
        assert await threads.run(int) == 0
    held.may_end.set()
    await asyncio.wait([asyncio.wrap_future(each) for each in everyone])


async def test_serial_queue_that_is_never_empty_lets_others_have_their_turn(threads: Threads) -> None:
    queue, held, last = SerialQueue(threads), Held(), Held()
    made: list[str] = []
    queue.submit(held)
    await held.has_begun()
    for _ in range(3):  # the other threads
        threads.submit(last.may_end.wait, 20)
    everyone = [queue.submit(made.append, "queue") for _ in range(50)]
    other = threads.submit(made.append, "other")
    held.may_end.set()
    await asyncio.wait([asyncio.wrap_future(each) for each in (*everyone, other)])
    last.may_end.set()
    assert made.count("queue") == 50
    assert made.index("other") < 10


async def test_serial_queue_continues_after_being_empty(threads: Threads) -> None:
    queue = SerialQueue(threads)
    for _ in range(3):
        assert await asyncio.wrap_future(queue.submit(int)) == 0
        await threads.close()  # close() also waits for the thread that empties the queue


async def test_serial_queue_without_a_thread_makes_no_call_and_continues_later(threads: Threads) -> None:
    queue, held = SerialQueue(threads), Held()
    await threads.run(int)
    assert threads._pool is not None
    threads._pool.shutdown()  # as when the system grants no thread: submit() raises RuntimeError
    with pytest.raises(RuntimeError):
        queue.submit(held)
    await threads.close()
    assert await asyncio.wrap_future(queue.submit(int)) == 0
    assert not held.begun.is_set()


async def test_calls_submitted_after_close_do_nothing(threads: Threads) -> None:
    made: list[int] = []
    threads.submit_again(lambda: made.append(1))
    await threads.run(int)
    await threads.close()
    threads.submit_again(lambda: made.append(2))
    assert not made
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("aioss-resume")]


async def test_loops_default_executor_is_left_alone(threads: Threads) -> None:
    held = Held()
    loop = asyncio.get_running_loop()
    everyone = [loop.run_in_executor(None, held) for _ in range(64)]
    try:
        with anyio.fail_after(20):
            assert await threads.run(int) == 0
    finally:
        held.may_end.set()
        await asyncio.gather(*everyone)
        await loop.shutdown_default_executor()
