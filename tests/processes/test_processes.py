"""Two and four processes on one path, with locks and where locks do nothing; owners that are killed and stopped."""

import asyncio
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from crash.children import Child
from crash.runs import Run
from crash.watching import Watcher

import aioss_resume
from aioss_resume.testing import GeneratedContent, LocalOSS, MiB

BUCKET, KEY = "examplebucket", "exampledir/shared.bin"
SIZE = 12 * MiB
OLD = b"the old file\n" * 1000
RIGHT = GeneratedContent(SIZE, seed=3).read(0, SIZE)


@pytest.fixture
def oss() -> Iterator[LocalOSS]:
    with LocalOSS() as server:
        server.put(BUCKET, KEY, size=SIZE, seed=3)
        yield server


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "shared.bin"
    path.write_bytes(OLD)
    return path


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as opened:
        yield opened


def started(stack: ExitStack, oss: LocalOSS, path: Path, count: int, *, no_locks: bool) -> list[Run]:
    """So many processes, which begin at the same moment."""
    children = [Child(oss, BUCKET, KEY, path, no_locks=no_locks, waits=True) for _ in range(count)]
    for child in children:
        child.await_readiness()
    runs = [stack.enter_context(Run(child)) for child in children]
    for child in children:
        child.begin()
    return runs


def one(stack: ExitStack, oss: LocalOSS, path: Path, *, no_locks: bool = False) -> tuple[Child, Run]:
    child = Child(oss, BUCKET, KEY, path, no_locks=no_locks)
    return child, stack.enter_context(Run(child))


def assert_well(runs: list[Run], codes: list[int]) -> None:
    """Each ended with the file, or with an error of ours."""
    for run, code in zip(runs, codes, strict=True):
        if code == 0:
            assert run.result is not None
            assert run.result.verified
        else:
            assert code == 1
            assert run.failure is not None
            assert run.failure.partition(":")[0].endswith("Error")


@pytest.mark.parametrize("count", [2, 4])
def test_processes_share_the_work_where_locks_hold(
    count: int, stack: ExitStack, oss: LocalOSS, path: Path, tmp_path: Path
) -> None:
    oss.faults.slow(3 * MiB, times=None)  # takes a second, in which all processes reach the lock
    with Watcher(path, OLD, lambda: [RIGHT]) as watcher:
        runs = started(stack, oss, path, count, no_locks=False)
        codes = [run.end() for run in runs]
    assert watcher.wrong == []
    assert codes == [0] * count, [run.failure for run in runs]
    assert sorted(run.result.fetched_bytes for run in runs if run.result) == [0] * (count - 1) + [SIZE]
    assert path.read_bytes() == RIGHT
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("count", [2, 4])
def test_where_locks_do_nothing_the_file_is_right_all_the_same(
    count: int, stack: ExitStack, oss: LocalOSS, path: Path, tmp_path: Path
) -> None:
    oss.faults.slow(8 * MiB, times=None)
    with Watcher(path, OLD, lambda: [RIGHT]) as watcher:
        runs = started(stack, oss, path, count, no_locks=True)
        codes = [run.end() for run in runs]
    assert watcher.wrong == []
    assert_well(runs, codes)
    assert 0 in codes, [run.failure for run in runs]
    assert sum(request.bytes_sent for request in oss.requests) > SIZE + MiB  # otherwise the locks have worked
    assert path.read_bytes() == RIGHT
    if not any(codes):
        assert list(tmp_path.iterdir()) == [path]


def test_killed_owner_frees_the_path_at_once_and_leaves_what_it_has(
    stack: ExitStack, oss: LocalOSS, path: Path, tmp_path: Path
) -> None:
    held = oss.faults.stall(after_requests=6, times=None)
    _, owner = one(stack, oss, path)
    oss.wait_for_bytes(6 * MiB)
    bucket = oss.bucket(BUCKET)
    with pytest.raises(aioss_resume.DownloadInProgressError):
        asyncio.run(aioss_resume.download(bucket, KEY, path, on_busy="fail"))
    assert owner.kill() == -9
    held.cancel()
    result = asyncio.run(
        aioss_resume.download(bucket, KEY, path, on_busy="fail", multiget_threshold=MiB, part_size=MiB)
    )
    assert result.verified
    assert path.read_bytes() == RIGHT
    assert list(tmp_path.iterdir()) == [path]


