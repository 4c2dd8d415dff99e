"""The soak of `python -m tests.soak`, short; and that what judges it would notice."""

from pathlib import Path

from aioss_resume.testing import MiB

from .growth import Sample, growing, memory_growth
from .run import SoakRun
from .worker import FLIPPED, wrong_bytes


def samples(seconds: float, *, per_hour: float = 0, jitter: int = 0, **last: int) -> list[Sample]:
    """A process of 60 MiB, looked at every two seconds, which grows as told and holds `last` in the end."""
    found = []
    for index in range(int(seconds / 2) + 1):
        time = 2.0 * index
        memory = int(60 * MiB + per_hour * time / 3600) + jitter * (index * 7919 % 13 - 6)
        found.append(Sample(time, memory, sockets=10, files=5, threads=4, tasks=1))
    held = {"sockets": 10, "files": 5, "threads": 4, "tasks": 1, **last}
    return [*found[:-1], Sample(found[-1].time, found[-1].memory, **held)]


def test_five_seconds_with_faults_publish_no_wrong_file_and_leak_nothing(tmp_path: Path) -> None:
    run = SoakRun(tmp_path, 5.0, faults=0.1, seed=3, say=print)
    run.run()
    assert run.violations == []
    assert run.outcomes["fetched"] > 5  # hundreds on an idle machine
    assert run.warnings > 0  # there were faults
    assert run.samples  # several on an idle machine


def test_leak_is_noticed_and_noise_is_not() -> None:
    assert memory_growth(samples(3600, per_hour=3 * MiB, jitter=10_000))[1]
    assert not memory_growth(samples(3600, per_hour=0, jitter=200_000))[1]
    assert memory_growth(samples(120, per_hour=1000 * MiB))[1]
    assert not memory_growth(samples(5, per_hour=1000 * MiB))[1]


def test_unreleased_slot_is_detected() -> None:
    assert growing(samples(60), sockets=16, threads=4) == []
    for held, word in ({"sockets": 27}, "sockets"), ({"files": 6}, "files"), ({"threads": 5}, "threads"):
        (found,) = growing(samples(60, **held), sockets=16, threads=4)
        assert word in found
    (found,) = growing(samples(60, tasks=2), sockets=16, threads=4)
    assert "tasks" in found


def test_flipped_bit_is_only_allowed_where_no_sum_can_be_compared() -> None:
    content = bytes(range(256)) * 1000
    flipped = bytearray(content)
    flipped[FLIPPED] ^= 1
    found = bytes(flipped)
    assert not wrong_bytes(content, content, None, is_whole=True)
    assert wrong_bytes(found, content, None, is_whole=True)
    assert wrong_bytes(found, content, -len(content), is_whole=True)
    assert not wrong_bytes(found[5:], content, 5, is_whole=True)  # a slice
    assert not wrong_bytes(found[: FLIPPED + 1], content, None, is_whole=False)  # left early
    assert not wrong_bytes(found[-200_000:-5], content, -200_000, is_whole=False)
    found = found[:7] + b"?" + found[8:]
    assert "1 of 100000 bytes differ, in 7 to 7" in wrong_bytes(found[:100_000], content, None, is_whole=False)
    assert wrong_bytes(content[5:-1], content, 5, is_whole=True)
    assert wrong_bytes(content + b"?", content, None, is_whole=False)
    assert wrong_bytes(content[6:], content, 5, is_whole=False)
