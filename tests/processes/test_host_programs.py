"""Host programs that fork while they download, or end with a download pending."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from crash.watching import Watcher

import aioss_resume
from aioss_resume.testing import GeneratedContent, LocalOSS, MiB
from processes.caught import is_caught

BUCKET, KEY = "examplebucket", "exampledir/host.bin"
SIZE = 12 * MiB
RIGHT = GeneratedContent(SIZE, seed=4).read(0, SIZE)
PROGRAMS = Path(__file__).with_name("programs.py")


@pytest.fixture
def oss() -> Iterator[LocalOSS]:
    with LocalOSS() as server:
        server.put(BUCKET, KEY, size=SIZE, seed=4)
        yield server


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "host.bin"


def started(oss: LocalOSS, program: str, path: Path) -> subprocess.Popen[str]:
    # -X dev reports on stderr whatever is never closed or awaited, and tasks that are destroyed.
    command = [sys.executable, "-X", "dev", str(PROGRAMS), program, oss.endpoint, oss.region, BUCKET, KEY, str(path)]
    environment = os.environ | {"OSS_ACCESS_KEY_ID": oss.access_key_id, "OSS_ACCESS_KEY_SECRET": oss.access_key_secret}
    pipe = subprocess.PIPE
    return subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe, stderr=pipe, text=True)


def told(oss: LocalOSS, program: str, path: Path) -> Any:
    """What the program printed, once it has ended well and with nothing on stderr."""
    with started(oss, program, path) as process:
        output, complaints = process.communicate(timeout=60)
    # Warnings of oss2 (see pyproject.toml), and of asyncio about a busy machine, are not about this library.
    lines = [line for line in complaints.splitlines() if "utcnow" not in line and not line.startswith("Executing <")]
    assert lines == []
    assert process.returncode == 0
    return json.loads(output)


def resume(oss: LocalOSS, path: Path) -> aioss_resume.DownloadResult:
    keywords: Any = {"multiget_threshold": MiB, "part_size": MiB, "on_busy": "fail"}
    return asyncio.run(aioss_resume.download(oss.bucket(BUCKET), KEY, path, **keywords))


@pytest.mark.parametrize(
    ("program", "files"),
    [
        ("fork_and_exit", ["host.bin"]),
        ("fork_and_download_elsewhere", ["host.bin", "host.bin.child"]),
        ("fork_and_download_the_same", ["host.bin"]),
    ],
)
def test_fork_in_the_middle_harms_neither_the_parent_nor_the_child(
    program: str, files: list[str], oss: LocalOSS, path: Path, tmp_path: Path
) -> None:
    oss.faults.slow(8 * MiB, times=None)
    assert told(oss, program, path) == {"verified": True, "codes": [0]}
    assert sorted(found.name for found in tmp_path.iterdir()) == files
    assert all((tmp_path / name).read_bytes() == RIGHT for name in files)


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        ("end_with_a_download_pending", {"cancelled": True}),
        ("fail_with_a_download_pending", {"raised": ["the host program's own"]}),
    ],
)
def test_pending_download_of_a_loop_that_ends_can_be_resumed(
    program: str, expected: object, oss: LocalOSS, path: Path, tmp_path: Path
) -> None:
    held = oss.faults.stall(after_requests=6, times=None)
    assert told(oss, program, path) == expected
    assert not path.exists()
    held.cancel()
    result = resume(oss, path)
    assert result.resumed_bytes >= 4 * MiB
    assert path.read_bytes() == RIGHT
    assert list(tmp_path.iterdir()) == [path]


def test_child_that_outlives_its_killed_parent_does_not_keep_the_path(oss: LocalOSS, path: Path) -> None:
    held = oss.faults.stall(after_requests=6, times=None)
    with started(oss, "fork_and_be_killed", path) as process:
        assert process.wait(60) == -9
        held.cancel()
        try:
            assert resume(oss, path).verified
        finally:
            assert process.stdin is not None
            process.stdin.close()
    assert path.read_bytes() == RIGHT


def heard(process: subprocess.Popen[str], word: str) -> None:
    """Wait until the program has said that, whatever it says before."""
    assert process.stdout is not None
    for line in process.stdout:
        if word in line:
            return
    raise AssertionError(f"it never said {word!r}")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_program_of_asyncio_run_that_is_interrupted_can_be_resumed(
    number: signal.Signals, oss: LocalOSS, path: Path, tmp_path: Path
) -> None:
    held = oss.faults.stall(after_requests=6, times=None)
    with started(oss, "be_interrupted", path) as process:
        heard(process, "begun")
        process.send_signal(number)
        _, complaints = process.communicate(timeout=60)
    assert process.returncode == -number
    assert "destroyed" not in complaints
    assert "never" not in complaints
    assert not path.exists()
    held.cancel()
    kept = resume(oss, path).resumed_bytes
    # Python turns only SIGINT into an exception. With other signals, only an earlier flush counts.
    assert kept >= 4 * MiB if number == signal.SIGINT else kept >= 0
    assert path.read_bytes() == RIGHT
    assert list(tmp_path.iterdir()) == [path]


def test_second_ctrl_c_during_cleanup_loses_nothing(oss: LocalOSS, path: Path, tmp_path: Path) -> None:
    held = oss.faults.stall(after_requests=6, times=None)
    with started(oss, "be_interrupted_while_it_cleans_up", path) as process:
        heard(process, "begun")
        process.send_signal(signal.SIGINT)
        heard(process, "flushing")
        process.send_signal(signal.SIGINT)
        process.communicate("\n" * 9, timeout=60)
    assert process.returncode == -signal.SIGINT
    assert not path.exists()
    held.cancel()
    assert resume(oss, path).resumed_bytes >= 4 * MiB
    assert path.read_bytes() == RIGHT
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_second_signal_ends_the_command_at_once_whatever_hangs(
    second: signal.Signals, oss: LocalOSS, path: Path, tmp_path: Path
) -> None:
    held = oss.faults.stall(after_requests=6, times=None)
    with started(oss, "command_with_a_disk_that_hangs", path) as process:
        heard(process, "flushing")
        process.send_signal(signal.SIGINT)
        while is_caught(process, second):
            os.sched_yield()
        process.send_signal(second)
        assert process.wait(60) == -second
        process.communicate()
    held.cancel()
    assert resume(oss, path).verified
    assert list(tmp_path.iterdir()) == [path]


def test_processed_objects_of_two_processes_are_never_mixed_where_locks_do_nothing(
    oss: LocalOSS, path: Path, tmp_path: Path
) -> None:
    """They have no CRC-64 that would tell: a part file of both would be published as it comes."""
    path.write_bytes(b"old")
    oss.faults.stall(6 * MiB, seconds=1.5, nth=1)
    oss.faults.stall(MiB, nth=2)
    with (
        Watcher(path, b"old", lambda: [RIGHT]) as watcher,
        started(oss, "process_without_locks", path) as one,
        started(oss, "process_without_locks", path) as other,
    ):
        assert one.stdout is not None
        assert other.stdout is not None
        for process, count in (one, 6 * MiB), (other, 7 * MiB):
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
            oss.wait_for_bytes(count)
        assert one.stdout.readline() == "ready\n"
        assert json.loads(one.stdout.readline()) == {"size": SIZE}
        oss.drop_connections()
        assert other.stdout.readline() == "ready\n"
        assert json.loads(other.stdout.readline()) == {"size": SIZE}
    assert watcher.wrong == []
    assert path.read_bytes() == RIGHT
    assert list(tmp_path.iterdir()) == [path]
