"""Progress of transfers, derived from their events and from a listing."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

from aioss_resume._batch.listing import ObjectListing
from aioss_resume._core.globs import Selection
from aioss_resume.cli.showing import Shown, State
from aioss_resume.cli.sizes import in_words
from aioss_resume.downloader import Downloader
from aioss_resume.errors import AiossError, printable
from aioss_resume.events import AttemptFailed, DownloadFailed, DownloadFinished, DownloadStarted, Event, SpanFetched
from aioss_resume.options import MiB

_LARGE: Final = 8 * MiB  # among many objects, those of this size have a bar of their own


class OneTransfer:
    """An event hook that updates the state of one transfer."""

    def __init__(self, title: str, shown: Shown) -> None:
        self.state = State(title)
        self._shown = shown

    def __call__(self, event: Event) -> None:
        if isinstance(event, AttemptFailed):
            _say_retry(event, self.state, self._shown)
        elif isinstance(event, DownloadStarted):
            self.state.total, self.state.kept = event.size, event.resumed_bytes
            self._shown.event("started", key=event.key, size=event.size, kept=event.resumed_bytes)
            if event.resumed_bytes:
                self._shown.line(f"{printable(event.key)}: {in_words(event.resumed_bytes)} are there and being proven")
        elif isinstance(event, DownloadFinished | DownloadFailed) and self.state.total is not None:
            self.state.in_flight = 0
            self._shown.show(self.state)

    def progress_callback(self, downloader: Downloader) -> Callable[[int, int | None], None]:
        def report(consumed: int, total: int | None) -> None:
            self.state.consumed, self.state.total = consumed, total
            self.state.in_flight = downloader.requests_in_flight
            self._shown.show(self.state)

        return report


class ManyTransfers:
    """An event hook that updates the state of many transfers, and one state for each large transfer.

    Events are delivered by a task of their own, so an outcome may arrive before or after the last events of its object.
    """

    def __init__(self, title: str, shown: Shown) -> None:
        self.state = State(title)
        self._shown = shown
        self._ended_bytes = self._ended_kept = 0
        self._large: dict[str, State] = {}  # by key; until the outcome
        self._ended_large: set[str] = set()

    def ended(self, key: str, size: int, kept: int, downloader: Downloader) -> None:
        """Count an outcome.

        Args:
            kept: The bytes that existed before.
        """
        self._remove(key)
        if size >= _LARGE:
            self._ended_large.add(key)
        self._ended_bytes += size
        self._ended_kept += kept
        self.state.in_flight = downloader.requests_in_flight
        self._show()

    def end(self) -> None:
        """Display the final state."""
        self.state.in_flight = 0
        if self.state.total is None:
            self.state.total = self.state.consumed
        self._show()

    def __call__(self, event: Event) -> None:
        if isinstance(event, AttemptFailed):
            _say_retry(event, self.state, self._shown)
        if not self._shown.has_bar:
            return
        if isinstance(event, DownloadStarted):
            self._remove(event.key)  # it may start again, after the object was replaced
            self._add(event)
        state = self._large.get(event.key)
        if state is None:
            return
        if isinstance(event, SpanFetched):
            state.consumed += event.stop - event.start
        elif isinstance(event, AttemptFailed):
            state.retries += 1
        elif isinstance(event, DownloadFinished | DownloadFailed):
            state.has_ended = True
        self._shown.show(state)
        self._show()

    def _add(self, event: DownloadStarted) -> None:
        if event.size is None or event.size < _LARGE or event.key in self._ended_large:
            return
        resumed = event.resumed_bytes
        self._large[event.key] = State(event.key, total=event.size, consumed=resumed, kept=resumed)

    def _remove(self, key: str) -> None:
        state = self._large.pop(key, None)
        if state is not None:
            state.has_ended = True
            self._shown.show(state)

    def _show(self) -> None:
        running = self._large.values()
        self.state.consumed = self._ended_bytes + sum(state.consumed for state in running)
        self.state.kept = self._ended_kept + sum(state.kept for state in running)
        self._shown.show(self.state)


@asynccontextmanager
async def total_from_listing(
    downloader: Downloader, prefix: str, keywords: Mapping[str, Any], state: State, shown: Shown
) -> AsyncIterator[None]:
    """Compute the total size of a prefix with a separate listing, while the block runs. Only if a bar displays it.

    Args:
        keywords: Keywords of download_prefix(). Any: they are of many types.
    """
    if not shown.has_bar:
        yield
        return

    async def find() -> None:
        selection = Selection(keywords["include"], keywords["exclude"])
        listing = downloader.list(prefix, headers=keywords["headers"])
        with suppress(AiossError):  # the batch fails with the same error and reports it
            state.total = await _bytes_below(prefix, listing, selection)
            shown.show(state)

    task = asyncio.create_task(find())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def _bytes_below(prefix: str, objects: ObjectListing, selection: Selection) -> int:
    """The size of the objects that download_prefix() selects: if any are below `prefix/`, only those."""
    directory = prefix if not prefix or prefix.endswith("/") else f"{prefix}/"
    total, total_in_directory = 0, None
    async with objects:
        async for meta in objects:
            if selection.has(meta.key[len(prefix) :]):
                total += meta.size
            if meta.key.startswith(directory):
                is_wanted = selection.has(meta.key[len(directory) :])
                total_in_directory = (total_in_directory or 0) + (meta.size if is_wanted else 0)
    return total if total_in_directory is None else total_in_directory


def _say_retry(event: AttemptFailed, state: State, shown: Shown) -> None:
    shown.event("attempt_failed", key=event.key, error=str(event.error), wait=round(event.wait, 3))
    state.retries += 1
    shown.show(state)
