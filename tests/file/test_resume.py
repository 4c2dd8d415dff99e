"""The second run: it fetches what is missing and nothing else, and believes nothing that it can prove."""

import json
import os
import signal
import stat
import subprocess
import sys
import textwrap
from collections.abc import Callable
from dataclasses import replace
from email.utils import formatdate
from pathlib import Path
from typing import Any

import anyio
import pytest
from flow.canary import Watch, watching  # noqa: F401
from flow.damage import DAMAGE, zero_a_span
from flow.ranged import PART, RANGED, SIZE, asked, begins_at, interrupt, leftover, names, whole

import aioss_resume
from aioss_resume import CheckpointStore, ServerFaultError
from aioss_resume._core.checkpoint import Checkpoint, Unusable, decode, encode
from aioss_resume._core.crc64 import EMPTY, crc64
from aioss_resume._core.objects import ObjectMeta, read_http_date
from aioss_resume._core.paths import checkpoint_name, lock_name, part_name
from aioss_resume._core.spans import Done
from aioss_resume.errors import ObjectName
from aioss_resume.testing import LocalOSS

pytestmark = pytest.mark.anyio

KEPT = 5 * PART


@pytest.fixture
def path(oss: LocalOSS, tmp_path: Path) -> Path:
    oss.put("examplebucket", "key", size=SIZE, seed=1)
    directory = tmp_path / "data"
    directory.mkdir()
    return directory / "file"


def rewrite(path: Path, change: Callable[[Checkpoint], Checkpoint]) -> None:
    """Change what a checkpoint says, and let it be a whole one."""
    path.write_bytes(encode(change(decode(path.read_bytes()))))


def signed(content: object) -> bytes:
    """Any content as a checkpoint that is not torn."""
    text = json.dumps(content, separators=(",", ":"), sort_keys=True)
    return f'{{"check":"{crc64(text.encode()):016x}","checkpoint":{text}}}'.encode()


async def resume_all(bucket: Any, path: Path, **keywords: Any) -> aioss_resume.DownloadResult:
    """The next run, which must end with the right file and nothing beside it."""
    result = await aioss_resume.download(bucket, "key", path, **{**RANGED, **keywords})
    assert path.read_bytes() == whole()
    assert names(path.parent) == ["file"]
    assert result.resumed_bytes + result.fetched_bytes == SIZE
    return result


@pytest.mark.parametrize("kept", [PART, KEPT, 9 * PART])
async def test_cancelled_download_fetches_only_what_is_missing(
    oss: LocalOSS, bucket: Any, path: Path, kept: int
) -> None:
    await interrupt(bucket, oss, path, at=kept)
    result = await resume_all(bucket, path)
    assert result.resumed_bytes == kept
    assert result.verified
    assert min(range_[0] for range_ in asked(oss) if range_) == kept
    assert sum(record.bytes_sent for record in oss.requests) == SIZE - kept
    assert all(record.headers["If-Match"] for record in oss.requests)
    assert {record.method for record in oss.requests} == {"GET"}


async def test_files_of_a_cancelled_download_are_readable_by_their_owner_only(
    oss: LocalOSS, bucket: Any, path: Path
) -> None:
    await interrupt(bucket, oss, path)
    for kind in ("part", "checkpoint"):
        assert stat.S_IMODE(leftover(path.parent, kind).stat().st_mode) == 0o600
    assert len(names(path.parent)) == 2


async def test_failed_download_fetches_only_what_is_missing(
    oss: LocalOSS, bucket: Any, path: Path, watch: Watch
) -> None:
    oss.faults.status(500, range=begins_at(KEPT), times=None)
    with watch.raises(ServerFaultError):
        await aioss_resume.download(bucket, "key", path, **RANGED)
    oss.faults.clear()
    kept = decode(leftover(path.parent, "checkpoint").read_bytes()).spans
    assert kept
    oss.clear_requests()
    result = await resume_all(bucket, path)
    assert result.resumed_bytes == sum(span.stop - span.start for span in kept)
    assert sum(record.bytes_sent for record in oss.requests) == SIZE - result.resumed_bytes


