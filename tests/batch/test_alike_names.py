"""Keys whose names a file system may not tell apart: on one that ignores case, and on one that does not.

`nox -s systems -- ntfs` runs these on an NTFS that ignores case.
"""
# ruff: noqa: N802

from pathlib import Path
from typing import Any

import pytest
from batch.outcomes_of import actions, gets, mirror

from aioss_resume import ConfigError, Downloader
from aioss_resume.testing import LocalOSS

pytestmark = pytest.mark.anyio

KEYS = ("p/A", "p/D/x", "p/a", "p/d/y", "p/d/z")  # in OSS's order


@pytest.fixture
def ignores_case(tmp_path: Path) -> bool:
    (tmp_path / "Probe").write_bytes(b"")
    return (tmp_path / "probe").exists()


async def test_P03_first_of_names_that_differ_in_case_is_downloaded(
    oss: LocalOSS, bucket: Any, tmp_path: Path, ignores_case: bool
) -> None:
    for key in KEYS:
        oss.put("examplebucket", key, key.encode())
    root = tmp_path / "root"
    outcomes = await mirror(bucket, "p/", root)
    if not ignores_case:
        assert set(actions(outcomes).values()) == {"downloaded"}
        assert all((root / key.removeprefix("p/")).read_bytes() == key.encode() for key in KEYS)
        return
    expected = {**dict.fromkeys(KEYS, "downloaded"), "p/a": "failed"}  # the directories D and d are one
    assert actions(outcomes) == expected
    assert isinstance(outcomes["p/a"].error, ConfigError)
    assert (root / "a").read_bytes() == b"p/A"
    for key in {*KEYS} - {"p/a"}:
        assert (root / key.removeprefix("p/")).read_bytes() == key.encode()
    oss.clear_requests()
    again = await mirror(bucket, "p/", root)
    assert actions(again) == {**dict.fromkeys(KEYS, "unchanged"), "p/a": "failed"}
    assert gets(oss) == []


async def test_file_is_found_by_a_name_in_another_case(
    oss: LocalOSS, bucket: Any, tmp_path: Path, ignores_case: bool
) -> None:
    oss.put("examplebucket", "key", b"content")
    async with Downloader(bucket) as downloader:
        await downloader.download("key", tmp_path / "File")
        result = await downloader.download("key", tmp_path / "fILE", overwrite="if_changed")
    assert result.skipped == ignores_case
    assert len([path for path in tmp_path.iterdir() if path.name.lower() == "file"]) == (1 if ignores_case else 2)
