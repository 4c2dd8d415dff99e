"""The manifest: what it remembers, and what happens when its file is no manifest."""
# ruff: noqa: N802

import multiprocessing
import os
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aioss_resume._core.manifest import Entry, FileState, too_many_to_delete
from aioss_resume._core.objects import ObjectMeta
from aioss_resume._io.manifest import NAME, Manifest, UnusableManifestError, shows_damage

FILE = FileState(10, 1_700_000_000_123_456_789, (1 << 64) - 1)
ENTRY = Entry("dir/é\udcff", "bucket", "p/dir/é\udcff", "A1", (1 << 64) - 1, FILE, is_synced=True)


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / NAME)


def saved(path: str, *entries: Entry) -> None:
    manifest = Manifest(path, "bucket")
    manifest.record(entries)
    manifest.close()


def found(path: str, *paths: str, bucket: str = "bucket") -> dict[str, Entry]:
    manifest = Manifest(path, bucket)
    try:
        return manifest.entries(paths)
    finally:
        manifest.close()


def test_recorded_entries_are_returned(path: str) -> None:
    other = replace(ENTRY, path="other", crc64=None, bucket="b2")
    saved(path, ENTRY, other)
    assert found(path, ENTRY.path, "other", "missing") == {ENTRY.path: ENTRY, "other": other}
    assert os.listdir(Path(path).parent) == [NAME]
    assert os.stat(path).st_mode & 0o777 == 0o600


def test_page_of_a_listing_has_more_paths_than_old_releases_of_sqlite_take_at_once(path: str) -> None:
    paths = [str(number) for number in range(1000)]
    saved(path, *(replace(ENTRY, path=each) for each in paths))
    manifest = Manifest(path, "bucket")
    manifest._connection.setlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, 999)  # the limit before SQLite 3.32
    assert set(manifest.entries(["missing", *paths])) == set(paths)
    manifest.close()


def test_newer_entry_replaces_the_older(path: str) -> None:
    saved(path, ENTRY)
    saved(path, replace(ENTRY, etag="B2"))
    assert found(path, ENTRY.path)[ENTRY.path].etag == "B2"


def test_file_that_was_not_synced_counts_until_the_machine_starts_anew(path: str, tmp_path: Path) -> None:
    def knows(name: str, *entries: Entry) -> bool:
        manifest = Manifest(path, "bucket", boot_id_file=tmp_path / name)
        manifest.record(entries)
        found = manifest.entries([ENTRY.path])
        manifest.close()
        return bool(found) and found[ENTRY.path].is_synced

    (tmp_path / "one").write_text("1\n")
    (tmp_path / "two").write_text("2\n")
    unsynced = replace(ENTRY, is_synced=False)
    assert not knows("missing", unsynced)  # a system without a boot id
    assert knows("one", unsynced)
    assert not knows("two")
    assert not knows("missing")
    assert knows("one")


def test_files_of_objects_that_are_gone(path: str) -> None:
    entries = [replace(ENTRY, path=name, key=f"p/{name}") for name in ("a", "b", "c")]
    saved(path, *entries, replace(ENTRY, path="q", key="q/a"), replace(ENTRY, path="o", bucket="other"))
    manifest = Manifest(path, "bucket")
    manifest.note_listed(["p/b", "p/b", "p/zzz"])
    assert manifest.unlisted("p/") == ([entries[0], entries[2]], 3)
    assert manifest.unlisted("q/")[1] == 1
    manifest.forget(["a"])
    assert manifest.unlisted("p/") == ([entries[2]], 2)
    manifest.close()
    manifest = Manifest(path, "bucket")  # keys are only noted for the duration of one run
    assert len(manifest.unlisted("p/")[0]) == 2
    manifest.close()


def test_P03_first_path_claims_a_folded_name(path: str) -> None:
    manifest = Manifest(path, "bucket")
    assert manifest.claim([("A", "a"), ("b", "b"), ("a", "a")]) == {"a"}
    assert manifest.claim([("a", "a"), ("A", "a"), ("B", "b")]) == {"a", "B"}
    manifest.close()


