"""The file system around a download: parents, modes, old files, links, and paths that cannot be."""

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest
from flow.ranged import interrupt, leftover

from aioss_resume import (
    CheckpointStore,
    ConfigError,
    Downloader,
    IntegrityError,
    LocalFileError,
    NoSuchKeyError,
    RequestError,
    RetryPolicy,
    download,
)
from aioss_resume._io.storage import STORAGE
from aioss_resume.testing import GeneratedContent, KiB, LocalOSS, MiB

pytestmark = pytest.mark.anyio

PART = 128 * KiB
THRESHOLD = 512 * KiB
SMALL: dict[str, Any] = {"part_size": PART, "multiget_threshold": THRESHOLD}
SIZE = THRESHOLD + 9 * PART
AT_ONCE = RetryPolicy(wait_initial=0)
Same = Callable[[Path, GeneratedContent], bool]


def names(directory: Path) -> list[str]:
    return sorted(entry.name for entry in directory.iterdir())


def kinds(directory: Path) -> list[str]:
    """The endings of the hidden files of ours: checkpoint, lock, part."""
    return sorted(entry.suffix[1:] for entry in directory.iterdir() if entry.name.startswith("."))


@pytest.fixture
def umask_of_027() -> Any:
    before = os.umask(0o027)
    yield
    os.umask(before)


async def test_missing_parents_are_created(oss: LocalOSS, bucket: Any, tmp_path: Path) -> None:
    oss.put("examplebucket", "key", b"bytes")
    await download(bucket, "key", tmp_path / "a" / "b" / "c" / "file")
    assert (tmp_path / "a" / "b" / "c" / "file").read_bytes() == b"bytes"
    assert names(tmp_path / "a" / "b" / "c") == ["file"]


