"""Downloader.download_prefix(): a prefix into a directory."""

import asyncio
import logging
import os
from pathlib import Path
from typing import Any

import pytest
from batch.outcomes_of import FAST, actions, gets, mirror, outcomes_of, tree

from aioss_resume import (
    AccessDeniedError,
    ConfigError,
    Downloader,
    LocalFileError,
    NoSuchKeyError,
    ObjectArchivedError,
)
from aioss_resume.testing import KiB, LocalOSS, MiB

pytestmark = pytest.mark.anyio

CONTENTS = {f"p/{number % 3}/{number:02}": bytes([number]) * (number + 1) for number in range(12)}
FILES = {key.removeprefix("p/"): content for key, content in CONTENTS.items()}


@pytest.fixture
def stored(oss: LocalOSS) -> dict[str, bytes]:
    """Objects below "p/", and another one."""
    for key, content in CONTENTS.items():
        oss.put("examplebucket", key, content)
    oss.put("examplebucket", "q/other", b"other")
    return CONTENTS


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "made" / "root"


def files_of(root: Path) -> dict[str, Any]:
    return {name: content for name, content in tree(root).items() if content is not None}


async def test_every_object_becomes_a_file(oss: LocalOSS, bucket: Any, stored: Any, root: Path) -> None:
    outcomes = await mirror(bucket, "p/", root)
    assert actions(outcomes) == dict.fromkeys(CONTENTS, "downloaded")
    assert files_of(root) == FILES
    for key, outcome in outcomes.items():
        assert outcome.path == root / key.removeprefix("p/")
        assert (outcome.error, outcome.result.verified, outcome.size) == (None, True, len(CONTENTS[key]))
        assert outcome.item.key == key
    assert sorted(gets(oss)) == sorted(CONTENTS)


async def test_second_run_sends_only_listings(oss: LocalOSS, bucket: Any, stored: Any, root: Path) -> None:
    await mirror(bucket, "p/", root)
    before = tree(root)
    oss.clear_requests()
    outcomes = await mirror(bucket, "p/", root)
    assert actions(outcomes) == dict.fromkeys(CONTENTS, "unchanged")
    assert gets(oss) == []
    assert len(oss.requests) == 1
    assert tree(root) == before


@pytest.mark.parametrize("prefix", ["p", "p/"])
async def test_prefix_may_name_the_directory_without_its_slash(
    oss: LocalOSS, bucket: Any, stored: Any, root: Path, prefix: str
) -> None:
    oss.put("examplebucket", "p-beside", b"not in it")
    assert list(await mirror(bucket, prefix, root)) != []
    assert files_of(root) == FILES


async def test_prefix_may_be_the_beginning_of_names(oss: LocalOSS, bucket: Any, root: Path) -> None:
    for day in ("28", "29"):
        oss.put("examplebucket", f"logs/2026-11-{day}/a", day.encode())
    oss.put("examplebucket", "logs/2026-12-01/a", b"")
    await mirror(bucket, "logs/2026-11", root)
    assert files_of(root) == {"-28/a": b"28", "-29/a": b"29"}


async def test_empty_prefix_downloads_the_whole_bucket(bucket: Any, stored: Any, root: Path) -> None:
    await mirror(bucket, "", root)
    assert files_of(root) == {**CONTENTS, "q/other": b"other"}


async def test_include_and_exclude_select_keys(bucket: Any, stored: Any, root: Path) -> None:
    outcomes = await mirror(bucket, "p/", root, include=["0/**", "**/01"], exclude="**/*3")
    assert sorted(outcomes) == ["p/0/00", "p/0/06", "p/0/09", "p/1/01"]
    assert sorted(files_of(root)) == ["0/00", "0/06", "0/09", "1/01"]


async def test_markers_make_directories(oss: LocalOSS, bucket: Any, root: Path) -> None:
    for key in ("p/", "p/a/", "p/a/b/", "p/a/b/c"):
        oss.put("examplebucket", key, b"x" if key.endswith("c") else b"")
    outcomes = await mirror(bucket, "p/", root)
    assert actions(outcomes)["p/a/b/c"] == "downloaded"
    assert {outcome.action for outcome in outcomes.values()} <= {"downloaded", "unchanged"}
    assert tree(root) == {"a": None, "a/b": None, "a/b/c": b"x"}
    assert set(actions(await mirror(bucket, "p/", root)).values()) == {"unchanged"}


