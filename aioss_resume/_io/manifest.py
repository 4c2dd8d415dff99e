"""The manifest of a directory: the object that each file was downloaded from, and the file's attributes at that time.

The manifest is a cache. An entry is only used if the listing still has that object, and the file still has that size,
modification time and inode; without an entry the file is compared with the object. So a manifest that is lost, damaged
or in use costs time, but never makes a wrong file count as right. A file that was modified and then got its old size
and modification time back is not noticed.

Everything here blocks and runs in threads, one call at a time.
"""

import os
import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from aioss_resume._core.manifest import Entry, FileState
from aioss_resume._io.storage import CREATE, STORAGE, is_regular, is_same_file

NAME: Final = ".aioss-resume.sqlite"

_APPLICATION: Final = 0x41525331  # "ARS1": marks our manifests among all SQLite files
_FORMAT: Final = 1
_LOCK_SECONDS: Final = 0.2  # another run keeps its lock to its end, so waiting longer does not help
_MARKS_MOST: Final = 500  # values in one statement; SQLite before 3.32 allows 999
_TABLES: Final = """
    CREATE TABLE IF NOT EXISTS files (
        path BLOB PRIMARY KEY, bucket TEXT NOT NULL, key BLOB NOT NULL, etag TEXT NOT NULL, crc64 BLOB,
        size INTEGER NOT NULL, modified INTEGER NOT NULL, inode BLOB NOT NULL, boot TEXT
    ) WITHOUT ROWID
"""
_COLUMNS: Final = "path, bucket, key, etag, crc64, size, modified, inode, boot"
_DAMAGE: Final = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR)
# SQLITE_ERROR: the tables do not fit our statements.
BOOT_ID_FILE: Final = Path("/proc/sys/kernel/random/boot_id")
"""Its content differs after each start of the machine."""


class UnusableManifestError(Exception):
    """The manifest cannot be used. The text says why.

    Attributes:
        is_mistake: Whether the file is not a manifest, so that another name must be chosen.
    """

    def __init__(self, text: str, *, is_mistake: bool = False) -> None:
        super().__init__(text)
        self.is_mistake = is_mistake


class DamagedManifestError(sqlite3.DatabaseError):
    """The tables or rows are not as this module makes them."""


