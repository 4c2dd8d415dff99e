"""Downloads that oss2, aiooss2 and alibabacloud-oss-v2 began, in processes that were killed: they are continued."""

import asyncio
import copy
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from hashlib import md5
from pathlib import Path
from typing import Any

import pytest
from flow.ranged import QUICK, whole

import aioss_resume
from aioss_resume import download, resumable_download
from aioss_resume.testing import LocalOSS
from processes.others import BUCKET, KEY, PART, TOOLS

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(120)]

PARTS = 20
SIZE = PARTS * PART - 12_345
OTHER_PYTHON = os.environ.get("AIOOSS2_PYTHON", "")
"""A Python with aiooss2, which insists on oss2 2.18.4: both are tried with it (nox -s adopting)."""
WHO = [("oss2", sys.executable), ("oss-v2", sys.executable)]
if OTHER_PYTHON:
    WHO += [("oss2", OTHER_PYTHON), ("aiooss2", OTHER_PYTHON)]
PLACES = [0, 1, 2, 4, 7, 10, 13, 16, 18, 19]
"""How many parts are complete when the process is killed, at least."""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def oss() -> Iterator[LocalOSS]:
    with LocalOSS() as server:
        server.put(BUCKET, KEY, size=SIZE, seed=1)
        yield server


@pytest.fixture
def bucket(oss: LocalOSS) -> Any:
    return oss.bucket(BUCKET)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home directory and a directory for temporary files of their own, here and in children."""
    for name in ("home", "tmp", "data"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path / "home"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "file"


def records(home: Path) -> list[Path]:
    """The records of all tools."""
    return [*home.glob(".py-oss-download/*"), *(home.parent / "tmp").glob("*.dcp")]


def complete_parts(home: Path) -> int:
    """How many parts the record has; -1: there is none that can be read."""
    for file in records(home):
        try:
            content = json.loads(file.read_bytes())
        except ValueError:  # it is being written
            continue
        if "parts" in content:
            return len(content["parts"])
        return int(content["Data"]["DownloadInfo"]["Offset"]) // PART
    return -1


def killed_midway(
    oss: LocalOSS, home: Path, path: Path, tool: str, python: str, parts: int, *, within: int = 0
) -> None:
    """Let a tool download so many parts, and kill it while the next ones stall (after `within` bytes of them)."""
    fault = oss.faults.stall(within, times=None, range=lambda asked: asked is not None and asked[0] >= parts * PART)
    environment = {
        **os.environ,
        "OSS_ACCESS_KEY_ID": oss.access_key_id,
        "OSS_ACCESS_KEY_SECRET": oss.access_key_secret,
    }
    script = Path(__file__).with_name("others.py")
    command = [python, str(script), tool, oss.endpoint, oss.region, str(path)]
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE)
    least = parts if tool != "oss-v2" or parts else -1  # it writes no checkpoint before its first part
    until = time.monotonic() + 60
    while complete_parts(home) < least or not list(path.parent.iterdir()):
        if process.poll() is not None or time.monotonic() > until:
            process.kill()
            raise AssertionError(process.communicate()[1].decode())
        time.sleep(0.01)  # there is no event for changes of its files
    process.kill()
    process.communicate()
    fault.cancel()
    oss.drop_connections()
    oss.clear_requests()


def temporary(path: Path) -> Path:
    (found,) = [file for file in path.parent.iterdir() if ".tmp-" in file.name or file.name.endswith(".temp")]
    return found


async def resumed(bucket: Any, path: Path, **keywords: Any) -> aioss_resume.DownloadResult:
    return await download(
        bucket, KEY, path, part_size=PART, multiget_threshold=PART, fsync=False, retry=QUICK, adopt=True, **keywords
    )


@pytest.mark.parametrize("parts", PLACES)
@pytest.mark.parametrize(("tool", "python"), WHO)
async def test_every_part_that_was_complete_is_kept(
    oss: LocalOSS, bucket: Any, home: Path, path: Path, tool: str, python: str, parts: int
) -> None:
    await asyncio.to_thread(killed_midway, oss, home, path, tool, python, parts, within=parts * 1000)
    before = temporary(path).stat().st_ino
    result = await resumable_download(bucket, KEY, str(path), PART, PART, num_threads=2)
    assert path.read_bytes() == whole(SIZE)
    assert result.verified
    if tool == "oss-v2":  # the last parts were partly in its buffer, and it records no CRC of each part
        assert result.resumed_bytes >= (parts - 4) * PART or result.attempts > PARTS + 5
    else:
        assert result.resumed_bytes >= min(parts * PART, SIZE)
    assert result.fetched_bytes == SIZE - result.resumed_bytes
    if parts or tool != "oss-v2":  # which has no record yet
        assert [file.name for file in path.parent.iterdir()] == ["file"]
    if parts:
        assert path.stat().st_ino == before  # renamed, not copied
        assert records(home) == []


@pytest.mark.parametrize(("tool", "python"), WHO)
async def test_bytes_that_were_lost_are_fetched_again(
    oss: LocalOSS, bucket: Any, home: Path, path: Path, tool: str, python: str
) -> None:
    await asyncio.to_thread(killed_midway, oss, home, path, tool, python, 10)
    with temporary(path).open("r+b") as file:
        file.seek(3 * PART + 5)
        file.write(bytes(1000))
    result = await resumed(bucket, path)
    assert path.read_bytes() == whole(SIZE)
    assert result.verified
    assert result.resumed_bytes < 10 * PART or result.attempts > PARTS + 5  # oss-v2 records no CRC of each part
    assert [file.name for file in path.parent.iterdir()] == ["file"]


@pytest.mark.parametrize(("tool", "python"), WHO)
async def test_records_of_other_tools_are_used_only_with_adopt(
    oss: LocalOSS, bucket: Any, home: Path, path: Path, tool: str, python: str
) -> None:
    await asyncio.to_thread(killed_midway, oss, home, path, tool, python, 5)
    left = temporary(path)
    content, kept = left.read_bytes(), [file.read_bytes() for file in records(home)]
    result = await download(bucket, KEY, path, part_size=PART, multiget_threshold=PART, fsync=False)
    assert result.resumed_bytes == 0
    assert left.read_bytes() == content
    assert [file.read_bytes() for file in records(home)] == kept


@pytest.mark.parametrize(("tool", "python"), WHO)
async def test_leftovers_of_another_version_are_not_used(
    oss: LocalOSS, bucket: Any, home: Path, path: Path, tool: str, python: str
) -> None:
    await asyncio.to_thread(killed_midway, oss, home, path, tool, python, 5)
    oss.put(BUCKET, KEY, size=SIZE, seed=2)
    result = await resumed(bucket, path)
    assert result.resumed_bytes == 0
    assert path.read_bytes() == whole(SIZE, 2)


async def test_run_that_fails_after_taking_over_is_resumed_as_our_own(
    oss: LocalOSS, bucket: Any, home: Path, path: Path
) -> None:
    await asyncio.to_thread(killed_midway, oss, home, path, "oss2", sys.executable, 10)
    fault = oss.faults.status(403, times=None, range=lambda asked: asked is not None and asked[0] > 10 * PART)
    with pytest.raises(Exception, match="AccessDenied"):
        await resumed(bucket, path)
    fault.cancel()
    assert records(home) == []
    result = await download(bucket, KEY, path, part_size=PART, multiget_threshold=PART, fsync=False)
    assert result.resumed_bytes >= 10 * PART
    assert path.read_bytes() == whole(SIZE)


def mutated(content: dict[str, Any], dice: random.Random) -> Any:
    """A record with one to three changes that somebody evil, or a bug, might make."""
    content = copy.deepcopy(content)
    values: list[Any] = [
        *("", "x", "/../../outside/precious", "../outside/precious", ".tmp-abcdefghijkl", "/etc/passwd", "..", "\0"),
        *(0, -1, 1, PART, SIZE, 1 << 63, 1 << 64, 1 << 70, 1.5, float("inf"), None, True, [], {}, [[]], [{}]),
    ]
    for _ in range(dice.randrange(1, 4)):
        target: Any = content
        while True:
            if isinstance(target, dict) and target:
                key: Any = dice.choice(sorted(target))
            elif isinstance(target, list) and target:
                key = dice.randrange(len(target))
            else:
                break
            if isinstance(target[key], dict | list) and target[key] and dice.random() < 0.7:
                target = target[key]
                continue
            if isinstance(target, dict) and dice.random() < 0.2:
                del target[key]
            else:
                target[key] = copy.deepcopy(dice.choice(values))
            break
    return content


@pytest.mark.parametrize("tool", ["oss2", "oss-v2"])
@pytest.mark.timeout(600)
async def test_no_record_touches_another_file(
    oss: LocalOSS, bucket: Any, home: Path, path: Path, tool: str, tmp_path: Path
) -> None:
    """As many as the environment's MUTATED_RECORDS says: nox -s adopting tries 2000."""
    count = int(os.environ.get("MUTATED_RECORDS", "60"))
    await asyncio.to_thread(killed_midway, oss, home, path, tool, sys.executable, 6)
    (record,), left = records(home), temporary(path)
    content, data = json.loads(record.read_bytes()), left.read_bytes()
    (tmp_path / "outside").mkdir()
    precious = [tmp_path / "outside" / "precious", path.with_name("precious"), home / "precious"]
    for file in precious:
        file.write_bytes(b"precious")
    dice = random.Random(3)
    for _ in range(count):
        for file in (*path.parent.iterdir(), *records(home)):
            if file not in precious:
                file.unlink()
        left.write_bytes(data)
        hostile = mutated(content, dice)
        if tool == "oss-v2" and isinstance(hostile, dict) and dice.random() < 0.8:  # with a digest that is valid again
            hostile["MD5"] = md5(json.dumps(hostile.get("Data", {})).encode()).hexdigest()
        record.write_text(json.dumps(hostile))
        result = await resumed(bucket, path)
        assert result.verified
        assert path.read_bytes() == whole(SIZE)
        assert all(file.read_bytes() == b"precious" for file in precious)
        assert {file.name for file in path.parent.iterdir()} <= {"file", "precious", left.name}


