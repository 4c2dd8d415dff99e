"""A thread with its own event loop, for a server that blocking clients of the same process use."""

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

_TURNS = 8  # iterations of the loop; asyncio needs 4 from accepting a connection to the first step of its handler


async def settle() -> None:
    """Let the handlers of accepted connections begin. If the listener is closed before, the connections leak.

    Source: asyncio.Server._attach of Python 3.11 fails once the server is closed.
    """
    for _ in range(_TURNS):
        await asyncio.sleep(0)


class LoopThread:
    """A thread that runs an event loop from `start` to `stop`. Other threads can run functions and coroutines on it."""

    def __init__(self, name: str, listen: Callable[[], Awaitable[None]], close: Callable[[], Awaitable[None]]) -> None:
        """Set up, without a thread yet; `listen` runs on the loop first and `close` last."""
        self._listen = listen
        self._close = close
        self._ready = threading.Event()
        self._failure: OSError | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closing: asyncio.Event | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Returns when `listen` has.

        Raises:
            OSError: It could not listen.
        """
        self._thread.start()
        self._ready.wait()
        if self._failure is not None:
            self._thread.join()
            raise self._failure

    def stop(self) -> None:
        """Run `close`, end everything on the loop and the loop; may be called again."""
        if self._closing is not None:
            self.tell(self._closing.set)
        self._thread.join()

    def tell(self, what: Callable[[], object]) -> None:
        """Call a function on the loop soon. Does nothing before the start and after the stop."""
        if self._loop is None:
            return
        with contextlib.suppress(RuntimeError):  # the loop was closed
            self._loop.call_soon_threadsafe(what)

    # The two Any are what a coroutine yields and receives.
    def ask(self, what: Coroutine[Any, Any, T]) -> T:
        """Run something on the loop and wait for its result; not for use on the loop itself."""
        assert self._loop is not None
        return asyncio.run_coroutine_threadsafe(what, self._loop).result()

    def _run(self) -> None:
        # Not asyncio.run(), because a uvloop policy of the host program must have no effect here.
        with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
            try:
                runner.run(self._serve())
            except OSError as failure:
                self._failure = failure
            finally:
                self._ready.set()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._closing = asyncio.Event()
        await self._listen()
        self._ready.set()
        await self._closing.wait()
        await settle()
        await self._close()
