"""The manifest of a running batch: entries are written in groups, and what fails costs the manifest, not the batch."""

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from aioss_resume._core.keys import folded
from aioss_resume._core.manifest import Entry
from aioss_resume._io.manifest import Manifest, shows_damage
from aioss_resume._transfer.client import Client
from aioss_resume._transfer.reporting import Reporter

_ENTRIES: Final = 500
_SECONDS: Final = 1.0  # after which entries are written however few: what a kill costs is compared with the objects

T = TypeVar("T")


class Recording:
    """The manifest, used by one call at a time."""

    def __init__(self, manifest: Manifest, client: Client, report: Reporter) -> None:
        self._manifest = manifest
        self._client = client
        self._report = report
        self._entries: list[Entry] = []
        self._written_at = client.clock.now()
        self._lock = asyncio.Lock()  # guards the manifest
        self._is_usable = True
        self._is_damaged = False

    async def entries(self, paths: Sequence[str]) -> dict[str, Entry]:
        """What is known of the files at these relative paths."""
        return await self._use(lambda: self._manifest.entries(paths), {})

    async def record(self, entry: Entry) -> None:
        """Remember a file, soon."""
        self._entries.append(entry)
        if len(self._entries) >= _ENTRIES or self._client.clock.now() > self._written_at + _SECONDS:
            await self._write()

    async def note_listed(self, keys: Sequence[str]) -> None:
        """Remember until the end that the listing has these keys."""
        await self._use(lambda: self._manifest.note_listed(keys), None)

    async def claim(self, paths: Sequence[str], *, case: bool, form: bool) -> set[str]:
        """Those of the paths that the file system takes for the same as an earlier one."""
        names = [(path, folded(path, case=case, form=form)) for path in paths]
        return await self._use(lambda: self._manifest.claim(names), set())

    async def unlisted(self, prefix: str) -> tuple[list[Entry], int]:
        """Files of objects that the listing lacks, and how many files there are; none if the manifest has failed."""
        await self._write()
        return await self._use(lambda: self._manifest.unlisted(prefix), ([], 0))

    async def forget(self, paths: Sequence[str]) -> None:
        await self._use(lambda: self._manifest.forget(paths), None)

    async def close(self) -> None:
        """Write what is left. It is written even if this task is cancelled."""
        entries, self._entries = self._entries, []
        manifest, is_usable = self._manifest, self._is_usable

        def finish() -> None:
            try:
                if entries and is_usable:
                    manifest.record(entries)
            except sqlite3.Error as error:
                self._warn(error)
            finally:
                manifest.close(is_damaged=self._is_damaged)

        await self._client.threads.run_uncancelled(finish)

    async def _write(self) -> None:
        entries, self._entries = self._entries, []
        self._written_at = self._client.clock.now()
        await self._use(lambda: self._manifest.record(entries), None)

    async def _use(self, call: Callable[[], T], otherwise: T) -> T:
        async with self._lock:
            if not self._is_usable:
                return otherwise
            try:
                return await self._client.threads.run(call)
            except sqlite3.Error as error:
                self._is_usable = False
                self._warn(error)
                return otherwise

    def _warn(self, error: sqlite3.Error) -> None:
        self._is_damaged = shows_damage(error)
        self._report.warning("the manifest cannot be used any more (%s): the next run compares more files", error)