async def test_object_whose_key_ends_with_a_slash_keeps_its_bytes(oss: LocalOSS, bucket: Any, root: Path) -> None:
    oss.put("examplebucket", "p/a/", b"bytes")
    oss.put("examplebucket", "p/a/b", b"x")
    assert set(actions(await mirror(bucket, "p/", root)).values()) == {"downloaded"}
    assert files_of(root) == {"a/%": b"bytes", "a/b": b"x"}


async def test_second_of_a_file_and_a_directory_with_one_name_fails(oss: LocalOSS, bucket: Any, root: Path) -> None:
    for key in ("p/a", "p/a-b", "p/a/b", "p/a/", "p/b/c"):
        oss.put("examplebucket", key, b"" if key.endswith("/") else key.encode())
    for _ in range(2):
        outcomes = await mirror(bucket, "p/", root)
        failed = {key: outcome.error for key, outcome in outcomes.items() if outcome.action == "failed"}
        assert sorted(failed) == ["p/a/", "p/a/b"]
        assert all(isinstance(error, ConfigError) for error in failed.values())
        assert files_of(root) == {"a": b"p/a", "a-b": b"p/a-b", "b/c": b"p/b/c"}


async def test_dry_run_touches_nothing(oss: LocalOSS, bucket: Any, stored: Any, root: Path) -> None:
    oss.put("examplebucket", "p/marker/", b"")
    outcomes = await mirror(bucket, "p/", root, dry_run=True)
    assert set(actions(outcomes).values()) == {"would_download"}
    assert not root.parent.exists()
    await mirror(bucket, "p/", root)
    oss.put("examplebucket", "p/0/00", b"new")
    oss.delete("examplebucket", "p/0/03")
    before, manifest = tree(root), (root / ".aioss-resume.sqlite").read_bytes()
    oss.clear_requests()
    outcomes = await mirror(bucket, "p/", root, dry_run=True, delete_extra=True)
    changed = {key: action for key, action in actions(outcomes).items() if action != "unchanged"}
    assert changed == {"p/0/00": "would_download", "p/0/03": "would_delete"}
    assert gets(oss) == []
    assert (tree(root), (root / ".aioss-resume.sqlite").read_bytes()) == (before, manifest)


async def test_changed_object_is_downloaded_again(oss: LocalOSS, bucket: Any, stored: Any, root: Path) -> None:
    await mirror(bucket, "p/", root)
    oss.put("examplebucket", "p/1/01", b"other bytes")
    oss.put("examplebucket", "p/new", b"new")
    oss.clear_requests()
    outcomes = await mirror(bucket, "p/", root)
    assert {key for key, action in actions(outcomes).items() if action == "downloaded"} == {"p/1/01", "p/new"}
    assert files_of(root) == {**FILES, "1/01": b"other bytes", "new": b"new"}


async def test_without_a_manifest_files_are_compared_with_their_objects(
    oss: LocalOSS, bucket: Any, stored: Any, root: Path
) -> None:
    await mirror(bucket, "p/", root)
    (root / ".aioss-resume.sqlite").unlink()
    (root / "1" / "01").write_bytes(b"edited")
    oss.clear_requests()
    outcomes = await mirror(bucket, "p/", root)
    assert {key for key, action in actions(outcomes).items() if action == "downloaded"} == {"p/1/01"}
    assert sum(request.bytes_sent for request in oss.requests if request.key) < 2 * len(CONTENTS) + 10
    oss.clear_requests()
    assert set(actions(await mirror(bucket, "p/", root)).values()) == {"unchanged"}
    assert gets(oss) == []  # the manifest has the files that were compared


async def test_overwrite_always_and_never(oss: LocalOSS, bucket: Any, stored: Any, root: Path) -> None:
    await mirror(bucket, "p/", root)
    oss.clear_requests()
    assert set(actions(await mirror(bucket, "p/", root, overwrite="always")).values()) == {"downloaded"}
    assert sorted(gets(oss)) == sorted(CONTENTS)
    (root / "0" / "00").unlink()
    outcomes = await mirror(bucket, "p/", root, overwrite="never")
    assert actions(outcomes).pop("p/0/00") == "downloaded"
    assert all(isinstance(outcomes[key].error, FileExistsError) for key in CONTENTS if key != "p/0/00")


async def test_archived_objects_fail_without_a_request(oss: LocalOSS, bucket: Any, stored: Any, root: Path) -> None:
    oss.put("examplebucket", "p/archived", b"x", storage_class="ColdArchive")
    outcomes = await mirror(bucket, "p/", root)
    assert isinstance(outcomes["p/archived"].error, ObjectArchivedError)
    assert "RestoreObject" in str(outcomes["p/archived"].error)
    assert "p/archived" not in gets(oss)
    assert files_of(root) == FILES


