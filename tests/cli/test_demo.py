"""The demo from end to end, as a user runs it."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from aioss_resume.__main__ import main


def code_of(arguments: list[str]) -> int | str | None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    return ended.value.code


def test_demo_kills_resumes_and_verifies(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "aioss_resume", "demo", "--size", "8MiB", "--directory", str(tmp_path / "new")]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    for fact in (
        "run 1: killed with SIGKILL",
        "run 2: process",
        "resumes from its checkpoint",
        "run 2: verified and committed",
        "MiB from the runs before, proven on the disk",
        "3 were reset",
        "CRC-64:        verified",
        "the object, byte by byte",
        "left behind:   nothing",
    ):
        assert fact in run.stdout
    assert "Traceback" not in run.stderr
    assert re.search(r"^run 2: [\d.]+ [KM]iB of 8\.0 MiB$", run.stderr, re.MULTILINE)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["demo.bin"]
    assert (tmp_path / "new" / "demo.bin").stat().st_size == 8 * 2**20


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_demo_that_is_ended_by_a_signal_leaves_neither_process_nor_directory(
    tmp_path: Path, number: signal.Signals, code: int
) -> None:
    command = [sys.executable, "-m", "aioss_resume", "demo", "--size", "64MiB"]
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    with subprocess.Popen(command, env=environment, stdout=-1, stderr=-1, text=True) as demo:
        assert demo.stdout is not None
        started = next(found for line in demo.stdout if (found := re.search(r"run 1: process (\d+)", line)))
        demo.send_signal(number)
        demo.communicate(timeout=60)
    assert demo.returncode == code
    assert not Path("/proc", started[1]).exists()
    assert list(tmp_path.iterdir()) == []


def test_demo_says_what_is_wrong_with_the_directory(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_bytes(b"")
    assert code_of(["demo", "--size", "1MiB", "--kills", "0", "--directory", str(tmp_path / "file")]) == 1
    assert "File exists" in capsys.readouterr().err


def test_demo_replaces_an_older_demos_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "demo.bin").write_bytes(b"older")
    assert code_of(["demo", "--size", "1MiB", "--kills", "0", "--directory", str(tmp_path)]) == 0
    assert "begins from zero" in capsys.readouterr().out
    assert (tmp_path / "demo.bin").stat().st_size == 2**20
