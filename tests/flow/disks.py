"""Small file systems of their own."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from aioss_resume.testing import KiB


@contextmanager
def mounted(disk: Path, options: str) -> Iterator[Path]:
    """A tmpfs with these options, at a directory that is made; skips the test where it may not be."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount")
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", disk], check=True)
    try:
        yield disk
    finally:
        subprocess.run(["umount", disk], check=True)


def fill(filler: Path) -> None:
    """Let a file take all the room that is left."""
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(64 * KiB))
        except OSError:
            pass
