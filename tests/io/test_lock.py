"""One holder of a path, over processes; and none that is kept out by a dead one."""

import errno
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from told_storage import ToldStorage

from aioss_resume._io.lock import PathLock
from aioss_resume._io.storage import Storage

CHILD = """
import sys
from pathlib import Path
from aioss_resume._io.lock import PathLock
lock = PathLock(Path(sys.argv[1]))
print(lock.try_lock(), flush=True)
sys.stdin.readline()
lock.release()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / ".file.lock"


def of_another_process(path: Path, storage: Storage | None = None) -> PathLock:
    """A lock that knows of the file alone, as another process would: claims go by the path as it is spelt."""
    return PathLock(f"{path.parent}/./{path.name}", storage or Storage())


class FailingLocks(Storage):
    def __init__(self, number: int) -> None:
        self._number = number

    def lock(self, descriptor: int) -> bool:
        raise OSError(self._number, os.strerror(self._number))


class Meanwhile(Storage):
    """Something happens between the opening of a lock file and its locking, once."""

    def __init__(self, happens: Callable[[], object]) -> None:
        self._happens: list[Callable[[], object]] = [happens]

    def lock(self, descriptor: int) -> bool:
        while self._happens:
            self._happens.pop()()
        return super().lock(descriptor)


@pytest.mark.parametrize("make", [PathLock, of_another_process])
def test_lock_is_exclusive_until_released(path: Path, make: Callable[[Path], PathLock]) -> None:
    one, other = PathLock(path), make(path)
    assert one.try_lock()
    assert not other.try_lock()
    assert (one.is_held, other.is_held) == (True, False)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    one.release()
    assert not path.exists()
    assert other.try_lock()
    other.release()
    assert not one.is_held
    assert not path.exists()


def test_reservation_excludes_others_of_this_process_and_creates_no_file(path: Path) -> None:
    one, other = PathLock(path), PathLock(path)
    assert one.reserve()
    assert one.reserve()
    assert not other.reserve()
    assert not other.try_lock()
    other.release()  # it holds nothing, so nothing is released
    assert not other.reserve()
    assert not one.is_held
    assert not path.exists()
    assert one.try_lock()
    assert path.exists()
    one.release()
    assert other.reserve()
    other.release()


def test_lock_of_another_process_does_not_end_a_reservation(path: Path) -> None:
    lock, other = PathLock(path), of_another_process(path)
    assert lock.reserve()
    assert other.try_lock()
    assert not lock.try_lock()
    assert not PathLock(path).reserve()
    other.release()
    assert lock.try_lock()
    lock.release()


def test_failed_lock_attempt_leaves_no_reservation(path: Path) -> None:
    other = of_another_process(path)
    assert other.try_lock()
    assert not PathLock(path).try_lock()
    other.release()
    lock = PathLock(path)
    assert lock.reserve()
    lock.release()


def test_forked_child_has_none_of_its_parents_reservations(path: Path) -> None:
    lock = PathLock(path)
    assert lock.reserve()
    child = os.fork()
    if not child:
        os._exit(0 if PathLock(path).reserve() else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert not PathLock(path).reserve()
    lock.release()


@pytest.mark.parametrize("end", ["released", "killed"])
def test_another_process_holds_the_lock_until_it_releases_it_or_dies(path: Path, end: str) -> None:
    command = [sys.executable, "-c", CHILD, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stdout.readline() == "True\n"
        lock = PathLock(path)
        assert not lock.try_lock()
        assert path.exists()
        if end == "killed":
            child.kill()
        else:
            child.stdin.write("\n")
            child.stdin.flush()
        child.wait()
    assert path.exists() == (end == "killed")
    assert lock.try_lock()
    lock.release()


def test_lock_file_removed_by_its_last_holder_locks_nothing(path: Path) -> None:
    last = of_another_process(path)
    assert last.try_lock()
    late, third = PathLock(path, Meanwhile(last.release)), of_another_process(path)
    assert late.try_lock()
    assert path.exists()
    assert not third.try_lock()
    late.release()
    assert third.try_lock()
    third.release()


def test_lock_file_that_another_process_recreated_belongs_to_it(path: Path) -> None:
    last, quick = of_another_process(path), of_another_process(path)
    assert last.try_lock()

    def passes_on() -> None:
        last.release()
        assert quick.try_lock()

    late = PathLock(path, Meanwhile(passes_on))
    assert not late.try_lock()
    assert quick.is_held
    quick.release()


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK])
def test_everyone_gets_the_lock_where_locks_do_not_exist(path: Path, number: int) -> None:
    locks = [make(path, FailingLocks(number)) for make in (PathLock, of_another_process)]
    assert [lock.try_lock() for lock in locks] == [True, True]
    for lock in locks:
        lock.release()
    assert not path.exists()


@pytest.mark.parametrize("number", [errno.EIO, errno.EINVAL, errno.EBADF])
def test_another_error_of_locking_is_raised_and_nothing_stays_open(path: Path, number: int) -> None:
    before = os.listdir("/proc/self/fd")
    lock = PathLock(path, FailingLocks(number))
    with pytest.raises(OSError) as caught:
        lock.try_lock()
    assert caught.value.errno == number
    assert not lock.is_held
    assert os.listdir("/proc/self/fd") == before


def test_link_that_was_planted_is_not_followed(path: Path, tmp_path: Path) -> None:
    path.symlink_to(tmp_path / "victim")
    with pytest.raises(OSError) as caught:
        PathLock(path).try_lock()
    assert caught.value.errno == errno.ELOOP
    assert not (tmp_path / "victim").exists()


def test_directory_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        PathLock(tmp_path / "missing" / "lock").try_lock()


def test_releasing_what_is_not_held_touches_nothing(path: Path) -> None:
    storage = ToldStorage()
    path.write_bytes(b"")
    PathLock(path, storage).release()
    assert storage.calls == []
    assert path.exists()


def test_lock_file_that_somebody_removed_can_be_released(path: Path) -> None:
    lock = PathLock(path)
    assert lock.try_lock()
    path.unlink()
    lock.release()
    assert not lock.is_held
