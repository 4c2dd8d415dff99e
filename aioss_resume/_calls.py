"""The calls that run through a Downloader. They end when it is closed."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from anyio import CancelScope

from aioss_resume._io.cancellation import wait_uncancelled
from aioss_resume.errors import ObjectName, RequestError


class Calls:
    """The calls that are running."""

    def __init__(self) -> None:
        self._scopes: set[CancelScope] = set()
        self._all_ended = asyncio.Event()

    @contextmanager
    def call(self, name: ObjectName) -> Iterator[None]:
        """Run the `with` block as one call.

        Raises:
            RequestError: end_all() ended it.
        """
        with CancelScope() as scope:
            self._scopes.add(scope)
            try:
                yield
            finally:
                self._scopes.discard(scope)
                if not self._scopes:
                    self._all_ended.set()
        if scope.cancelled_caught:
            raise RequestError(
                f"{name}: the Downloader was closed",
                name=name,
                hint="keep its `async with` block open until its calls have ended; what was written is kept",
            )

    async def end_all(self) -> asyncio.CancelledError | None:
        """End all calls, and wait until they have ended. Returns a cancellation that arrived meanwhile."""
        self._all_ended.clear()
        for scope in self._scopes:
            scope.cancel()
        return await wait_uncancelled(lambda: not self._scopes, self._all_ended.wait)
