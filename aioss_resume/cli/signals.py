"""Handlers for signals that end a command, on all operating systems."""

import asyncio
import signal
from collections.abc import Callable
from contextlib import suppress

from aioss_resume._io.storage import END_SIGNALS


def on_end_signals(call: Callable[[signal.Signals], None]) -> None:
    """Call a function in the running loop with each received signal that asks the process to end.

    Event loops on Windows have no signal handlers; there, Python's own handler passes the call to the loop.
    """
    loop = asyncio.get_running_loop()
    for number in END_SIGNALS:
        try:
            loop.add_signal_handler(number, call, number)
        except NotImplementedError:
            signal.signal(number, lambda received, _frame: loop.call_soon_threadsafe(call, signal.Signals(received)))


def reset_end_signals() -> None:
    """Restore the default handlers, so that these signals end the process at once."""
    loop = asyncio.get_running_loop()
    for number in END_SIGNALS:
        with suppress(NotImplementedError):
            loop.remove_signal_handler(number)
        signal.signal(number, signal.SIG_DFL)
