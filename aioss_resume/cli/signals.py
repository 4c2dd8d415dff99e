"""Signals that end a command, on event loops of all systems."""

import asyncio
import signal
from collections.abc import Callable
from contextlib import suppress

from aioss_resume._io.storage import END_SIGNALS


def on_end_signals(call: Callable[[signal.Signals], None]) -> None:
    """Call that in the running loop, with the signal, whenever one is received that asks this process to end.

    Loops of Windows have no signal handlers: there Python's own hands the call over to the loop.
    """
    loop = asyncio.get_running_loop()
    for number in END_SIGNALS:
        try:
            loop.add_signal_handler(number, call, number)
        except NotImplementedError:
            signal.signal(number, lambda received, _frame: loop.call_soon_threadsafe(call, signal.Signals(received)))


def reset_end_signals() -> None:
    """Let such a signal end the process at once."""
    loop = asyncio.get_running_loop()
    for number in END_SIGNALS:
        with suppress(NotImplementedError):
            loop.remove_signal_handler(number)
        signal.signal(number, signal.SIG_DFL)
