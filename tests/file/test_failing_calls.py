"""Each call of the file system fails once, with each errno that a disk knows: a swept error, never a wrong file."""

import errno
import itertools
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import pytest
from crash_model.calls import METHODS, Calls, may_be_forgiven
from crash_model.disk import Disk
from crash_model.runs import DESTINATION, DIRECTORY, OLD, PART, RANGED, SIZE, SMALL, download, put_file, whole

from aioss_resume import LocalFileError, ServerFaultError
from aioss_resume.testing import LocalOSS

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

ERRORS = [errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EINTR, errno.EMFILE]
FURTHER_REQUESTS: Final = 5

NEVER_FAIL: Final = {"access"}  # os.access() returns False instead of raising


async def nothing_before(_oss: LocalOSS, _bucket: Any, _disk: Disk, _path: Path) -> None:
    pass


async def a_part_before(oss: LocalOSS, bucket: Any, disk: Disk, path: Path) -> None:
    fault = oss.faults.status(500, range=lambda asked: asked is not None and asked[0] >= 2 * PART, times=None)
    with pytest.raises(ServerFaultError):
        await download(bucket, disk, path, **RANGED)
    fault.cancel()


@pytest.mark.parametrize("number", ERRORS, ids=errno.errorcode.get)
@pytest.mark.parametrize(
    ("size", "path", "before"),
    [
        (SMALL, DESTINATION, nothing_before),
        (SIZE, DESTINATION, nothing_before),
        (SIZE, DIRECTORY / "made" / "below" / "file", nothing_before),
        (SIZE, DESTINATION, a_part_before),
    ],
    ids=["small", "ranged", "new-directory", "resumed"],
)
async def test_failure_of_any_call_is_an_error_and_the_next_run_succeeds(
    oss: LocalOSS,
    bucket: Any,
    size: int,
    path: Path,
    before: Callable[[LocalOSS, Any, Disk, Path], Awaitable[None]],
    number: int,
) -> None:
    oss.put("examplebucket", "key", size=size, seed=1)
    swept = 0
    for method in sorted(set(METHODS) - NEVER_FAIL):
        for nth in itertools.count(1):
            disk = Disk()
            disk.mkdir(DIRECTORY)
            put_file(disk, DESTINATION, OLD)
            await before(oss, bucket, disk, path)
            oss.clear_requests()
            at_failure: list[int] = []
            calls = Calls(disk, method, nth, number, lambda seen=at_failure: seen.append(len(oss.requests)))  # type: ignore[misc]
            error = None
            try:
                await download(bucket, calls, path, **RANGED)
            except LocalFileError as found:
                error = found
            if calls.failed is None:
                assert error is None
                break
            swept += 1
            where = f"{method} {nth} on {calls.failed}"
            was_published = any(
                (call.method, call.kind, call.outcome) == ("replace", ".part", "") for call in calls.made
            )
            if error is None:
                assert may_be_forgiven(method, calls.failed, number, is_resumed=before is a_part_before), where
            else:
                assert error.errno == number, where
                assert isinstance(error, type(OSError(number, ""))), where
                assert os.strerror(number) in str(error)
            there = disk.read(path)
            assert there == (whole(size) if was_published else OLD if path == DESTINATION else None), where
            assert disk.read(DESTINATION) in (OLD, whole(size))
            assert disk.open_descriptors == 0, where
            assert len(oss.requests) <= at_failure[0] + FURTHER_REQUESTS, where

            result = await download(bucket, disk, path, **RANGED)
            assert result.resumed_bytes + result.fetched_bytes == size
            assert disk.read(path) == whole(size), where
            if (method, calls.failed) == ("fsync", ".part"):
                # After a failed fsync, the page cache shows bytes that are not on the disk, so nothing may be resumed.
                assert result.resumed_bytes == 0
            left = set(disk.files()) - {str(DESTINATION), str(path)}
            assert not left, f"{where}: {left}"
            assert disk.open_descriptors == 0
    assert swept >= (11 if size == SMALL else 15)