async def test_part_that_was_cut_is_resumed_within(oss: LocalOSS, bucket: Any, path: Path) -> None:
    hold = oss.faults.stall(50_001, times=None)
    reached = anyio.Event()

    async def run() -> None:
        await aioss_resume.download(bucket, "key", path, **RANGED)

    async with anyio.create_task_group() as group:
        group.start_soon(run)
        await anyio.to_thread.run_sync(oss.wait_for_bytes, 50_001)
        group.cancel_scope.cancel()
        reached.set()
    hold.cancel()
    oss.clear_requests()
    result = await resume_all(bucket, path)
    assert result.resumed_bytes <= 50_001
    assert sum(record.bytes_sent for record in oss.requests) == SIZE - result.resumed_bytes


async def test_another_part_size_and_concurrency_resume_the_same_download(
    oss: LocalOSS, bucket: Any, path: Path
) -> None:
    await interrupt(bucket, oss, path)
    result = await resume_all(bucket, path, part_size=3 * PART + 1, concurrency=1)
    assert result.resumed_bytes == KEPT
    assert asked(oss) == [(KEPT, 8 * PART + 1), (8 * PART + 1, SIZE)]


async def test_download_is_resumed_again_and_again(oss: LocalOSS, bucket: Any, path: Path) -> None:
    for at in (2 * PART, 4 * PART, 7 * PART):
        await interrupt(bucket, oss, path, at=at)
    assert (await resume_all(bucket, path)).resumed_bytes == 7 * PART


CHILD = textwrap.dedent(
    """
    import asyncio, sys, oss2, aioss_resume
    endpoint, path = sys.argv[1:]
    bucket = oss2.Bucket(oss2.AuthV4("local-access-key-id", "local-access-key-secret"), endpoint, "examplebucket",
                         region="cn-hangzhou")
    asyncio.run(aioss_resume.download(bucket, "key", path, part_size=102400, multiget_threshold=102400, fsync=False))
    """
)


async def test_killed_process_is_resumed_from_its_last_checkpoint(oss: LocalOSS, bucket: Any, path: Path) -> None:
    hold = oss.faults.stall(range=begins_at(KEPT), times=None)
    child = await anyio.to_thread.run_sync(
        lambda: subprocess.Popen([sys.executable, "-c", CHILD, oss.endpoint, str(path)])
    )
    try:
        with anyio.fail_after(30):
            while not (any(path.parent.glob(".*.checkpoint"))):  # noqa: ASYNC110  # changed by another process
                await anyio.sleep(0.01)
    finally:
        child.send_signal(signal.SIGKILL)
        await anyio.to_thread.run_sync(child.wait)
    hold.cancel()
    kept = sum(span.stop - span.start for span in decode(leftover(path.parent, "checkpoint").read_bytes()).spans)
    oss.clear_requests()
    result = await resume_all(bucket, path)
    assert result.resumed_bytes == kept > 0
    assert sum(record.bytes_sent for record in oss.requests) == SIZE - kept


async def test_process_killed_before_its_first_checkpoint_does_no_harm(oss: LocalOSS, bucket: Any, path: Path) -> None:
    hold = oss.faults.stall(range=begins_at(PART), times=None)
    child = await anyio.to_thread.run_sync(
        lambda: subprocess.Popen([sys.executable, "-c", CHILD, oss.endpoint, str(path)])
    )
    try:
        await anyio.to_thread.run_sync(oss.wait_for_requests, 1)
    finally:
        child.send_signal(signal.SIGKILL)
        await anyio.to_thread.run_sync(child.wait)
    hold.cancel()
    await resume_all(bucket, path)


def replace_by_a_directory(part: Path) -> None:
    part.unlink()
    part.mkdir()


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
async def test_part_file_that_was_damaged_is_repaired(
    oss: LocalOSS, bucket: Any, path: Path, watch: Watch, damage: Callable[[Path], object]
) -> None:
    await interrupt(bucket, oss, path)
    damage(leftover(path.parent, "part"))
    result = await resume_all(bucket, path)
    assert result.verified
    assert result.resumed_bytes in (0, KEPT)


