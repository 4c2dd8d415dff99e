"""The destination: whether it can be one, and the finished file gets its name, or the old one stays."""

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from told_storage import Killed, ToldStorage

from aioss_resume._io.commit import commit, prepare, publish_whole
from aioss_resume._io.resolve import LeadsElsewhere
from aioss_resume._io.storage import STORAGE, Storage, remove_made

OLD, NEW = b"old", b"new bytes"


@pytest.fixture
def destination(tmp_path: Path) -> Path:
    directory = tmp_path / "data"
    directory.mkdir()
    return directory / "file"


@pytest.fixture
def umask() -> Iterator[None]:
    before = os.umask(0)
    try:
        yield
    finally:
        os.umask(before)


def part_of(destination: Path) -> tuple[Path, tuple[int, int]]:
    """A part file that is complete."""
    part = destination.with_name(".file.part")
    part.write_bytes(NEW)
    part.chmod(0o600)
    return part, (part.stat().st_dev, part.stat().st_ino)


def bring(destination: Path, way: str, storage: Storage = STORAGE, *, fsync: bool = True) -> list[str]:
    """Publish NEW one way or the other; what happened at the end of it."""
    happened: list[str] = []

    def and_then(_committed: os.stat_result) -> None:
        assert destination.read_bytes() == NEW
        happened.append("and then")

    if way == "commit":
        part, identity = part_of(destination)
        commit(part, identity, len(NEW), destination, storage, fsync=fsync, and_then=and_then)
    else:
        part = destination.with_name(".file.token.part")
        part.unlink(missing_ok=True)
        publish_whole(part, bytearray(NEW), destination, storage, fsync=fsync, and_then=and_then)
    return happened


def put(destination: Path, content: bytes | None) -> None:
    """Make the destination have that content; None: make it absent."""
    if content is None:
        destination.unlink(missing_ok=True)
    else:
        destination.write_bytes(content)


ways = pytest.mark.parametrize("way", ["commit", "publish_whole"])


@ways
@pytest.mark.parametrize("fsync", [True, False])
@pytest.mark.parametrize("old", [None, OLD])
def test_file_gets_its_name_and_nothing_is_left_beside_it(
    destination: Path, way: str, fsync: bool, old: bytes | None
) -> None:
    if old:
        destination.write_bytes(old)
    assert bring(destination, way, fsync=fsync) == ["and then"]
    assert destination.read_bytes() == NEW
    assert os.listdir(destination.parent) == ["file"]


@ways
@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077, 0o027])
def test_file_has_the_mode_of_any_new_file(destination: Path, way: str, umask: None, mask: int) -> None:
    os.umask(mask)
    bring(destination, way)
    assert stat.S_IMODE(destination.stat().st_mode) == 0o666 & ~mask


@ways
def test_bytes_are_on_the_disk_before_the_name_and_the_name_before_it_ends(destination: Path, way: str) -> None:
    storage = ToldStorage()
    bring(destination, way, storage)
    calls = storage.calls
    first, last = calls.index("fsync"), len(calls) - 1 - calls[::-1].index("fsync")
    assert first < calls.index("replace") < last


@ways
def test_without_fsync_nothing_is_synced(destination: Path, way: str) -> None:
    storage = ToldStorage()
    bring(destination, way, storage, fsync=False)
    assert "fsync" not in storage.calls


@ways
@pytest.mark.parametrize("old", [None, OLD])
def test_kill_at_any_call_leaves_the_old_file_or_the_complete_new_one(
    destination: Path, way: str, old: bytes | None
) -> None:
    put(destination, old)
    told = ToldStorage()
    bring(destination, way, told)
    seen = set()
    for number in range(len(told.calls)):
        put(destination, old)
        with pytest.raises(Killed):
            bring(destination, way, ToldStorage(number))
        seen.add(destination.read_bytes() if destination.exists() else None)
        assert seen <= {old, NEW}
    assert seen == {old, NEW}


@ways
@pytest.mark.parametrize("old", [None, OLD])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_failure_at_any_call_is_raised_and_leaves_the_old_file_or_the_new_one(
    destination: Path, way: str, old: bytes | None, number: int
) -> None:
    put(destination, old)
    told = ToldStorage()
    bring(destination, way, told)
    renamed = told.calls.index("replace")
    for call in range(len(told.calls)):
        put(destination, old)
        storage = ToldStorage(call, OSError(number, os.strerror(number)))
        raised: list[int | None] = []
        try:
            happened = bring(destination, way, storage)
        except OSError as error:
            raised.append(error.errno)
        found = destination.read_bytes() if destination.exists() else None
        if raised:
            assert raised == [number]
            assert found == (old if call <= renamed else NEW)
        else:
            assert happened == ["and then"]
            assert found == NEW
        if way == "publish_whole":
            assert os.listdir(destination.parent) == (["file"] if found else [])
        for stale in destination.parent.glob(".*"):
            stale.unlink()