async def test_summary_lists_failures(
    oss: LocalOSS, bucket: Any, stored: Any, root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "aioss_resume")
    oss.faults.status(403, key="p/2/02", times=None)
    async with Downloader(bucket) as downloader:
        batch = downloader.download_prefix("p/", root, **FAST)
        assert batch.summary().counts == {}
        await outcomes_of(batch)
    summary = batch.summary()
    assert summary.counts == {"downloaded": 11, "failed": 1}
    assert summary.counts["deleted"] == summary.bytes["deleted"] == 0
    assert summary.bytes == {"downloaded": sum(map(len, CONTENTS.values())) - 3, "failed": 3}
    ((key, error),) = summary.failures
    assert key == "p/2/02"
    assert type(error).__name__ == "AccessDeniedError"
    assert "11 downloaded" in str(summary)
    assert "p/2/02" in str(summary)
    assert str(summary) in caplog.text


async def test_stop_on_error(oss: LocalOSS, bucket: Any, stored: Any, root: Path) -> None:
    oss.faults.status(404, oss_code="NoSuchKey", key="p/1/01", times=None)
    with pytest.raises(NoSuchKeyError):
        await mirror(bucket, "p/", root, stop_on_error=True)
    assert set(actions(await mirror(bucket, "p/", root, exclude="1/01")).values()) <= {"downloaded", "unchanged"}


async def test_files_of_deleted_objects_are_deleted(oss: LocalOSS, bucket: Any, stored: Any, root: Path) -> None:
    await mirror(bucket, "p/", root)
    (root / "mine").write_bytes(b"not downloaded")
    for key in ("p/0/00", "p/1/01", "p/1/04", "p/1/07", "p/1/10"):
        oss.delete("examplebucket", key)
    # Nothing is deleted without delete_extra.
    assert set(actions(await mirror(bucket, "p/", root)).values()) == {"unchanged"}
    outcomes = await mirror(bucket, "p/", root, delete_extra=True, exclude="2/**")
    deleted = {key: outcome.path for key, outcome in outcomes.items() if outcome.action == "deleted"}
    assert deleted["p/0/00"] == root / "0" / "00"
    assert len(deleted) == 5
    assert not (root / "1").exists()  # a directory that becomes empty is deleted, too
    gone = {path.removeprefix("p/") for path in deleted}
    left = {name: content for name, content in FILES.items() if name not in gone}
    assert files_of(root) == {**left, "mine": b"not downloaded"}
    assert "deleted" not in actions(await mirror(bucket, "p/", root, delete_extra=True)).values()


async def test_manifest_may_lie_elsewhere(oss: LocalOSS, bucket: Any, stored: Any, root: Path, tmp_path: Path) -> None:
    manifest = tmp_path / "m.sqlite"
    await mirror(bucket, "p/", root, manifest=manifest)
    assert manifest.exists()
    assert not list(root.glob(".aioss*"))
    oss.clear_requests()
    await mirror(bucket, "p/", root, manifest=manifest)
    assert gets(oss) == []


async def test_two_prefixes_share_a_directory(oss: LocalOSS, bucket: Any, stored: Any, root: Path) -> None:
    await mirror(bucket, "p/", root)
    await mirror(bucket, "q/", root)
    assert files_of(root) == {**FILES, "other": b"other"}
    oss.delete("examplebucket", "q/other")
    outcomes = await mirror(bucket, "q/", root, delete_extra="force")
    assert actions(outcomes) == {"q/other": "deleted"}
    assert files_of(root) == FILES
    outcomes = await mirror(bucket, "p/0/", root, delete_extra="force")  # the same objects, at other paths
    assert "deleted" not in actions(outcomes).values()


async def test_large_objects_resume(oss: LocalOSS, bucket: Any, root: Path) -> None:
    oss.put("examplebucket", "p/large", size=2 * MiB)
    options = {"part_size": 100 * KiB, "multiget_threshold": 100 * KiB}
    fault = oss.faults.status(403, times=None, range=lambda asked: asked is not None and asked[0] > MiB)
    outcomes = await mirror(bucket, "p/", root, **options)
    assert actions(outcomes) == {"p/large": "failed"}
    fault.cancel()
    outcomes = await mirror(bucket, "p/", root, **options)
    assert outcomes["p/large"].result.resumed_bytes > 0
    assert set(files_of(root)) == {"large"}


