"""Files below one directory: no link leads out of it."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from aioss_resume._io.anchored import AnchoredStorage, CheckedStorage, _CheckedDirectory, _OpenDirectory
from aioss_resume._io.storage import Storage, make_missing


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root" / "a" / "b").mkdir(parents=True)
    (tmp_path / "outside").mkdir()
    return tmp_path / "root"


@pytest.fixture(params=[_OpenDirectory, _CheckedDirectory])
def storage(root: Path, request: pytest.FixtureRequest) -> Iterator[Storage]:
    directory = request.param(str(root))
    with directory.storage() as storage:
        yield storage
    directory.close()


def outside(root: Path) -> list[str]:
    return sorted(path.name for path in (root.parent / "outside").iterdir())


def test_calls_work_below_the_directory(storage: Storage, root: Path) -> None:
    path = root / "a" / "b" / "file"
    descriptor = storage.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    os.write(descriptor, b"x")
    storage.close(descriptor)
    assert storage.stat(path).st_size == 1
    assert storage.access(path.parent, os.W_OK)
    assert not storage.access(root / "missing", os.W_OK)
    storage.replace(path, root / "a" / "moved")
    assert (root / "a" / "moved").read_bytes() == b"x"
    storage.unlink(root / "a" / "moved")
    storage.mkdir(root / "a" / "c")
    storage.rmdir(root / "a" / "c")
    assert storage.stat(root).st_ino == root.stat().st_ino
    assert make_missing(storage, root / "x" / "y" / "z", fsync=True) == [root / "x/y/z", root / "x/y", root / "x"]
    assert (root / "x" / "y" / "z").is_dir()


def test_errors_name_the_whole_path(storage: Storage, root: Path) -> None:
    for path in (root / "a" / "none", root / "none" / "none"):
        with pytest.raises(FileNotFoundError) as caught:
            storage.stat(path)
        assert caught.value.filename == str(path)


@pytest.mark.parametrize("depth", ["link", "link/x", "link/x/y", "a/link/x"])
def test_no_call_passes_a_link(storage: Storage, root: Path, depth: str) -> None:
    (root.parent / "outside" / "x").mkdir()
    (root / "link").symlink_to(root.parent / "outside")
    (root / "a" / "link").symlink_to("../../outside")
    inner = root / depth / "file" if "/" in depth else root / depth
    calls = {
        "open": lambda: storage.open(inner, os.O_WRONLY | os.O_CREAT),
        "mkdir": lambda: storage.mkdir(inner / "d"),
        "unlink": lambda: storage.unlink(inner / "x"),
        "rmdir": lambda: storage.rmdir(inner / "x"),
        "replace": lambda: storage.replace(root / "a" / "b", inner / "x"),
        "replaced": lambda: storage.replace(inner / "x", root / "a" / "stolen"),
        "readlink": lambda: storage.readlink(inner),
    }
    for name, call in calls.items():
        with pytest.raises(OSError) as caught:
            call()
        assert caught.value.errno == errno.ELOOP, name
    assert not storage.access(inner, os.R_OK)
    assert outside(root) == ["x"]
    assert os.listdir(root.parent / "outside" / "x") == []


def test_directory_that_is_swapped_for_a_link_is_used_as_it_was_opened(storage: Storage, root: Path) -> None:
    storage.stat(root / "a" / "b")
    (root / "a").rename(root / "was")
    (root / "a").symlink_to(root.parent / "outside")
    if isinstance(storage, CheckedStorage):
        with pytest.raises(OSError, match="not followed"):
            storage.open(root / "a" / "file", os.O_WRONLY | os.O_CREAT)
        assert outside(root) == []
        return
    storage.close(storage.open(root / "a" / "file", os.O_WRONLY | os.O_CREAT))
    assert outside(root) == []
    assert (root / "was" / "file").exists()


def test_file_in_place_of_a_directory_is_named(storage: Storage, root: Path) -> None:
    (root / "f").touch()
    with pytest.raises(NotADirectoryError):
        storage.stat(root / "f" / "x")


def test_paths_elsewhere_are_as_usual(storage: Storage, root: Path) -> None:
    beside = root.parent / "rooted"  # begins with the root's name
    beside.mkdir()
    (root.parent / "link").symlink_to(beside)
    storage.close(storage.open(root.parent / "link" / "file", os.O_WRONLY | os.O_CREAT))
    assert storage.readlink(root.parent / "link") == str(beside)
    assert storage.stat(beside / "file").st_size == 0


def test_directory_that_is_replaced_is_not_used(root: Path) -> None:
    with _CheckedDirectory(str(root)).storage() as storage:
        root.rename(root.parent / "was")
        root.mkdir()
        with pytest.raises(OSError, match="replaced by another"):
            storage.mkdir(root / "a")


def test_descriptors_are_closed(root: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    directory = _OpenDirectory(str(root))
    with directory.storage() as storage:
        assert isinstance(storage, AnchoredStorage)
        storage.stat(root / "a" / "b" / ".")
        storage.access(root / "a" / "b", os.R_OK)
        assert len(os.listdir("/proc/self/fd")) > before + 1
    directory.close()
    assert len(os.listdir("/proc/self/fd")) == before