class Manifest:
    """An open manifest.

    Args:
        path: The absolute path. The file is created if it is missing and replaced if it is damaged. None for a manifest
            in memory.
        bucket: Only entries of this bucket are used.
        read_only: Whether to create and change nothing.
        boot_id_file: A file whose content changes with each boot.

    Raises:
        UnusableManifestError: Another run uses it, a newer release wrote it, or the file is not a manifest.
    """

    def __init__(
        self, path: str | None, bucket: str, *, read_only: bool = False, boot_id_file: Path = BOOT_ID_FILE
    ) -> None:
        self._path = path or ""
        self._bucket = bucket
        self._boot = _boot_id(boot_id_file)
        self._read_only = read_only
        self._connection = self._open_or_replace()

    def _open_or_replace(self) -> sqlite3.Connection:
        for is_replaced in (False, True):
            try:
                return self._open()
            except sqlite3.DatabaseError as error:
                if not shows_damage(error) or is_replaced or self._read_only or not _is_ours(self._path):
                    raise UnusableManifestError(f"{self._path}: {error}", is_mistake=shows_damage(error)) from None
                self._remove()
            except OSError as error:
                raise UnusableManifestError(f"{self._path}: {error.strerror}", is_mistake=True) from None
        raise AssertionError

    def entries(self, paths: Sequence[str]) -> dict[str, Entry]:
        """The entries of the files at these relative paths."""
        found: dict[str, Entry] = {}
        for start in range(0, len(paths), _MARKS_MOST):
            some = [*map(_blob, paths[start : start + _MARKS_MOST])]
            marks = ",".join("?" * len(some))
            query = f"SELECT {_COLUMNS} FROM files WHERE path IN ({marks})"  # noqa: S608  # constants, and a mark for each
            found |= {entry.path: entry for entry in map(self._entry, self._connection.execute(query, some))}
        return found

    def record(self, entries: Iterable[Entry]) -> None:
        """Store entries in one transaction."""
        rows = [
            (
                _blob(entry.path),
                entry.bucket,
                _blob(entry.key),
                entry.etag,
                None if entry.crc64 is None else entry.crc64.to_bytes(8, "big"),  # SQLite's integers have a sign
                entry.file.size,
                entry.file.modified,
                entry.file.inode.to_bytes(16, "big"),
                None if entry.is_synced else self._boot,
            )
            for entry in entries
            if entry.is_synced or self._boot is not None
        ]
        with self._connection:
            self._connection.executemany("INSERT OR REPLACE INTO files VALUES (?,?,?,?,?,?,?,?,?)", rows)

    def forget(self, paths: Iterable[str]) -> None:
        """Delete entries in one transaction."""
        with self._connection:
            self._connection.executemany("DELETE FROM files WHERE path = ?", [(_blob(path),) for path in paths])

    def note_listed(self, keys: Iterable[str]) -> None:
        """Note, for the duration of this run, that the listing contains these keys."""
        execute = self._connection.execute
        execute("CREATE TEMP TABLE IF NOT EXISTS listed (key BLOB PRIMARY KEY) WITHOUT ROWID")
        with self._connection:
            self._connection.executemany("INSERT OR IGNORE INTO temp.listed VALUES (?)", [(_blob(k),) for k in keys])

    def claim(self, names: Sequence[tuple[str, str]]) -> set[str]:
        """Claim names for the duration of this run, in order. Returns the paths whose name an earlier path has claimed.

        Args:
            names: Pairs of a path and its folded form, which is equal for paths that the file system cannot tell apart.
        """
        execute = self._connection.execute
        execute("CREATE TEMP TABLE IF NOT EXISTS claimed (name BLOB PRIMARY KEY, path BLOB) WITHOUT ROWID")
        with self._connection:
            rows = [(_blob(name), _blob(path)) for path, name in names]
            self._connection.executemany("INSERT OR IGNORE INTO temp.claimed VALUES (?, ?)", rows)
        taken = set()
        for path, name in names:
            ((owner,),) = execute("SELECT path FROM temp.claimed WHERE name = ?", (_blob(name),))
            if _text(owner) != path:
                taken.add(path)
        return taken

    def unlisted(self, prefix: str) -> tuple[list[Entry], int]:
        """The entries with that prefix whose keys were not passed to note_listed(), and the number of all entries."""
        where = "bucket = ? AND substr(key, 1, ?) = ?"
        values = (self._bucket, len(_blob(prefix)), _blob(prefix))
        execute = self._connection.execute
        self.note_listed([])
        query = f"SELECT {_COLUMNS} FROM files WHERE {where} AND key NOT IN temp.listed ORDER BY path"  # noqa: S608
        rows = execute(query, values)
        found = [self._entry(row) for row in rows]
        ((count,),) = execute(f"SELECT count(*) FROM files WHERE {where}", values)  # noqa: S608
        return found, count

    def close(self, *, is_damaged: bool = False) -> None:
        """Close the manifest. If it turned out to be damaged, remove it, so that the next run creates a new one."""
        with suppress(sqlite3.Error, OSError):  # it is a cache
            self._connection.close()
            if self._path and is_damaged and not self._read_only:
                self._remove()
            elif self._path and not self._read_only:
                os.unlink(f"{self._path}-journal")  # noqa: PTH108  # it was closed, so the journal is of no use

    def _open(self) -> sqlite3.Connection:
        if not self._path:
            return _connect(":memory:", is_new=True)
        found = _look(self._path)
        _look(f"{self._path}-journal")
        if found is None:
            if self._read_only:
                return _connect(":memory:", is_new=True)
            # Made here, because SQLite would follow a link that was planted meanwhile.
            STORAGE.close(STORAGE.open(self._path, CREATE))
            found = os.stat(self._path, follow_symlinks=False)  # noqa: PTH116
        mode = "ro" if self._read_only else "rw"
        connection = _connect(f"{Path(self._path).as_uri()}?mode={mode}", is_new=not found.st_size)
        now = _look(self._path)
        if now is None or not is_same_file(now, found):
            connection.close()
            raise UnusableManifestError(f"{self._path} was replaced while it was opened")
        return connection

    def _remove(self) -> None:
        for path in (self._path, f"{self._path}-journal"):
            with suppress(FileNotFoundError):
                os.unlink(path)  # noqa: PTH108

    def _entry(self, row: tuple[bytes, str, bytes, str, bytes | None, int, int, bytes, str | None]) -> Entry:
        path, bucket, key, etag, crc64, size, modified, inode, boot = row
        blobs = (path, key, inode, b"" if crc64 is None else crc64)
        if not all(isinstance(blob, bytes) for blob in blobs):  # SQLite does not check types
            raise DamagedManifestError("a row has values of wrong types")
        file = FileState(size, modified, int.from_bytes(inode, "big"))
        crc = None if crc64 is None else int.from_bytes(crc64, "big")
        # After a power cut, a file that was not synced may have lost its content, although its size and time are right.
        return Entry(_text(path), bucket, _text(key), etag, crc, file, is_synced=boot is None or boot == self._boot)


