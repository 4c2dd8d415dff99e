"""The order of effects, proven: whatever a power cut leaves, no wrong file, and the next run brings the right one.

Downloads run on a disk in memory (crash_model.disk) that keeps a journal of writes, names and syncs. crash_model.cuts
works out what a cut after each step may leave: all combinations where they are few, 300 by chance (seeded) where they
are many; over 10 000 distinct images in all.

How they are checked: each image is looked at without a request, by the library's own code: its reading of the
checkpoint, its rules whether that fits, its reopening of the part file, its proof of each span (crash_model.promises
has the four promises). And from some hundred of them, drawn by chance, a whole download runs against a LocalOSS.

That the model would see an error: each fsync is taken out, and each step that has an order is moved, one at a time
(crash_model.mutations), and each time some image must break a promise. That the model is the real disk's: both are
asked for the same calls in the same order, and answer alike.

What the model shows not to be needed for a right file is the checkpoint's fsync: a torn one is told from a whole one.
It is there for the fourth promise, that progress is kept.
"""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import anyio.to_thread
import pytest
from crash_model.calls import Calls
from crash_model.disk import Disk, Sync
from crash_model.mutations import mutations
from crash_model.promises import Recorded, after_kills, is_kept, survey
from crash_model.runs import (
    DESTINATION,
    DIRECTORY,
    OLD,
    RANGED,
    RUNS,
    SIZE,
    SMALL,
    download,
    put_file,
    ranged,
    recover,
    whole,
)
from crash_model.runs import resumed as resumed_run
from crash_model.runs import small as small_run

from aioss_resume._io.storage import STORAGE
from aioss_resume.testing import LocalOSS

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

P = ParamSpec("P")
T = TypeVar("T")
Run = Callable[[LocalOSS], Awaitable[Recorded]]
RECOVERED = 45  # about so many disk images of each run

each_run = pytest.mark.parametrize("run", RUNS, ids=lambda run: run.__name__)


async def in_thread(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """The library's file calls are to be made off the loop, and the conftest watches over it."""
    return await anyio.to_thread.run_sync(partial(call, *args, **kwargs))


def test_ten_thousand_images_are_requested() -> None:
    assert sum(RUNS.values()) >= 10_000


@each_run
async def test_every_state_after_a_power_cut_keeps_the_promises_and_can_be_resumed(
    oss: LocalOSS, bucket: Any, run: Run
) -> None:
    recorded = await run(oss)
    found = await in_thread(survey, recorded, most=300, sample=RECOVERED / RUNS[run])
    assert found.violations == []
    assert found.distinct >= RUNS[run]
    assert found.sample
    for image in found.sample:
        disk = Disk(image)
        result = await recover(bucket, recorded, disk)
        assert disk.read(recorded.destination) == recorded.new
        assert result.resumed_bytes + result.fetched_bytes == len(recorded.new)
        assert disk.open_descriptors == 0
        # Files that no later run looks for may stay: temporary files of small objects, part files of other versions.
        others = set(disk.files()) - {str(recorded.destination)}
        assert all(name.endswith(".part") and name in image for name in others)
        if len(recorded.new) == SIZE and recorded.keeps_progress:
            assert others == set()


@each_run
async def test_removed_or_moved_step_of_a_commit_is_detected(oss: LocalOSS, run: Run) -> None:
    recorded = await run(oss)
    changed = list(mutations(recorded))
    unseen = [mutation.what for mutation in changed if await in_thread(is_kept, mutation.recorded, most=60)]
    assert len(changed) >= 6
    assert unseen == []


class JournallingDisk(Disk):
    """Whose names are on the disk in order, so that its directories need no sync."""

    syncs_directories = False


def on_ordered_names(recorded: Recorded) -> Recorded:
    """The same run where directories are not synced, and names are kept in order."""
    journal = tuple(step for step in recorded.journal if not (isinstance(step, Sync) and step.of.is_directory))
    return replace(recorded, journal=journal, names_in_order=True)


@each_run
async def test_where_names_are_kept_in_order_directories_need_no_sync(oss: LocalOSS, bucket: Any, run: Run) -> None:
    recorded = on_ordered_names(await run(oss))
    found = await in_thread(survey, recorded, most=300, sample=10 / RUNS[run])
    assert found.violations == []
    assert found.distinct >= RUNS[run] // 4
    for image in found.sample:
        disk = JournallingDisk(image)
        await recover(bucket, recorded, disk)
        assert disk.read(recorded.destination) == recorded.new
        assert not any(isinstance(step, Sync) and step.of.is_directory for step in disk.journal)


@each_run
async def test_where_names_are_kept_in_order_the_file_must_be_synced_before_its_name(oss: LocalOSS, run: Run) -> None:
    recorded = on_ordered_names(await run(oss))
    last = max(at for at, step in enumerate(recorded.journal) if isinstance(step, Sync))
    without = replace(recorded, journal=recorded.journal[:last] + recorded.journal[last + 1 :])
    assert await in_thread(is_kept, recorded, most=60)
    assert not await in_thread(is_kept, without, most=60)


@pytest.mark.parametrize("run", [small_run, resumed_run])
async def test_without_fsync_a_kill_is_survived_and_a_power_cut_is_not(oss: LocalOSS, run: Any) -> None:
    recorded = await run(oss, fsync=False)
    assert await in_thread(after_kills, recorded) == []
    assert not await in_thread(is_kept, recorded, most=60)


@each_run
async def test_kill_after_any_step_loses_nothing(oss: LocalOSS, run: Run) -> None:
    assert await in_thread(after_kills, await run(oss)) == []


@pytest.mark.parametrize("size", [0, SMALL, SIZE])
@pytest.mark.parametrize("below", ["", "made/below"])
async def test_disk_model_behaves_like_a_real_disk(
    oss: LocalOSS, bucket: Any, tmp_path: Path, size: int, below: str
) -> None:
    oss.put("examplebucket", "key", size=size, seed=1)
    disk = Disk()
    disk.mkdir(DIRECTORY)
    in_memory, real = Calls(disk), Calls(STORAGE)
    # Locked before the request: otherwise a small object is locked only if it takes long, as on a busy machine.
    keywords = {**RANGED, "on_busy": "fail"}
    for storage, directory in ((in_memory, DIRECTORY), (real, tmp_path)):
        await download(bucket, storage, directory / below / "file", **keywords)
        await download(bucket, storage, directory / below / "file", **keywords)
    assert [call.shape for call in in_memory.made] == [call.shape for call in real.made]
    assert disk.read(DIRECTORY / below / "file") == (tmp_path / below / "file").read_bytes() == whole(size)


async def test_library_touches_files_through_the_storage_only(oss: LocalOSS, bucket: Any) -> None:
    """There is no such directory on the real disk, so whatever forgot to ask the storage has failed in all of these."""
    assert not DIRECTORY.exists()
    disk = Disk()
    disk.mkdir(DIRECTORY)
    put_file(disk, DESTINATION, OLD)
    oss.put("examplebucket", "key", size=SIZE, seed=1)
    result = await download(bucket, disk, overwrite="if_changed", **RANGED)
    again = await download(bucket, disk, overwrite="if_changed", **RANGED)
    assert (result.skipped, again.skipped) == (False, True)
    assert disk.files() == [str(DESTINATION)]
    assert (await ranged(oss)).new == disk.read(DESTINATION)