async def test_damage_to_one_span_costs_that_span_only(oss: LocalOSS, bucket: Any, path: Path) -> None:
    await interrupt(bucket, oss, path)

    def in_two(checkpoint: Checkpoint) -> Checkpoint:
        data = whole()
        halves = [Done(0, PART, crc64(data[:PART])), Done(PART, KEPT, crc64(data[PART:KEPT]))]
        return replace(checkpoint, spans=halves)

    rewrite(leftover(path.parent, "checkpoint"), in_two)
    zero_a_span(leftover(path.parent, "part"))
    result = await resume_all(bucket, path)
    assert result.resumed_bytes == PART
    assert sum(record.bytes_sent for record in oss.requests) == SIZE - PART


async def test_directory_in_place_of_the_part_file_is_a_local_error_or_replaced(
    oss: LocalOSS, bucket: Any, path: Path
) -> None:
    await interrupt(bucket, oss, path)
    replace_by_a_directory(leftover(path.parent, "part"))
    with pytest.raises(aioss_resume.LocalFileError):
        await aioss_resume.download(bucket, "key", path, **RANGED)
    assert not path.exists()


@pytest.mark.parametrize(
    "spans",
    [
        [Done(0, KEPT, 1)],
        [Done(0, SIZE, 1)],
        [Done(0, SIZE, EMPTY)],
        [Done(PART, 7 * PART, 1), Done(8 * PART, SIZE, 1)],
        [Done(offset, offset + 1, 1) for offset in range(0, 1000, 2)],
    ],
    ids=["a wrong CRC", "all of it", "all of it as nothing", "two", "many"],
)
async def test_checkpoint_with_wrong_claims_is_detected(
    oss: LocalOSS, bucket: Any, path: Path, spans: list[Done]
) -> None:
    await interrupt(bucket, oss, path)
    rewrite(leftover(path.parent, "checkpoint"), lambda checkpoint: replace(checkpoint, spans=spans))
    result = await resume_all(bucket, path)
    assert result.resumed_bytes == 0


@pytest.mark.slow
async def test_checkpoint_cut_anywhere_or_with_any_bit_flipped_leads_to_the_right_file(
    oss: LocalOSS, bucket: Any, path: Path
) -> None:
    oss.put("examplebucket", "key", size=2 * PART, seed=1)
    await interrupt(bucket, oss, path, at=PART)
    checkpoint, part = leftover(path.parent, "checkpoint"), leftover(path.parent, "part")
    good, written, data = checkpoint.read_bytes(), part.read_bytes(), whole(2 * PART)
    cuts = [good[:length] for length in range(len(good))]
    flips = [_flipped(good, bit) for bit in range(len(good) * 8)]
    for bad in [*cuts, *flips]:  # decode() either refuses a damaged checkpoint or returns the same content
        try:
            found = decode(bad)
        except Unusable:
            continue
        assert found == decode(good)
    for bad in [*cuts, *flips[::7]]:
        checkpoint.write_bytes(bad)
        part.write_bytes(written)
        result = await aioss_resume.download(bucket, "key", path, **RANGED)
        assert path.read_bytes() == data
        assert result.resumed_bytes in (0, PART)
        path.unlink()
        assert names(path.parent) == []


