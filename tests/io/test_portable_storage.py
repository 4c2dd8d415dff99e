"""The storages for Windows and macOS, on this system."""
# ruff: noqa: N802

import errno
import fcntl
import os
import stat
from pathlib import Path
from types import SimpleNamespace

import pytest
from file.windows_like import WindowsLike, in_use_error

from aioss_resume._io.lock import PathLock
from aioss_resume._io.storage import (
    CREATE,
    END_SIGNALS,
    READ,
    UPDATE,
    UPDATE_OR_CREATE,
    MacStorage,
    PortableStorage,
    StrPath,
    _despite_others,
    allocated,
    is_link,
    is_own_file,
    storage_named,
    sync_directory,
    sync_file,
)
from aioss_resume.errors import local_file_error


@pytest.fixture
def storage() -> PortableStorage:
    return PortableStorage()


def test_P04_writes_and_reads_at_offsets(storage: PortableStorage, tmp_path: Path) -> None:
    path = tmp_path / "file"
    descriptor = storage.open(path, CREATE)
    storage.ftruncate(descriptor, 20)
    assert storage.write_at(descriptor, [memoryview(b"abc"), memoryview(b""), memoryview(b"de")], 10) == 5
    assert storage.write_at(descriptor, [memoryview(b"x")], 0) == 1
    buffer = memoryview(bytearray(30))
    assert storage.read_at(descriptor, buffer, 9) == 11
    assert bytes(buffer[:6]) == b"\0abcde"
    assert storage.read_at(descriptor, buffer, 20) == 0
    assert storage.room(descriptor)
    storage.close(descriptor)
    assert path.read_bytes() == b"x" + bytes(9) + b"abcde" + bytes(5)
    sync_file(storage, path)
    sync_directory(storage, tmp_path / "there is none, and it is not looked at")


@pytest.mark.parametrize("flags", [READ, UPDATE, UPDATE_OR_CREATE])
def test_P04_links_are_not_followed(storage: PortableStorage, tmp_path: Path, flags: int) -> None:
    (tmp_path / "file").write_bytes(b"x")
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "dangling").symlink_to("none")
    for name in ("link", "dangling"):
        with pytest.raises(OSError) as caught:
            storage.open(tmp_path / name, flags)
        assert caught.value.errno == errno.ELOOP
        with pytest.raises(FileExistsError):
            storage.open(tmp_path / name, CREATE)
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("begins_with", ["file", "nothing"])
def test_link_that_is_planted_before_the_file_is_opened_is_noticed(tmp_path: Path, begins_with: str) -> None:
    path, victim = tmp_path / "file", tmp_path / "victim"
    victim.write_bytes(b"victim")
    if begins_with == "file":
        path.write_bytes(b"x")

    class Meanwhile(PortableStorage):
        def stat(self, path: StrPath, *, follow_symlinks: bool = True) -> os.stat_result:
            try:
                return super().stat(path, follow_symlinks=follow_symlinks)
            finally:
                if not os.path.islink(path):
                    Path(path).unlink(missing_ok=True)
                    Path(path).symlink_to(victim)

    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(OSError) as caught:
        Meanwhile().open(path, UPDATE_OR_CREATE)
    assert caught.value.errno == errno.ELOOP
    assert len(os.listdir("/proc/self/fd")) == before
    assert victim.read_bytes() == b"victim"


def test_P01_file_that_another_program_has_open_is_replaced_when_it_is_closed() -> None:
    answers: list[BaseException | None] = [in_use_error("file"), in_use_error("file"), None]

    def call() -> None:
        if (answer := answers.pop(0)) is not None:
            raise answer

    _despite_others(call, (0, 0, 0))
    assert answers == []


def test_P01_file_that_stays_open_and_one_without_permission_are_errors() -> None:
    tries = []

    def in_use() -> None:
        tries.append(1)
        raise in_use_error("file")

    with pytest.raises(PermissionError) as caught:
        _despite_others(in_use, (0, 0, 0))
    assert len(tries) == 4
    error = local_file_error("commit the file", caught.value)
    assert isinstance(error, PermissionError)
    assert error.hint is not None
    assert "another program may have the file open" in error.hint

    def denied() -> None:
        tries.append(1)
        raise PermissionError(errno.EACCES, "denied")

    with pytest.raises(PermissionError):
        _despite_others(denied, (0, 0, 0))
    assert len(tries) == 5


def test_lock_file_is_closed_before_it_is_removed(tmp_path: Path) -> None:
    storage = WindowsLike()
    one, other = PathLock(tmp_path / "lock", storage), PathLock(f"{tmp_path}/./lock", storage)
    assert one.try_lock()
    assert not other.try_lock()
    one.release()
    assert not (tmp_path / "lock").exists()
    assert other.try_lock()
    other.release()
    assert (storage.refused, storage.open_files, os.listdir(tmp_path)) == ([], 0, [])


def test_stat_results_without_optional_fields_are_understood() -> None:
    fields = (stat.S_IFREG | 0o666, 5, 1, 1, 0, 0, 700, 0, 0, 0)
    found = os.stat_result(fields, {})  # as on Windows: no blocks
    assert allocated(found) == 700
    assert is_own_file(os.stat_result((*fields[:4], os.geteuid(), *fields[5:])))
    assert not is_own_file(os.stat_result((*fields[:4], os.geteuid() + 1, *fields[5:])))
    assert not is_link(found)
    junction, in_a_cloud = 0xA0000003, 0x9000001A
    for tag, leads_elsewhere in ((junction, True), (in_a_cloud, False)):
        on_windows = SimpleNamespace(st_mode=stat.S_IFDIR, st_reparse_tag=tag)
        assert is_link(on_windows) is leads_elsewhere  # type: ignore[arg-type]  # Linux' stat_result has no tag


def test_P05_mac_storage_requests_a_full_sync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fcntl, "F_FULLFSYNC", fcntl.F_DUPFD, raising=False)  # a command whose effect is seen here
    storage = MacStorage()
    descriptor = storage.open(tmp_path / "file", CREATE)
    storage.fsync(descriptor)
    copies = [int(link.name) for link in Path("/proc/self/fd").iterdir() if link.resolve() == tmp_path / "file"]
    assert len(copies) == 2
    os.close(max(copies))
    storage.close(descriptor)


@pytest.mark.parametrize("is_refused", [False, True], ids=["unknown", "refused"])
def test_P05_mac_storage_syncs_where_a_full_sync_is_unknown_or_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_refused: bool
) -> None:
    if is_refused:
        monkeypatch.setattr(fcntl, "F_FULLFSYNC", 9999, raising=False)  # EINVAL, as network file systems answer
    storage = MacStorage()
    descriptor = storage.open(tmp_path / "file", CREATE)
    storage.fsync(descriptor)
    storage.close(descriptor)
    with pytest.raises(OSError, match="Bad file descriptor"):
        storage.fsync(descriptor)


def test_storage_is_chosen_by_name() -> None:
    assert type(storage_named("portable")) is PortableStorage
    assert type(storage_named("macos")) is MacStorage
    with pytest.raises(ValueError, match="must be one of posix, macos, portable, windows, not 'amiga'"):
        storage_named("amiga")
    assert len(END_SIGNALS) == 3