def test_process_that_waits_for_a_killed_owner_takes_over(
    stack: ExitStack, oss: LocalOSS, path: Path, tmp_path: Path
) -> None:
    held = oss.faults.stall(after_requests=6, times=None)
    with Watcher(path, OLD, lambda: [RIGHT]) as watcher:
        _, owner = one(stack, oss, path)
        oss.wait_for_bytes(6 * MiB)
        _, heir = one(stack, oss, path)
        held.cancel()
        assert owner.kill() == -9
        assert heir.end() == 0, heir.failure
    assert watcher.wrong == []
    assert list(tmp_path.iterdir()) == [path]


def test_owner_that_is_stopped_and_continued_continues(
    stack: ExitStack, oss: LocalOSS, path: Path, tmp_path: Path
) -> None:
    """As a laptop that sleeps: the connections are gone when it wakes up."""
    held = oss.faults.stall(after_requests=6, times=None)
    child, owner = one(stack, oss, path)
    oss.wait_for_bytes(6 * MiB)
    child.send(signal.SIGSTOP)
    held.cancel()
    oss.drop_connections()
    child.send(signal.SIGCONT)
    assert owner.end() == 0, owner.failure
    assert owner.result is not None
    assert owner.result.verified
    assert path.read_bytes() == RIGHT
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("bytes_before", [1 * MiB, 6 * MiB])
def test_stopped_owner_that_wakes_up_late_does_not_damage_what_another_published(
    bytes_before: int, stack: ExitStack, oss: LocalOSS, path: Path, tmp_path: Path
) -> None:
    held = oss.faults.stall(64 * 1024, after_requests=bytes_before // MiB, times=None)
    with Watcher(path, OLD, lambda: [RIGHT]) as watcher:
        child, owner = one(stack, oss, path, no_locks=True)
        oss.wait_for_bytes(bytes_before)
        child.send(signal.SIGSTOP)
        held.cancel()
        _, heir = one(stack, oss, path, no_locks=True)
        assert heir.end() == 0, heir.failure
        assert path.read_bytes() == RIGHT
        oss.drop_connections()
        child.send(signal.SIGCONT)
        code = owner.end()
    assert watcher.wrong == []
    assert_well([owner], [code])
    assert path.read_bytes() == RIGHT
    if code == 0:
        assert list(tmp_path.iterdir()) == [path]


def test_late_writer_with_wrong_bytes_repairs_the_file_that_another_published(
    stack: ExitStack, oss: LocalOSS, path: Path
) -> None:
    """In between the file is damaged: docs/THREAT_MODEL.md says so, and why it takes two faults at once."""
    size = 4 * MiB
    right = oss.put(BUCKET, KEY, size=size, seed=5).content.read(0, size)
    oss.faults.slow(2 * MiB, times=4)
    for part in range(4):
        oss.faults.flip_bit((part + 1) * MiB - 1)
    child, owner = one(stack, oss, path, no_locks=True)
    oss.wait_for_bytes(size // 2)
    child.await_open_files(".part", 4)  # the heir will rename the part file, and then it cannot be opened any more
    child.send(signal.SIGSTOP)
    oss.wait_for_bytes(size)  # the stopped child reads nothing, so these bytes wait in the kernel
    _, heir = one(stack, oss, path, no_locks=True)
    assert heir.end() == 0, heir.failure
    assert path.read_bytes() == right
    child.send(signal.SIGCONT)
    assert owner.end() == 0, owner.failure
    assert path.read_bytes() == right


def test_locked_path_is_freed_by_an_owner_that_was_stopped(stack: ExitStack, oss: LocalOSS, path: Path) -> None:
    """Where locks hold, nobody takes over from a stopped owner: whoever waits goes on when it has."""
    held = oss.faults.stall(after_requests=6, times=None)
    child, owner = one(stack, oss, path)
    oss.wait_for_bytes(6 * MiB)
    child.send(signal.SIGSTOP)
    _, waiter = one(stack, oss, path)
    assert not waiter.wait_for_end(0.5)
    assert waiter.resumed_from is None
    assert path.read_bytes() == OLD
    held.cancel()
    oss.drop_connections()
    child.send(signal.SIGCONT)
    assert (owner.end(), waiter.end()) == (0, 0), (owner.failure, waiter.failure)
    assert path.read_bytes() == RIGHT


def test_watcher_sees_a_damaged_file(path: Path) -> None:
    with Watcher(path, OLD, lambda: [RIGHT]) as watcher:
        path.write_bytes(b"damaged")
    assert watcher.wrong