def test_bytes_that_could_not_be_synced_are_not_kept_for_the_next_run(destination: Path) -> None:
    destination.write_bytes(OLD)
    told = ToldStorage()
    bring(destination, "commit", told)
    with pytest.raises(OSError):
        bring(destination, "commit", ToldStorage(told.calls.index("fsync"), OSError(errno.EIO, "lost")))
    assert not destination.with_name(".file.part").exists()


@pytest.mark.parametrize("what", ["replaced", "longer", "shorter", "gone", "a link"])
def test_part_file_that_somebody_changed_is_not_published(destination: Path, what: str) -> None:
    destination.write_bytes(OLD)
    part, identity = part_of(destination)
    match what:
        case "replaced":
            other = destination.with_name("other")
            other.write_bytes(NEW)
            other.replace(part)
        case "longer" | "shorter":
            os.truncate(part, len(NEW) + (1 if what == "longer" else -1))
        case "gone":
            part.unlink()
        case "a link":
            part.rename(part.with_name("kept"))
            part.symlink_to("kept")
    with pytest.raises(OSError):
        commit(part, identity, len(NEW), destination, fsync=False, and_then=lambda: pytest.fail("published"))
    assert destination.read_bytes() == OLD


def test_name_that_is_taken_is_not_written_over(destination: Path) -> None:
    taken = destination.with_name(".file.token.part")
    taken.write_bytes(b"theirs")
    with pytest.raises(FileExistsError):
        publish_whole(taken, bytearray(NEW), destination, fsync=False, and_then=lambda: None)
    assert taken.read_bytes() == b"theirs"
    assert not destination.exists()


def test_missing_parents_are_created_and_listed_and_can_be_removed(tmp_path: Path) -> None:
    destination = tmp_path / "a" / "b" / "c" / "file"
    place = prepare(destination, fsync=True)
    assert place.made == [tmp_path / "a/b/c", tmp_path / "a/b", tmp_path / "a"]
    assert not place.exists
    remove_made(STORAGE, place.made)
    assert os.listdir(tmp_path) == []


def test_created_parents_that_are_in_use_stay(tmp_path: Path) -> None:
    place = prepare(tmp_path / "a" / "b" / "file", fsync=False)
    (tmp_path / "a" / "another").write_bytes(b"")
    remove_made(STORAGE, place.made)
    assert os.listdir(tmp_path / "a") == ["another"]


def test_existing_parents_do_not_count_as_created(destination: Path) -> None:
    assert prepare(destination, fsync=True) == ([], False)
    destination.write_bytes(OLD)
    assert prepare(destination, fsync=True) == ([], True)


def test_directory_is_refused(destination: Path) -> None:
    destination.mkdir()
    with pytest.raises(IsADirectoryError):
        prepare(destination, fsync=False)


def test_link_to_a_directory_is_refused(destination: Path) -> None:
    destination.symlink_to(destination.parent)
    with pytest.raises(IsADirectoryError):
        prepare(destination, fsync=False)


@pytest.mark.parametrize("target_exists", [True, False])
def test_link_to_a_file_or_to_nothing_names_its_target(destination: Path, target_exists: bool) -> None:
    target = destination.with_name("target")
    destination.symlink_to("target")
    if target_exists:
        target.write_bytes(OLD)
    with pytest.raises(LeadsElsewhere) as caught:
        prepare(destination, fsync=False)
    assert caught.value.target == str(target)
    assert prepare(target, fsync=False).exists == target_exists


def test_special_file_is_refused_as_a_destination(destination: Path) -> None:
    os.mkfifo(destination)
    with pytest.raises(OSError) as caught:
        prepare(destination, fsync=False)
    assert caught.value.errno == errno.EINVAL


def test_parent_that_is_a_file_is_refused(destination: Path) -> None:
    destination.write_bytes(OLD)
    with pytest.raises(NotADirectoryError):
        prepare(destination / "below", fsync=False)


def test_name_that_is_too_long_is_refused(destination: Path) -> None:
    with pytest.raises(OSError) as caught:
        prepare(destination.with_name("é" * 128), fsync=False)
    assert caught.value.errno == errno.ENAMETOOLONG


def test_failed_creation_of_parents_leaves_none(tmp_path: Path) -> None:
    with pytest.raises(OSError):
        prepare(tmp_path / "a" / ("x" * 256) / "file", fsync=False)
    assert os.listdir(tmp_path) == []
