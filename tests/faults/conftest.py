"""A LocalOSS that insists on its faults, and what watches every test: secrets, leaks, ranges that pin nothing."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from flow.canary import watching  # noqa: F401
from flow.conftest import (  # noqa: F401
    anyio_backend,
    bucket,
    content,
    gate,
    nothing_blocks_the_loop,
    nothing_is_left_behind,
)
from over_old import OLD, Pins

from aioss_resume.testing import LocalOSS


@pytest.fixture
def oss() -> Iterator[LocalOSS]:
    """Its faults are met, or the test fails."""
    with LocalOSS(strict_faults=True) as server:
        yield server


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The destination, with an old file at it."""
    path = tmp_path / "file"
    path.write_bytes(OLD)
    return path


@pytest.fixture(autouse=True)
def pins(oss: LocalOSS) -> Iterator[Pins]:
    """Every range but the first of a run is asked for with If-Match; a test that takes the ETag away says so."""
    pins = Pins()
    yield pins
    ranged = [record for record in oss.requests if record.method == "GET" and record.range and record.range[0]]
    assert pins.may_be_missing or all("If-Match" in record.headers for record in ranged)


@pytest.fixture
def reads_may_begin_anywhere(pins: Pins) -> None:
    """The first range of a read or a stream need not begin at 0, and there is nothing to pin yet."""
    pins.may_be_missing = True
