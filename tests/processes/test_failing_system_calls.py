"""As tests/file/test_failing_calls.py, with real system calls of a real process: strace lets the nth of a kind fail.

Every n is tried, each with one errno; with EVERY_ERRNO=1 in the environment each with all of them.
"""

import asyncio
import errno
import itertools
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from crash_model.calls import may_be_forgiven

import aioss_resume
from aioss_resume import ServerFaultError
from aioss_resume.testing import GeneratedContent, KiB, LocalOSS

from .traced import CALLS, Ended, Traced, failing, skip_without_strace, watching

ERRORS: Final = (errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EINTR, errno.EMFILE)
IS_REPEATED: Final = {"open", "write_at", "read_at", "ftruncate", "fsync"}
"""By Python, when a signal interrupts it (PEP 475)."""

OLD: Final = b"the old file"
PART: Final = 100 * KiB
RANGED: dict[str, Any] = {"part_size": PART, "multiget_threshold": PART}


@pytest.fixture(scope="module")
def oss() -> Iterator[LocalOSS]:
    skip_without_strace()
    with LocalOSS() as server:
        yield server


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The destination, in a directory where nothing else is."""
    directory = tmp_path / "directory"
    directory.mkdir()
    return directory / "file"


@pytest.fixture(scope="module")
def traced(oss: LocalOSS, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Traced]:
    with Traced(oss, tmp_path_factory.mktemp("traced") / "log") as traced:
        yield traced


def run(oss: LocalOSS, path: Path) -> aioss_resume.DownloadResult:
    """A run in this process, without a fault of the file system."""
    retry = aioss_resume.RetryPolicy(attempts=1)
    bucket = oss.bucket("examplebucket")
    return asyncio.run(aioss_resume.download(bucket, "key", path, concurrency=1, fsync=False, retry=retry, **RANGED))


def nothing_before(_oss: LocalOSS, path: Path) -> None:
    path.write_bytes(OLD)


def a_part_before(oss: LocalOSS, path: Path) -> None:
    path.write_bytes(OLD)
    fault = oss.faults.status(500, range=lambda asked: asked is not None and asked[0] >= 2 * PART, times=None)
    with pytest.raises(ServerFaultError):
        run(oss, path)
    fault.cancel()


def kind(call: str) -> str:
    """What the file of a call is to a download: its suffix."""
    found = re.search(r"\.(part|checkpoint|lock|mode|new)[\">]", call)
    return f".{found[1]}" if found else "a name"


@pytest.mark.parametrize("method", CALLS)
@pytest.mark.parametrize(
    ("size", "before", "is_refused", "never"),
    [
        (3000, nothing_before, False, {"read_at", "ftruncate", "unlink"}),
        (4 * PART, nothing_before, False, {"read_at"}),
        (4 * PART, a_part_before, False, {"ftruncate"}),
        (4 * PART, nothing_before, True, {"read_at"}),
    ],
    ids=["small", "ranged", "resumed", "refused-midway"],
)
def test_failure_of_any_system_call_leaves_the_old_or_the_new_file_and_the_next_run_succeeds(
    oss: LocalOSS,
    traced: Traced,
    path: Path,
    size: int,
    before: Callable[[LocalOSS, Path], None],
    is_refused: bool,
    never: set[str],
    method: str,
) -> None:
    oss.put("examplebucket", "key", size=size, seed=1)
    new = GeneratedContent(size, 1).read(0, size)

    def download(strace: list[str]) -> Ended:
        """A run under strace; if it is to be, OSS refuses what comes late, and the checkpoint is flushed."""
        before(oss, path)
        refused = oss.faults.status(403, range=lambda asked: asked is not None and asked[0] >= 3 * PART, times=None)
        if not is_refused:
            refused.cancel()
        ended = traced.download(path, RANGED if size > PART else {}, strace)
        refused.cancel()
        return ended

    def next_run() -> None:
        assert run(oss, path).size == size
        assert path.read_bytes() == new
        assert os.listdir(path.parent) == [path.name]

    usual = "AccessDeniedError" if is_refused else None
    unhurt = download(watching("open"))
    assert unhurt.how == {"error": usual}
    files = unhurt.names_below(path.parent)
    next_run()

    first = list(CALLS).index(method)  # so that the first call of each method gets a different errno
    for nth in itertools.count(1):
        for number in ERRORS if os.environ.get("EVERY_ERRNO") else [ERRORS[(first + nth) % len(ERRORS)]]:
            ended = download(failing(method, nth, errno.errorcode[number], files))
            where = f"{nth}: {ended.injected}"
            assert len(ended.injected) <= 1, "several threads: strace counts in each by itself"
            there = path.read_bytes()
            assert there in (OLD, new), where
            if ended.how["error"] == "LocalFileError":
                assert ended.how["errno"] == number, where
                assert os.strerror(number) in ended.how["text"]
            else:
                assert ended.how == {"error": usual}, where
                assert there == (OLD if is_refused else new), where
            if number == errno.EINTR and method in IS_REPEATED:
                assert ended.how == {"error": usual}, where
            elif ended.injected and not ended.how["error"]:
                [call] = ended.injected
                assert may_be_forgiven(method, kind(call), number, is_resumed=before is a_part_before), where
            next_run()
        if not ended.injected:
            assert ended.how == {"error": usual}
            break
    assert (nth > 1) == (method not in never), "strace let no call fail"
