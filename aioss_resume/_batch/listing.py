"""Listing: the objects whose keys begin with a prefix. The next page is fetched ahead."""

import asyncio
from collections import deque
from collections.abc import Mapping
from types import TracebackType
from typing import Final, Self

from aioss_resume._core.listing import PAGE_KEYS_MOST, MalformedPageError, Page, PageOrder, PageParser
from aioss_resume._core.objects import ObjectMeta
from aioss_resume._io.cancellation import wait_uncancelled
from aioss_resume._io.origin import Origin
from aioss_resume._transfer.calls import Calls, closed_error
from aioss_resume._transfer.client import Client
from aioss_resume._transfer.retrying import with_retries
from aioss_resume.errors import ConfigError, ObjectName, ProtocolError
from aioss_resume.options import DEFAULT_RETRY, KiB, ReadOptions, Timeouts

_READ: Final = 64 * KiB  # bytes parsed at once: about a millisecond of the event loop


class Pages:
    """Fetches the pages of one listing.

    Args:
        timeouts: The bucket's own, if it has any.
    """

    def __init__(
        self,
        client: Client,
        origin: Origin,
        bucket_name: str,
        prefix: str,
        *,
        delimiter: str | None,
        start_after: str | None,
        headers: Mapping[str, str] | None,
        timeouts: Timeouts,
    ) -> None:
        self.name = ObjectName(bucket_name, "")
        self._prefix = prefix
        self._client = client
        self._origin = origin
        self._timeouts = timeouts
        self._headers = headers
        self._report = client.reporter(self.name)
        self._order = PageOrder(prefix, start_after or "")
        self._params = {"list-type": "2", "encoding-type": "url", "max-keys": str(PAGE_KEYS_MOST)}
        given = {"prefix": prefix, "delimiter": delimiter, "start-after": start_after}
        self._params |= {parameter: value for parameter, value in given.items() if value}

    async def fetch(self, token: str | None) -> Page:
        """Fetch one page, after waiting for a slot.

        Args:
            token: The continuation token from the previous page; None for the first page.

        Raises:
            ProtocolError: The response is not a page of this listing, or repeats an earlier one.
            AiossError: All attempts failed.
        """
        params = {**self._params, "continuation-token": token} if token is not None else self._params
        options = ReadOptions(headers=self._headers, params=params)
        source = self._client.source(self._origin, self.name, options, self._timeouts, self._report.counts)

        async def attempt() -> Page:
            response = await source.open_whole()
            try:
                parser, buffer = PageParser(), memoryview(bytearray(_READ))
                came = 0

                def count(length: int, _now: float) -> bool:
                    nonlocal came
                    came += length
                    return True

                while await response.fill(buffer, count):
                    parser.feed(bytes(buffer[:came]))
                    came = 0
                return parser.finish()
            except MalformedPageError as error:
                problem = str(error)
            finally:
                response.close()
            raise self._error(problem)

        with await self._client.slot(self._client.share()):
            page = await with_retries(attempt, DEFAULT_RETRY, self._client.clock, self._report)
        try:
            self._order.check(page)
        except MalformedPageError as error:
            problem = str(error)
        else:
            return page
        raise self._error(problem)

    def _error(self, problem: str) -> ProtocolError:
        return ProtocolError(
            f"{self.name}: asked for a page of the listing of {self._prefix!a}, got one that cannot be: {problem}",
            name=self.name,
            hint="a proxy may stand between, or the server is none of OSS's",
        )


class ObjectListing:
    """The objects of a listing, in OSS's order. Made by `Downloader.list()`, and used with `async with`.

    Attributes:
        prefixes: The common prefixes found so far, in order, if a delimiter was given.
    """

    def __init__(self, pages: Pages, calls: Calls) -> None:
        self.prefixes: list[str] = []
        self._pages = pages
        self._calls = calls
        self._objects: deque[ObjectMeta] = deque()
        self._next: asyncio.Task[Page] | None = None
        self._is_open = False
        self._was_open = False
        self._is_in_calls = False
        self._was_closed = False  # because its Downloader was closed

    async def __aenter__(self) -> Self:
        """Start fetching the first page."""
        if self._was_open:
            raise ConfigError("this listing is in use already: make another one with Downloader.list()")
        self._was_open = self._is_open = True
        self._calls.add(self)
        self._is_in_calls = True
        self._fetch(None)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._is_open = False
        self._objects.clear()
        task, self._next = self._next, None
        cancelled = None
        if task is not None:
            task.cancel()  # has no effect once it has ended
            cancelled = await wait_uncancelled(task.done, lambda: asyncio.wait([task]))
            if not task.cancelled():
                task.exception()  # retrieved, so that asyncio does not log it
        self._leave_calls()
        if cancelled is not None:
            raise cancelled

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> ObjectMeta:
        """The next object.

        Raises:
            ProtocolError: A response was not a page of this listing, or repeated an earlier one.
            AiossError: A page could not be fetched; all attempts failed.
        """
        while not self._objects:
            page = await self.next_page()
            if page is None:
                raise StopAsyncIteration
            self._objects.extend(page)
        return self._objects.popleft()

    async def next_page(self) -> list[ObjectMeta] | None:
        """The objects of the next page, or None after the last one. Starts fetching the page after it."""
        task = self._next
        self._check_is_open()
        if task is None:
            if self._was_closed:
                raise closed_error(self._pages.name)
            return None
        if not task.done():
            await asyncio.wait([task])  # it goes on if this caller is cancelled
            self._check_is_open()
        if task.cancelled():
            raise closed_error(self._pages.name)
        page = task.result()
        if task is not self._next:
            raise ConfigError("this listing is being read by another task")
        self._next = None
        if page.next_token is not None and not self._was_closed:
            self._fetch(page.next_token)
        self.prefixes += page.prefixes
        return page.objects

    def end(self) -> None:
        """End the listing because its Downloader was closed: readers get an error."""
        self._was_closed = True
        self._objects.clear()
        if self._next is not None and not self._next.done():
            self._next.cancel()
            self._next.add_done_callback(self._leave_calls)
        else:
            self._leave_calls()

    def _check_is_open(self) -> None:
        if not self._is_open:
            raise ConfigError("this listing is not open: use it within `async with`")

    def _leave_calls(self, _task: object = None) -> None:
        is_in, self._is_in_calls = self._is_in_calls, False
        if is_in:
            self._calls.remove(self)

    def _fetch(self, token: str | None) -> None:
        # Not in a task group: the `async with` block may end in another task than it began in.
        self._next = asyncio.create_task(self._pages.fetch(token), name=f"aioss_resume: {self._pages.name}")