def shows_damage(error: sqlite3.Error) -> bool:
    """Whether the file is damaged, and not just in use or unreadable."""
    return isinstance(error, DamagedManifestError) or getattr(error, "sqlite_errorcode", None) in _DAMAGE


def _connect(address: str, *, is_new: bool) -> sqlite3.Connection:
    connection = sqlite3.connect(
        address, uri=True, timeout=_LOCK_SECONDS, check_same_thread=False, isolation_level="IMMEDIATE"
    )
    connection.text_factory = _text  # text that is not UTF-8 is no error in every run: its entry matches no object
    try:
        _prepare(connection, is_new=is_new, is_writable=not address.endswith("mode=ro"))
    except BaseException as error:
        connection.close()
        if isinstance(error, UnicodeDecodeError):  # in SQLite's message, which quotes the damaged definition of a table
            raise DamagedManifestError("the definition of its table is damaged") from None
        raise
    return connection


def _prepare(connection: sqlite3.Connection, *, is_new: bool, is_writable: bool) -> None:
    """Acquire the lock, which is kept, and check that the file is a manifest."""
    execute = connection.execute
    execute("PRAGMA locking_mode = EXCLUSIVE")
    if is_writable:
        execute("PRAGMA journal_mode = PERSIST")  # no file is created later on, where a link could be planted
        execute("PRAGMA synchronous = NORMAL")
        execute("BEGIN IMMEDIATE")
        if is_new:
            execute(f"PRAGMA application_id = {_APPLICATION}")
            execute(f"PRAGMA user_version = {_FORMAT}")
            execute(_TABLES)
        execute("COMMIT")
    ((application,),), ((version,),) = execute("PRAGMA application_id"), execute("PRAGMA user_version")
    if application != _APPLICATION:
        raise UnusableManifestError("it is another program's database", is_mistake=True)
    if version != _FORMAT:
        raise UnusableManifestError(f"it has format {version}, and this release knows {_FORMAT}")
    execute(f"SELECT {_COLUMNS} FROM files LIMIT 1").fetchall()  # noqa: S608  # a constant


def _look(path: str) -> os.stat_result | None:
    """Stat the file; None if it does not exist."""
    try:
        found = os.stat(path, follow_symlinks=False)  # noqa: PTH116
    except FileNotFoundError:
        return None
    if not is_regular(found):
        raise UnusableManifestError(f"{path} is no regular file", is_mistake=True)
    return found


def _is_ours(path: str) -> bool:
    """Whether a damaged file was a manifest: it begins like one, or has the default name."""
    if Path(path).name == NAME:
        return True
    with suppress(OSError), Path(path).open("rb") as file:
        file.seek(68)
        return file.read(4) == _APPLICATION.to_bytes(4, "big")
    return False


def _boot_id(file: Path) -> str | None:
    with suppress(OSError):  # the system does not tell
        return file.read_text().strip()
    return None


def _blob(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _text(blob: bytes) -> str:
    return blob.decode("utf-8", "surrogateescape")
