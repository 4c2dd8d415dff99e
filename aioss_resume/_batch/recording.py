"""The manifest of a running batch. Entries are written in groups; an error disables the manifest, not the batch."""

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
# Entries are written at least this often: after a kill, files without an entry are compared with their objects.
_SECONDS: Final = 1.0

T = TypeVar("T")


class Recording:
    """Access to the manifest, one call at a time."""

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
        """The entries of the files at these relative paths."""
        return await self._use(lambda: self._manifest.entries(paths), {})

    async def record(self, entry: Entry) -> None:
        """Store an entry with the next group."""
        self._entries.append(entry)
        if len(self._entries) >= _ENTRIES or self._client.clock.now() > self._written_at + _SECONDS:
            await self._write()

    async def note_listed(self, keys: Sequence[str]) -> None:
        """Note, for the duration of this run, that the listing contains these keys."""
        await self._use(lambda: self._manifest.note_listed(keys), None)

    async def claim(self, paths: Sequence[str], *, case: bool, form: bool) -> set[str]:
        """Claim paths, and return those that the file system cannot tell apart from an earlier one."""
        names = [(path, folded(path, case=case, form=form)) for path in paths]
        return await self._use(lambda: self._manifest.claim(names), set())

    async def unlisted(self, prefix: str) -> tuple[list[Entry], int]:
        """The entries whose keys were not listed, and the number of all entries; none if the manifest has failed."""
        await self._write()
        return await self._use(lambda: self._manifest.unlisted(prefix), ([], 0))

    async def forget(self, paths: Sequence[str]) -> None:
        await self._use(lambda: self._manifest.forget(paths), None)

    async def close(self) -> None:
        """Write the remaining entries, even if this task is cancelled."""
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