def damage(path: str, how: str) -> None:
    data = Path(path).read_bytes()
    if how == "torn":
        data = data[: len(data) - 4096] + os.urandom(4096)
    elif how == "cut":
        data = data[: len(data) // 2]
    elif how == "header":
        data = b"x" * 100 + data[100:]
    Path(path).write_bytes(data if how != "noise" else os.urandom(5000))


@pytest.mark.parametrize("how", ["torn", "cut", "header", "noise"])
def test_damaged_manifest_is_replaced_or_misses_entries(path: str, how: str) -> None:
    entries = [replace(ENTRY, path=f"{number:05}" * 10) for number in range(2000)]
    saved(path, *entries)
    damage(path, how)
    wrong = 0
    try:
        for entry in entries[::100]:
            answer = found(path, entry.path)
            wrong += answer not in ({}, {entry.path: entry})
    except sqlite3.DatabaseError:  # then the batch goes on without a manifest
        assert how in ("torn", "cut")
    assert not wrong


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"etag TEXT", b"eTUg TEXT"),
        (b"bucket TEXT NOT NULL", b"bucket TEXT NOT NU\xd0L"),  # SQLite's message quotes it, and is not UTF-8 then
    ],
)
def test_manifest_whose_table_has_a_damaged_definition_is_replaced(path: str, old: bytes, new: bytes) -> None:
    saved(path, ENTRY)
    data = Path(path).read_bytes()
    assert data.count(old) == 1
    Path(path).write_bytes(data.replace(old, new))
    assert found(path, ENTRY.path) == {}
    saved(path, ENTRY)
    assert found(path, ENTRY.path) == {ENTRY.path: ENTRY}


def test_manifest_whose_table_has_another_column_is_damaged(path: str) -> None:
    saved(path, ENTRY)
    with sqlite3.connect(path) as connection:
        connection.execute("ALTER TABLE files ADD COLUMN more")
    connection.close()
    manifest = Manifest(path, "bucket")
    with pytest.raises(sqlite3.DatabaseError) as caught:
        manifest.record([ENTRY])
    assert shows_damage(caught.value)
    manifest.close(is_damaged=True)
    saved(path, ENTRY)
    assert found(path, ENTRY.path) == {ENTRY.path: ENTRY}


def test_entry_with_damaged_text_equals_no_object(path: str) -> None:
    saved(path, replace(ENTRY, etag="ETAG"), replace(ENTRY, path="other"))
    data = Path(path).read_bytes()
    assert data.count(b"ETAG") == 1
    Path(path).write_bytes(data.replace(b"ETAG", b"E\xffAG"))
    entries = found(path, ENTRY.path, "other")
    assert entries[ENTRY.path].etag not in ("ETAG", ENTRY.etag)
    assert entries["other"] == replace(ENTRY, path="other")


@pytest.mark.parametrize("column", ["inode", "key", "crc64"])
@pytest.mark.parametrize("value", ["", "text", 5, 0.5])
def test_entry_with_a_value_of_another_type_is_damage(path: str, column: str, value: object) -> None:
    saved(path, ENTRY)
    with sqlite3.connect(path) as connection:
        connection.execute(f"UPDATE files SET {column} = ?", (value,))
    connection.close()
    manifest = Manifest(path, "bucket")
    with pytest.raises(sqlite3.DatabaseError) as caught:
        manifest.entries([ENTRY.path])
    assert shows_damage(caught.value)
    manifest.close(is_damaged=True)
    assert found(path, ENTRY.path) == {}


def test_manifest_of_a_newer_format_is_left_alone(path: str) -> None:
    saved(path, ENTRY)
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    before = Path(path).read_bytes()
    with pytest.raises(UnusableManifestError, match="99") as caught:
        Manifest(path, "bucket")
    assert not caught.value.is_mistake
    assert Path(path).read_bytes() == before


