"""The process that the demo kills, ended by gentler signals."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from aioss_resume.cli.process import DownloadProcess
from aioss_resume.cli.reports import Ended, Failed, Progressed, Report, decode, encode
from aioss_resume.testing import LocalOSS, MiB

SIZE = 16 * MiB


@contextmanager
def child(oss: LocalOSS, path: Path, key: str = "key") -> Iterator[DownloadProcess]:
    with DownloadProcess(
        oss, "examplebucket", key, path, part_size=MiB, multiget_threshold=MiB, concurrency=4
    ) as process:
        yield process


def ended(process: DownloadProcess) -> Report:
    """The last report."""
    *_, last = process.reports()
    return last


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)])
def test_signal_cancels_the_download_and_flushes_the_checkpoint(
    number: signal.Signals, code: int, tmp_path: Path
) -> None:
    path = tmp_path / "file"
    with LocalOSS() as oss:
        stored = oss.put("examplebucket", "key", size=SIZE)
        held = oss.faults.stall(after_requests=4, times=None)  # so the download cannot end before it is killed
        with child(oss, path) as process:
            for report in process.reports():
                if isinstance(report, Progressed) and report.consumed == 4 * MiB:
                    process.send(number)
                    break
            assert process.wait(30) == code
        assert not path.exists()
        held.cancel()
        with child(oss, path) as process:
            result = ended(process)
            assert process.wait(30) == 0
    assert isinstance(result, Ended)
    assert result.resumed_bytes == 4 * MiB
    assert result.fetched_bytes == SIZE - 4 * MiB
    assert result.crc64 == stored.content.crc64
    assert result.verified
    assert path.read_bytes() == stored.content.read(0, SIZE)
    assert list(tmp_path.iterdir()) == [path]


def test_error_is_printed_and_the_exit_code_is_1(tmp_path: Path) -> None:
    with LocalOSS() as oss:
        oss.create_bucket("examplebucket")
        with child(oss, tmp_path / "file", "missing") as process:
            report = ended(process)
            assert process.wait(30) == 1
    assert isinstance(report, Failed)
    assert report.message.startswith("NoSuchKeyError: ")


def test_keys_are_in_no_argument(tmp_path: Path) -> None:
    with LocalOSS() as oss:
        oss.put("examplebucket", "key", size=SIZE)
        oss.faults.stall(times=None)
        with child(oss, tmp_path / "file") as process:
            oss.wait_for_requests(1)
            command = Path(f"/proc/{process.pid}/cmdline")
            if not command.exists():
                pytest.skip("this system has no /proc")
            shown = command.read_text()
    assert oss.access_key_id not in shown
    assert oss.access_key_secret not in shown


def test_report_reads_back_as_it_was() -> None:
    report = Progressed(5, None)
    assert decode(encode(report)) == report


@pytest.mark.parametrize("line", ["[]", '{"kind": "Other"}', "not JSON"])
def test_line_that_is_no_report_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        decode(line)
