"""What a number was measured on: machine, kernel, Python, and where the files lay."""

import os
import platform
import tempfile
from pathlib import Path

ROOMY = 6 * 1024**3
"""Free bytes that a tmpfs needs: the object, a client's copy of it, what memory's two seconds bring."""


def describe(folder: Path) -> dict[str, str]:
    return {
        "cpu": f"{os.cpu_count()} x {_first('/proc/cpuinfo', 'model name') or platform.machine()}",
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "kernel": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "files": "tmpfs" if is_tmpfs(folder) else "disk",
        "load before": f"{os.getloadavg()[0]:.2f}",
    }


def scratch(wished: Path | None) -> Path:
    """A new folder: in the wished one, else on a tmpfs when there is one with room."""
    if wished is not None:
        return Path(tempfile.mkdtemp(prefix="aioss-bench-", dir=wished.resolve()))
    shared = Path("/dev/shm")
    roomy = shared.is_dir() and os.access(shared, os.W_OK) and _free(shared) >= ROOMY
    return Path(tempfile.mkdtemp(prefix="aioss-bench-", dir=shared if roomy else None))


def is_tmpfs(folder: Path) -> bool:
    mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text().splitlines()]
    holding = [(where, kind) for where, kind in mounts if folder.is_relative_to(where)]
    return bool(holding) and max(holding, key=lambda mount: len(mount[0]))[1] == "tmpfs"


def _free(folder: Path) -> int:
    usage = os.statvfs(folder)
    return usage.f_bavail * usage.f_frsize


def _first(path: str, field: str) -> str:
    for line in Path(path).read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == field:
            return value.strip()
    return ""