def _flipped(data: bytes, bit: int) -> bytes:
    flipped = bytearray(data)
    flipped[bit // 8] ^= 1 << bit % 8
    return bytes(flipped)


HOSTILE = {
    "empty": b"",
    "text": b"hello",
    "bytes": bytes(range(256)),
    "deep": b"[" * 100_000,
    "huge": b" " * (2 << 20),
    "a list": b"[1,2,3]",
    "null": b"null",
    "number": b'{"check":' + b"9" * 5000 + b"}",
    "NaN": b'{"check":"0","checkpoint":NaN}',
    "another format": signed({"format": "something else"}),
    "spans that are none": signed({"format": "aioss-resume checkpoint", "version": 1, "spans": {}}),
    "a content that is none": signed([]),
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE.keys())
async def test_file_that_is_no_checkpoint_is_ignored_and_the_log_says_why(
    oss: LocalOSS, bucket: Any, path: Path, watch: Watch, content: bytes
) -> None:
    await interrupt(bucket, oss, path)
    leftover(path.parent, "checkpoint").write_bytes(content)
    result = await resume_all(bucket, path)
    assert result.resumed_bytes == 0
    assert any("is ignored: it is" in line or "is ignored: its " in line for line in watch.logged)


def _changed(**fields: Any) -> Callable[[dict[str, Any]], None]:
    return lambda content: content.update(fields)


CONTRADICTIONS: dict[str, Callable[[dict[str, Any]], None]] = {
    "an older version": _changed(version=0),
    "another bucket": _changed(bucket="other"),
    "another key": _changed(key="other"),
    "another version of the object": _changed(version_id="other"),
    "another part file": _changed(part_file="../../../etc/passwd"),
    "a negative span": _changed(spans=[[-1, 5, "0" * 16]]),
    "a span past the end": _changed(spans=[[0, SIZE + 1, "0" * 16]]),
    "spans that overlap": _changed(spans=[[0, 10, "0" * 16], [5, 20, "0" * 16]]),
    "an empty span": _changed(spans=[[5, 5, "0" * 16]]),
    "fractions": _changed(spans=[[0.0, 5.5, "0" * 16]]),
    "truth values": _changed(spans=[[False, True, "0" * 16]]),
    "a CRC-64 that is none": _changed(spans=[[0, 5, "-00000000000000f"]]),
    "an ETag with a line break": lambda content: content["object"].update(etag="a\r\nx-evil: 1"),
    "a size of another object": lambda content: content["object"].update(size=SIZE + 1),
    "a size beyond all disks": lambda content: content["object"].update(size=1 << 62),
    "an object that is none": _changed(object=None),
}


@pytest.mark.parametrize("change", CONTRADICTIONS.values(), ids=CONTRADICTIONS.keys())
async def test_checkpoint_that_contradicts_the_download_is_ignored_and_the_log_says_why(
    oss: LocalOSS, bucket: Any, path: Path, watch: Watch, change: Callable[[dict[str, Any]], None]
) -> None:
    await interrupt(bucket, oss, path)
    checkpoint = leftover(path.parent, "checkpoint")
    content = json.loads(checkpoint.read_bytes())["checkpoint"]
    change(content)
    checkpoint.write_bytes(signed(content))
    await aioss_resume.download(bucket, "key", path, **RANGED)
    assert path.read_bytes() == whole()
    assert any("is ignored: " in line for line in watch.logged)


async def test_checkpoint_of_another_user_is_ignored(oss: LocalOSS, bucket: Any, path: Path, watch: Watch) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root may give a file away")
    await interrupt(bucket, oss, path)
    os.chown(leftover(path.parent, "checkpoint"), 65534, 65534)
    assert (await resume_all(bucket, path)).resumed_bytes == 0
    assert any("it belongs to another user" in line for line in watch.logged)


async def test_part_file_of_another_user_is_not_written_to(oss: LocalOSS, bucket: Any, path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root may give a file away")
    await interrupt(bucket, oss, path)
    part = leftover(path.parent, "part")
    with part.open("rb") as theirs:
        os.chown(part, 65534, 65534)
        before = os.pread(theirs.fileno(), SIZE, 0)
        await resume_all(bucket, path)
        assert os.pread(theirs.fileno(), SIZE, 0) == before
    assert path.stat().st_uid == 0


def plant(kind: str, at: Path, victim: Path) -> None:
    at.unlink(missing_ok=True)
    if kind == "symlink":
        at.symlink_to(victim)
    elif kind == "dangling symlink":
        at.symlink_to(victim.with_name("made by the library"))
    elif kind == "FIFO":
        os.mkfifo(at)
    else:
        os.link(victim, at)


@pytest.mark.parametrize("kind", ["symlink", "dangling symlink", "FIFO", "hard link"])
@pytest.mark.parametrize("name", ["part", "checkpoint", "lock", "checkpoint.new", "part.mode"])
@pytest.mark.parametrize("size", [SIZE, 1000], ids=["ranged", "small"])
async def test_planted_file_at_a_hidden_name_is_never_followed(
    oss: LocalOSS, bucket: Any, path: Path, tmp_path: Path, watch: Watch, kind: str, name: str, size: int
) -> None:
    await interrupt(bucket, oss, path)
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    if size != SIZE:
        for rest in path.parent.iterdir():
            rest.unlink()
        oss.put("examplebucket", "key", size=size, seed=1)
    ours = _our_names(oss, path)
    plant(kind, path.parent / ours[name], victim)
    try:
        with anyio.fail_after(20):
            await aioss_resume.download(bucket, "key", path, **RANGED)
    except aioss_resume.LocalFileError as error:
        watch.search(error)
        assert not path.exists()
        if path.parent.joinpath(ours[name]).is_symlink() or kind in ("FIFO", "hard link"):
            (path.parent / ours[name]).unlink(missing_ok=True)
        await aioss_resume.download(bucket, "key", path, **RANGED)
    assert path.read_bytes() == whole(size)
    assert path.is_file()
    assert not path.is_symlink()
    assert path.stat().st_nlink == 1
    assert victim.read_bytes() == b"precious"
    assert not (tmp_path / "made by the library").exists()


def _our_names(oss: LocalOSS, path: Path) -> dict[str, str]:
    stored = oss.find("examplebucket", "key")
    name = ObjectName("examplebucket", "key")
    meta = ObjectMeta(
        key="key",
        size=stored.content.size,
        etag=stored.etag,
        crc64=stored.told_crc64,
        last_modified=read_http_date(formatdate(stored.last_modified, usegmt=True)),
    )
    part = part_name("file", name, meta)
    checkpoint = checkpoint_name(str(path), name, None)
    return {
        "part": part,
        "checkpoint": checkpoint,
        "lock": lock_name("file"),
        "checkpoint.new": checkpoint + ".new",
        "part.mode": part + ".mode",
    }


async def test_with_nothing_missing_one_request_of_a_single_byte_is_made(
    oss: LocalOSS, bucket: Any, path: Path
) -> None:
    await interrupt(bucket, oss, path)
    leftover(path.parent, "part").write_bytes(whole())
    rewrite(leftover(path.parent, "checkpoint"), lambda found: replace(found, spans=[Done(0, SIZE, crc64(whole()))]))
    result = await resume_all(bucket, path)
    assert asked(oss) == [(0, 1)]
    assert oss.requests[0].headers["If-Match"]
    assert (result.resumed_bytes, result.fetched_bytes, result.verified) == (SIZE, 0, True)


async def test_store_keeps_the_checkpoint_and_only_the_part_file_lies_beside_the_destination(
    oss: LocalOSS, bucket: Any, path: Path, tmp_path: Path
) -> None:
    store = CheckpointStore(tmp_path / "some" / "store")
    await interrupt(bucket, oss, path, store=store)
    assert [name.rpartition(".")[2] for name in names(path.parent)] == ["part"]
    [checkpoint] = (tmp_path / "some" / "store").iterdir()
    assert stat.S_IMODE((tmp_path / "some" / "store").stat().st_mode) == 0o700
    assert stat.S_IMODE(checkpoint.stat().st_mode) == 0o600
    result = await resume_all(bucket, path, store=CheckpointStore(str(tmp_path / "some" / "store")))
    assert result.resumed_bytes == KEPT
    assert names(tmp_path / "some" / "store") == []


async def test_without_the_store_a_download_starts_over_over_the_same_part_file(
    oss: LocalOSS, bucket: Any, path: Path, tmp_path: Path
) -> None:
    await interrupt(bucket, oss, path, store=CheckpointStore(tmp_path / "store"))
    assert (await resume_all(bucket, path)).resumed_bytes == 0


async def test_one_store_serves_the_same_object_at_two_destinations(
    oss: LocalOSS, bucket: Any, path: Path, tmp_path: Path
) -> None:
    store = CheckpointStore(tmp_path / "store")
    other = tmp_path / "other" / "file"
    await interrupt(bucket, oss, path, store=store)
    await interrupt(bucket, oss, other, store=store, at=2 * PART)
    assert len(names(tmp_path / "store")) == 2
    assert (await resume_all(bucket, other, store=store)).resumed_bytes == 2 * PART
    assert (await resume_all(bucket, path, store=store)).resumed_bytes == KEPT
    assert names(tmp_path / "store") == []
