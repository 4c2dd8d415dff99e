"""Handlers for signals that end a command, on all operating systems."""

import asyncio
import signal

from aioss_resume._io.storage import END_SIGNALS


def end_signals() -> list[signal.Signals]:
    """The signals that ask the process to end, except those that it was started to ignore, as `nohup` does."""
    return [number for number in END_SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]


def cancel_on_end_signals() -> list[signal.Signals]:
    """Cancel the current task on the first signal that asks the process to end. Returns the list of received signals.

    The next one ends the process at once, even if the loop waits for a disk or for the reader of a pipe. That is why
    the handlers are Python's own; event loops on Windows have none.
    """
    loop, task, numbers = asyncio.get_running_loop(), asyncio.current_task(), end_signals()
    assert task is not None
    received: list[signal.Signals] = []

    def receive(number: int, _frame: object) -> None:
        for each in numbers:
            signal.signal(each, signal.SIG_DFL)
        received.append(signal.Signals(number))
        loop.call_soon_threadsafe(task.cancel)

    for number in numbers:
        signal.signal(number, receive)
    return received