@pytest.mark.parametrize("what", ["database", "text", "directory", "link", "fifo", "journal"])
def test_file_that_is_not_a_manifest_is_left_alone(tmp_path: Path, what: str) -> None:
    path, other = tmp_path / "mine.db", tmp_path / "other"
    other.write_bytes(b"precious")
    if what == "database":
        with sqlite3.connect(path) as connection:
            connection.execute("CREATE TABLE t (x)")
        connection.close()
    elif what == "text":
        path.write_bytes(b"precious" * 100)
    elif what == "directory":
        path.mkdir()
    elif what == "link":
        path.symlink_to(other)
    elif what == "fifo":
        os.mkfifo(path)
    else:
        (tmp_path / "mine.db-journal").symlink_to(other)
    before = path.read_bytes() if what in ("database", "text") else None
    with pytest.raises(UnusableManifestError) as caught:
        Manifest(str(path), "bucket")
    assert caught.value.is_mistake
    assert before is None or path.read_bytes() == before
    assert other.read_bytes() == b"precious"


def test_manifest_in_use_is_refused_soon(path: str) -> None:
    saved(path, ENTRY)
    manifest = Manifest(path, "bucket")
    with pytest.raises(UnusableManifestError, match="locked") as caught:
        Manifest(path, "bucket")
    assert not caught.value.is_mistake
    manifest.close()
    assert found(path, ENTRY.path)


def _record_and_die(path: str, entries: list[Entry]) -> None:
    manifest = Manifest(path, "bucket")
    for start in range(0, len(entries), 10):
        manifest.record(entries[start : start + 10])
    os._exit(9)


def test_killed_process_leaves_what_it_recorded(path: str) -> None:
    entries = [replace(ENTRY, path=f"f{number}") for number in range(100)]
    process = multiprocessing.get_context("spawn").Process(target=_record_and_die, args=(path, entries))
    process.start()
    process.join()
    assert process.exitcode == 9
    assert len(found(path, *(entry.path for entry in entries))) == 100


def test_read_only_manifest_makes_no_file(path: str) -> None:
    manifest = Manifest(path, "bucket", read_only=True)
    assert manifest.entries(["a"]) == {}
    manifest.close()
    assert not os.path.exists(path)
    saved(path, ENTRY)
    before = Path(path).read_bytes()
    manifest = Manifest(path, "bucket", read_only=True)
    assert manifest.entries([ENTRY.path]) == {ENTRY.path: ENTRY}
    manifest.note_listed(["k"])  # in memory
    assert manifest.unlisted("p/") == ([ENTRY], 1)
    manifest.close()
    assert Path(path).read_bytes() == before


def test_manifest_in_memory() -> None:
    manifest = Manifest(None, "bucket")
    manifest.record([ENTRY])
    assert manifest.entries([ENTRY.path]) == {ENTRY.path: ENTRY}
    manifest.close()


META = ObjectMeta("p/dir/é\udcff", 10, "A1")


@pytest.mark.parametrize(
    ("entry", "meta", "file", "unchanged"),
    [
        (ENTRY, META, FILE, True),
        (ENTRY, META, None, False),
        (ENTRY, META, FILE._replace(modified=1), False),
        (ENTRY, META, FILE._replace(inode=1), False),
        (ENTRY, META, FILE._replace(size=11), False),
        (ENTRY, replace(META, etag="B2"), FILE, False),
        (ENTRY, replace(META, size=11), FILE, False),
        (ENTRY, replace(META, key="other"), FILE, False),
        (replace(ENTRY, bucket="other"), META, FILE, False),
        (replace(ENTRY, is_synced=False), META, FILE, False),
        (replace(ENTRY, etag=""), replace(META, etag=""), FILE, False),
    ],
)
def test_entry_shows_whether_a_file_is_unchanged(
    entry: Entry, meta: ObjectMeta, file: FileState | None, unchanged: bool
) -> None:
    assert entry.shows_unchanged("bucket", meta, file) is unchanged


@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_more_than_half_is_too_many(extra: int, known: int) -> None:
    assert too_many_to_delete(extra, known) == (extra > known / 2)