async def test_key_of_the_manifest_is_refused(oss: LocalOSS, bucket: Any, stored: Any, root: Path) -> None:
    for name in (".aioss-resume.sqlite", ".aioss-resume.sqlite-journal"):
        oss.put("examplebucket", f"p/{name}", b"hostile")
    outcomes = await mirror(bucket, "p/", root)
    failed = {key: outcome.error for key, outcome in outcomes.items() if outcome.error}
    assert sorted(failed) == ["p/.aioss-resume.sqlite", "p/.aioss-resume.sqlite-journal"]
    assert set(actions(await mirror(bucket, "p/", root)).values()) == {"unchanged", "failed"}


async def test_object_that_is_the_prefix_itself_has_no_name(oss: LocalOSS, bucket: Any, root: Path) -> None:
    oss.put("examplebucket", "p/file", b"x")
    outcomes = await mirror(bucket, "p/file", root)
    assert isinstance(outcomes["p/file"].error, ConfigError)
    assert "no name below the prefix" in str(outcomes["p/file"].error)


async def test_path_that_cannot_be_a_directory_is_refused(
    oss: LocalOSS, bucket: Any, stored: Any, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    for directory in (tmp_path / "file", tmp_path / "file" / "below", "/proc/self/x", "/dev/x"):
        with pytest.raises(LocalFileError):
            await mirror(bucket, "p/", directory)
    assert gets(oss) == []


async def test_listing_that_fails_leaves_nothing(oss: LocalOSS, bucket: Any, root: Path) -> None:
    oss.faults.status(403, times=None)
    with pytest.raises(AccessDeniedError):
        await mirror(bucket, "p/", root)
    assert not root.exists()


@pytest.mark.parametrize(
    "keywords",
    [{"include": 5}, {"exclude": [""]}, {"include": [1]}, {"delete_extra": "yes"}, {"dry_run": 1}, {"manifest": 5},
     {"version_id": "v"}, {"overwrite": "sometimes"}, {"stop_on_error": None}],
)  # fmt: skip
async def test_invalid_argument_is_refused(oss: LocalOSS, bucket: Any, root: Path, keywords: dict[str, Any]) -> None:
    async with Downloader(bucket) as downloader:
        with pytest.raises(ConfigError):
            downloader.download_prefix("p/", root, **keywords)
        with pytest.raises(ConfigError):
            downloader.download_prefix(5, root)  # type: ignore[arg-type]
        with pytest.raises(ConfigError):
            downloader.download_prefix("p/", "")
    assert oss.requests == []


async def test_link_to_the_directory_is_followed(bucket: Any, stored: Any, root: Path, tmp_path: Path) -> None:
    root.mkdir(parents=True)
    (tmp_path / "link").symlink_to(root)
    await mirror(bucket, "p/", tmp_path / "link")
    assert files_of(root) == FILES


async def test_relative_directory_is_taken_from_the_working_directory(
    bucket: Any, stored: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    await mirror(bucket, "p/", Path("here"))
    assert files_of(tmp_path / "here") == FILES


async def test_files_are_synced_unless_told_otherwise(bucket: Any, stored: Any, root: Path) -> None:
    outcomes = await mirror(bucket, "p/", root, fsync=True)
    assert set(actions(outcomes).values()) == {"downloaded"}
    assert files_of(root) == FILES


async def test_batch_that_is_left_early_records_finished_files_in_the_manifest(
    oss: LocalOSS, bucket: Any, stored: Any, root: Path
) -> None:
    async with Downloader(bucket, concurrency=1) as downloader:
        async with downloader.download_prefix("p/", root, **FAST) as outcomes:
            done = [(await anext(outcomes)).key for _ in range(3)]
        await asyncio.sleep(0)
    assert len(files_of(root)) < len(FILES)
    oss.clear_requests()
    outcomes_ = await mirror(bucket, "p/", root)
    assert {key for key, action in actions(outcomes_).items() if action == "unchanged"} >= set(done)
    assert not set(done) & set(gets(oss))
    assert files_of(root) == FILES


async def test_nothing_in_the_directory_stays_open(bucket: Any, stored: Any, root: Path) -> None:
    await mirror(bucket, "p/", root)
    await mirror(bucket, "p/", root, overwrite="always")
    targets = [os.readlink(link) for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
    assert [target for target in targets if target.startswith(str(root))] == []