async def test_created_parents_are_removed_if_nothing_was_fetched(oss: LocalOSS, bucket: Any, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(NoSuchKeyError):
        await download(bucket, "key", tmp_path / "a" / "b" / "c" / "file")
    assert names(tmp_path) == ["a"]
    assert names(tmp_path / "a") == []


async def test_created_parents_stay_if_the_download_can_be_resumed(oss: LocalOSS, bucket: Any, tmp_path: Path) -> None:
    oss.put("examplebucket", "key", size=SIZE)
    oss.faults.status(403, times=None, after_requests=2)
    with pytest.raises(Exception, match="AccessDenied"):
        await download(bucket, "key", tmp_path / "a" / "file", concurrency=1, **SMALL)
    assert kinds(tmp_path / "a") == ["checkpoint", "part"]


async def test_directory_is_refused_as_a_destination(oss: LocalOSS, bucket: Any, tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError) as caught:
        await download(bucket, "key", tmp_path)
    assert isinstance(caught.value, LocalFileError)
    assert caught.value.filename == str(tmp_path)
    assert oss.requests == []


@pytest.mark.parametrize("tail", ["/", "/.", "/.."])
async def test_path_that_names_a_directory_is_refused_as_a_destination(
    oss: LocalOSS, bucket: Any, tmp_path: Path, tail: str
) -> None:
    with pytest.raises(IsADirectoryError):
        await download(bucket, "key", f"{tmp_path}/file{tail}")
    assert names(tmp_path) == []
    assert oss.requests == []


@pytest.mark.parametrize("name", ["n" * 256, "名" * 86], ids=["ascii", "utf-8"])
async def test_too_long_name_is_refused_as_a_destination(oss: LocalOSS, bucket: Any, tmp_path: Path, name: str) -> None:
    if STORAGE.has_windows_names and not name.isascii():
        pytest.skip("Windows counts UTF-16 units: core/test_windows_names.py")
    with pytest.raises(OSError, match="too long") as caught:
        await download(bucket, "key", tmp_path / "made" / name)
    assert isinstance(caught.value, LocalFileError)
    assert names(tmp_path) == []
    assert oss.requests == []


async def test_parent_whose_name_is_too_long_leaves_nothing(oss: LocalOSS, bucket: Any, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="too long"):
        await download(bucket, "key", tmp_path / "made" / ("n" * 256) / "file")
    assert names(tmp_path) == []
    assert oss.requests == []


@pytest.mark.parametrize("name", ["n" * 255, "名" * 85], ids=["ascii", "utf-8"])
async def test_longest_possible_name_is_accepted(oss: LocalOSS, bucket: Any, tmp_path: Path, name: str) -> None:
    oss.put("examplebucket", "key", size=SIZE)
    await download(bucket, "key", tmp_path / name, **SMALL)
    assert names(tmp_path) == [name]


@pytest.mark.parametrize("path", ["", "a\0b", None, b"bytes", 3])
async def test_invalid_path_is_refused(oss: LocalOSS, bucket: Any, path: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        await download(bucket, "key", path)
    assert isinstance(caught.value, ValueError)
    assert oss.requests == []


@pytest.mark.parametrize("mode", [0o600, 0o755])
@pytest.mark.parametrize("below", ["file", "b/file"])
async def test_parent_that_is_a_file_is_no_directory(
    oss: LocalOSS, bucket: Any, tmp_path: Path, mode: int, below: str
) -> None:
    (tmp_path / "a").write_bytes(b"a file")
    (tmp_path / "a").chmod(mode)
    with pytest.raises(NotADirectoryError):
        await download(bucket, "key", tmp_path / "a" / below)
    assert names(tmp_path) == ["a"]
    assert oss.requests == []


async def test_fifo_is_refused_as_a_destination(oss: LocalOSS, bucket: Any, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "file")
    with pytest.raises(LocalFileError):
        await download(bucket, "key", tmp_path / "file")
    assert oss.requests == []


async def test_files_of_a_running_download_are_for_their_owner_only(
    oss: LocalOSS, bucket: Any, tmp_path: Path, umask_of_027: None, gate: Any
) -> None:
    oss.put("examplebucket", "key", size=SIZE)
    gate.close(SIZE - PART)
    store = CheckpointStore(tmp_path / "store")
    seen: dict[str, int] = {}

    def look() -> None:
        seen.update({entry.suffix: stat.S_IMODE(entry.stat().st_mode) for entry in tmp_path.iterdir()})
        if store.directory.exists():
            seen["store"] = stat.S_IMODE(store.directory.stat().st_mode)
            seen.update({entry.suffix: stat.S_IMODE(entry.stat().st_mode) for entry in store.directory.iterdir()})

    async def watch(consumed: int, total: int | None) -> None:
        await anyio.to_thread.run_sync(look)
        if ".checkpoint" in seen:  # called again until the checkpoint is flushed, after a second
            gate.open()

    await download(bucket, "key", tmp_path / "file", progress_callback=watch, store=store, retry=AT_ONCE, **SMALL)
    assert seen[".part"] == 0o600
    assert seen[".checkpoint"] == 0o600
    assert seen["store"] == 0o700
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o640


async def test_umask_holds_for_a_small_object_too(
    oss: LocalOSS, bucket: Any, tmp_path: Path, umask_of_027: None
) -> None:
    oss.put("examplebucket", "key", b"bytes")
    await download(bucket, "key", tmp_path / "file")
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o640


async def test_old_file_is_intact_until_the_rename(
    oss: LocalOSS, bucket: Any, tmp_path: Path, same_bytes: Same, gate: Any
) -> None:
    stored = oss.put("examplebucket", "key", size=SIZE)
    path = tmp_path / "file"
    path.write_bytes(b"old")
    inode = path.stat().st_ino
    gate.close(SIZE - PART)
    async with anyio.create_task_group() as group:

        async def run() -> None:
            await download(bucket, "key", path, retry=AT_ONCE, **SMALL)

        group.start_soon(run)
        await gate.is_reached()
        assert path.read_bytes() == b"old"
        assert path.stat().st_ino == inode
        assert "part" in kinds(tmp_path)
        assert "lock" in kinds(tmp_path)
        gate.open()
    assert same_bytes(path, stored.content)
    assert path.stat().st_ino != inode
    assert names(tmp_path) == ["file"]


@pytest.mark.parametrize("size", [1000, SIZE])
async def test_old_file_survives_every_failure(oss: LocalOSS, bucket: Any, tmp_path: Path, size: int) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    oss.put("examplebucket", "key", size=size)

    async def fails(error: type[Exception], **keywords: Any) -> None:
        with pytest.raises(error):
            await download(bucket, "key", path, retry=RetryPolicy(attempts=1), **SMALL, **keywords)
        assert path.read_bytes() == b"old"
        oss.faults.clear()

    oss.faults.reset_before(times=None)
    await fails(RequestError)
    oss.faults.truncate(999, times=None)
    await fails(RequestError)
    oss.faults.flip_bit(size - 1, times=None)
    await fails(IntegrityError)
    assert names(tmp_path) == ["file"]
    oss.faults.replace_object(times=None)
    if size == SIZE:
        await fails(Exception, on_change="fail")
    oss.delete("examplebucket", "key")
    await fails(NoSuchKeyError)
    assert path.read_bytes() == b"old"


@pytest.mark.parametrize("size", [0, 1000, SIZE])
async def test_success_leaves_the_destination_and_nothing_else(
    oss: LocalOSS, bucket: Any, tmp_path: Path, size: int
) -> None:
    oss.put("examplebucket", "key", size=size)
    (tmp_path / "file").write_bytes(b"old")
    await download(bucket, "key", tmp_path / "file", **SMALL)
    assert names(tmp_path) == ["file"]
    assert (tmp_path / "file").stat().st_nlink == 1


async def test_small_object_keeps_no_checkpoint(oss: LocalOSS, bucket: Any, tmp_path: Path) -> None:
    oss.put("examplebucket", "key", size=THRESHOLD - 1)
    oss.faults.reset_after(THRESHOLD - 2)
    with pytest.raises(RequestError):
        await download(bucket, "key", tmp_path / "file", retry=RetryPolicy(attempts=1), **SMALL)
    assert names(tmp_path) == []


async def test_store_has_the_checkpoint_and_the_part_file_stays_beside_the_destination(
    oss: LocalOSS, bucket: Any, tmp_path: Path, same_bytes: Same
) -> None:
    stored = oss.put("examplebucket", "key", size=SIZE)
    store = CheckpointStore(str(tmp_path / "not" / "there"))
    oss.faults.status(403, times=None, after_requests=3)
    (tmp_path / "files").mkdir()
    path = tmp_path / "files" / "file"
    with pytest.raises(Exception, match="AccessDenied"):
        await download(bucket, "key", path, store=store, concurrency=1, **SMALL)
    assert kinds(path.parent) == ["part"]
    assert kinds(tmp_path / "not" / "there") == ["checkpoint"]
    oss.faults.clear()
    result = await download(bucket, "key", path, store=store, **SMALL)
    assert result.resumed_bytes == THRESHOLD + 2 * PART
    assert same_bytes(path, stored.content)
    assert names(path.parent) == ["file"]
    assert names(tmp_path / "not" / "there") == []


async def test_one_store_serves_destinations_with_equal_file_names(oss: LocalOSS, bucket: Any, tmp_path: Path) -> None:
    oss.put("examplebucket", "key", size=SIZE)
    store = CheckpointStore(tmp_path / "store")
    oss.faults.status(403, times=None, range=lambda asked: asked is not None and asked[0] > THRESHOLD)
    for directory in ("a", "b"):
        with pytest.raises(Exception, match="AccessDenied"):
            await download(bucket, "key", tmp_path / directory / "file", store=store, concurrency=1, **SMALL)
    assert kinds(tmp_path / "store") == ["checkpoint", "checkpoint"]


async def test_overwrite_always_fetches_again(oss: LocalOSS, bucket: Any, tmp_path: Path) -> None:
    oss.put("examplebucket", "key", b"bytes")
    await download(bucket, "key", tmp_path / "file")
    result = await download(bucket, "key", tmp_path / "file")
    assert not result.skipped
    assert result.fetched_bytes == 5


@pytest.mark.parametrize("size", [0, 1000, SIZE])
async def test_overwrite_if_changed_skips_the_same_file(oss: LocalOSS, bucket: Any, tmp_path: Path, size: int) -> None:
    oss.put("examplebucket", "key", size=size)
    first = await download(bucket, "key", tmp_path / "file", **SMALL)
    before = (tmp_path / "file").stat()
    oss.clear_requests()
    result = await download(bucket, "key", tmp_path / "file", overwrite="if_changed", **SMALL)
    assert result.skipped
    assert (result.size, result.etag, result.crc64, result.verified) == (size, first.etag, first.crc64, True)
    assert (result.resumed_bytes, result.fetched_bytes) == (size, 0)
    assert sum(request.bytes_sent for request in oss.requests if request.status == 206) <= 1
    assert {request.method for request in oss.requests} == {"GET"}
    after = (tmp_path / "file").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert names(tmp_path) == ["file"]


@pytest.mark.parametrize("is_torn", [False, True])
async def test_skipped_download_leaves_nothing_of_an_earlier_one(
    oss: LocalOSS, bucket: Any, tmp_path: Path, *, is_torn: bool
) -> None:
    path = tmp_path / "file"
    oss.put("examplebucket", "key", size=SIZE)
    await download(bucket, "key", path)
    await interrupt(bucket, oss, path)
    assert kinds(tmp_path) == ["checkpoint", "part"]
    if is_torn:
        leftover(tmp_path, "checkpoint").write_bytes(b"{")
    result = await download(bucket, "key", path, overwrite="if_changed")
    assert result.skipped
    assert names(tmp_path) == ["file"]


async def test_overwrite_if_changed_replaces_another_file_of_the_same_size(
    oss: LocalOSS, bucket: Any, tmp_path: Path
) -> None:
    oss.put("examplebucket", "key", b"bytes")
    (tmp_path / "file").write_bytes(b"setyb")
    result = await download(bucket, "key", tmp_path / "file", overwrite="if_changed")
    assert not result.skipped
    assert (tmp_path / "file").read_bytes() == b"bytes"


async def test_overwrite_if_changed_fetches_objects_without_a_crc64(oss: LocalOSS, bucket: Any, tmp_path: Path) -> None:
    oss.put("examplebucket", "key", b"bytes", no_crc=True)
    (tmp_path / "file").write_bytes(b"bytes")
    result = await download(bucket, "key", tmp_path / "file", overwrite="if_changed")
    assert not result.skipped


@pytest.mark.parametrize("overwrite", ["if_changed", "never"])
async def test_object_is_fetched_if_no_file_exists_whatever_overwrite_says(
    oss: LocalOSS, bucket: Any, tmp_path: Path, overwrite: Any
) -> None:
    oss.put("examplebucket", "key", b"bytes")
    result = await download(bucket, "key", tmp_path / "file", overwrite=overwrite)
    assert not result.skipped
    assert (tmp_path / "file").read_bytes() == b"bytes"
    assert len(oss.requests) == 1


@pytest.mark.parametrize("kind", ["file", "link", "dangling link"])
async def test_overwrite_never_refuses_an_existing_destination(
    oss: LocalOSS, bucket: Any, tmp_path: Path, kind: str
) -> None:
    oss.put("examplebucket", "key", b"bytes")
    path = tmp_path / "file"
    if kind == "file":
        path.write_bytes(b"old")
    else:
        path.symlink_to(tmp_path / "target")
        if kind == "link":
            (tmp_path / "target").write_bytes(b"old")
    before = names(tmp_path)
    with pytest.raises(FileExistsError) as caught:
        await download(bucket, "key", path, overwrite="never")
    assert isinstance(caught.value, LocalFileError)
    assert sum(request.bytes_sent for request in oss.requests) == 0
    assert names(tmp_path) == before


async def test_hard_link_to_the_old_file_keeps_the_old_bytes(oss: LocalOSS, bucket: Any, tmp_path: Path) -> None:
    oss.put("examplebucket", "key", b"bytes")
    (tmp_path / "other").write_bytes(b"old")
    (tmp_path / "file").hardlink_to(tmp_path / "other")
    await download(bucket, "key", tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == b"bytes"
    assert (tmp_path / "other").read_bytes() == b"old"


async def test_relative_path_is_taken_from_the_working_directory(
    oss: LocalOSS, bucket: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    oss.put("examplebucket", "key", b"bytes")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    result = await download(bucket, "key", "a/../file")
    beside = await download(bucket, "key", Path("..") / "beside")
    assert result.path == tmp_path / "here" / "file"
    assert beside.path == tmp_path / "beside"
    assert (tmp_path / "here" / "file").read_bytes() == (tmp_path / "beside").read_bytes() == b"bytes"


async def test_relative_path_in_a_deleted_working_directory_is_refused(
    oss: LocalOSS, bucket: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    oss.put("examplebucket", "key", b"bytes")
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(LocalFileError, match="could not download to 'file'") as error:
        await download(bucket, "key", "file")
    assert error.value.errno == errno.ENOENT
    assert "working directory was deleted" in str(error.value.hint)
    async with Downloader(bucket) as downloader, downloader.download_prefix("", "directory") as outcomes:
        with pytest.raises(LocalFileError, match="could not use the directory 'directory'") as error:
            await anext(outcomes)
    assert "working directory was deleted" in str(error.value.hint)
    assert oss.requests == []
    await download(bucket, "key", tmp_path / "file")


@pytest.mark.parametrize("name", [" ", "a b", "%2F", "名前", "\N{PILE OF POO}", ".hidden", "-n", "a\nb", "\udcff"])
async def test_unusual_names_are_valid_destinations(oss: LocalOSS, bucket: Any, tmp_path: Path, name: str) -> None:
    if STORAGE.has_windows_names and name in (" ", "a\nb"):
        pytest.skip("no names on Windows: core/test_windows_names.py has what is said of them")
    oss.put("examplebucket", "key", size=THRESHOLD + PART)
    result = await download(bucket, "key", tmp_path / name, **SMALL)
    assert names(tmp_path) == [name]
    assert result.size == (tmp_path / name).stat().st_size
    assert result.size < MiB