@pytest.mark.parametrize("kind", ["link", "hard link", "directory", "fifo"])
async def test_temporary_file_that_was_planted_is_left_alone(
    oss: LocalOSS, bucket: Any, home: Path, path: Path, tmp_path: Path, kind: str
) -> None:
    await asyncio.to_thread(killed_midway, oss, home, path, "oss2", sys.executable, 5)
    left, precious = temporary(path), tmp_path / "precious"
    precious.write_bytes(left.read_bytes())
    before = precious.read_bytes()
    left.unlink()
    if kind == "link":
        left.symlink_to(precious)
    elif kind == "hard link":
        left.hardlink_to(precious)
    elif kind == "directory":
        left.mkdir()
    else:
        os.mkfifo(left)
    result = await resumed(bucket, path)
    assert result.resumed_bytes == 0
    assert path.read_bytes() == whole(SIZE)
    assert precious.read_bytes() == before
    assert os.path.lexists(left)


@pytest.mark.parametrize(("tool", "python"), WHO)
async def test_other_tool_is_not_disturbed_by_what_we_leave(
    oss: LocalOSS, bucket: Any, home: Path, path: Path, tool: str, python: str
) -> None:
    fault = oss.faults.status(403, times=None, range=lambda asked: asked is not None and asked[0] > 10 * PART)
    with pytest.raises(Exception, match="AccessDenied"):
        await resumed(bucket, path)
    fault.cancel()
    ours = {file.name: file.read_bytes() for file in path.parent.iterdir()}
    assert len(ours) == 2
    environment = {
        **os.environ,
        "OSS_ACCESS_KEY_ID": oss.access_key_id,
        "OSS_ACCESS_KEY_SECRET": oss.access_key_secret,
    }
    script = Path(__file__).with_name("others.py")
    command = [python, str(script), tool, oss.endpoint, oss.region, str(path)]
    await asyncio.to_thread(subprocess.run, command, env=environment, check=True)
    assert path.read_bytes() == whole(SIZE)
    assert {name: path.with_name(name).read_bytes() for name in ours} == ours
    result = await resumed(bucket, path)
    assert result.verified
    assert path.read_bytes() == whole(SIZE)
    assert [file.name for file in path.parent.iterdir()] == ["file"]


@pytest.mark.parametrize(("tool", "python"), WHO)
async def test_two_tools_at_the_same_time_leave_the_right_file(
    oss: LocalOSS, bucket: Any, home: Path, path: Path, tool: str, python: str
) -> None:
    oss.faults.slow(400_000, times=None)
    environment = {
        **os.environ,
        "OSS_ACCESS_KEY_ID": oss.access_key_id,
        "OSS_ACCESS_KEY_SECRET": oss.access_key_secret,
    }
    script = Path(__file__).with_name("others.py")
    command = [python, str(script), tool, oss.endpoint, oss.region, str(path)]
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE)
    await asyncio.to_thread(oss.wait_for_bytes, 3 * PART)
    result = await resumed(bucket, path)
    assert result.verified
    await asyncio.to_thread(process.communicate)  # it may have lost its temporary file to us
    assert path.read_bytes() == whole(SIZE)


def test_every_tool_is_tried() -> None:
    assert {tool for tool, _ in WHO} >= TOOLS.keys() - {"aiooss2"}
