"""The library as on other systems, in a process of its own: the environment chooses the storage when it is imported."""
# ruff: noqa: N802

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from flow.ranged import SIZE, whole

from aioss_resume.testing import LocalOSS

KEYS = ["d/CON", "d/nul.txt", "d/ab:c", "d/end. ", "d/100%", "d/a\\b/c", "d/%43ON", "d/plain"]

PROGRAM = """
import asyncio, json, sys
import oss2, aioss_resume
from aioss_resume._io.storage import STORAGE

endpoint, region, directory = sys.argv[1:]

async def main():
    bucket = oss2.Bucket(oss2.AuthV4(*sys.stdin.read().split()), endpoint, "examplebucket", region=region)
    async with aioss_resume.Downloader(bucket) as downloader:
        runs = []
        for _ in range(2):
            async with downloader.download_prefix("d/", directory) as outcomes:
                ended = [outcome async for outcome in outcomes]
            runs.append({each.key: [each.action, str(each.path), str(each.error)] for each in ended})
        refused = []
        for name in ("NUL.txt", "a:b", "x."):
            try:
                await downloader.download("d/plain", f"{directory}/{name}")
            except OSError as error:
                refused.append(str(error))
        try:
            downloader.download_prefix("d/", f"{directory}/aux/v3")
        except OSError as error:
            refused.append(str(error))
    print(json.dumps({"storage": type(STORAGE).__name__, "runs": runs, "refused": refused}))

asyncio.run(main())
"""


def run(storage: str, oss: LocalOSS, *arguments: str, program: str = PROGRAM) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", program, oss.endpoint, oss.region, *arguments],
        input=f"{oss.access_key_id} {oss.access_key_secret}",
        env={**os.environ, "AIOSS_RESUME_STORAGE": storage},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_prefix_by_the_names_of_windows(tmp_path: Path) -> None:
    root = tmp_path / "root"
    with LocalOSS() as oss:
        for key in KEYS:
            oss.put("examplebucket", key, key.encode())
        ended = run("windows", oss, str(root))
    assert ended.returncode == 0, ended.stderr
    found: dict[str, Any] = json.loads(ended.stdout)
    assert found["storage"] == "WindowsStorage"
    first, second = found["runs"]
    assert [error for *_, error in first.values() if error != "None"] == []
    assert {action for action, *_ in first.values()} == {"downloaded"}
    assert {action for action, *_ in second.values()} == {"unchanged"}
    for key, (_, path, _) in first.items():
        assert Path(path).read_bytes() == key.encode()
    names = sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())
    assert [name for name in names if not name.startswith(".aioss")] == [
        "%2543ON", "%43ON", "%6Eul.txt", "100%", "a%5Cb/c", "ab%3Ac", "end.%20", "plain",
    ]  # fmt: skip
    assert [error.partition("; ")[2] for error in found["refused"]] == [
        "on Windows 'NUL.txt' is the name of a device",
        "on Windows 'a:b' contains ':'",
        "on Windows 'x.' ends in a dot or a space, which Windows drops",
        "on Windows 'aux' is the name of a device",
    ]


WITHOUT_POSIX = """
import asyncio, importlib, os, pkgutil, signal, sys
import aiofiles, aiohttp, anyio._backends._asyncio, click, filelock, oss2, rich.progress, sqlite3, subprocess, tempfile

for name in "O_NOFOLLOW O_DIRECTORY O_CLOEXEC O_NONBLOCK pwritev pwrite preadv pread readv writev".split():
    delattr(os, name)
for name in "geteuid getuid fchmod fchown chown register_at_fork fork fstatvfs mkfifo".split():
    delattr(os, name)
for name in ("fcntl", "termios", "pwd", "grp", "resource", "pty", "tty"):
    sys.modules[name] = None
for name in ("SIGHUP", "SIGKILL", "SIGUSR1", "SIGPIPE"):
    delattr(signal, name)

import aioss_resume

endpoint, region, path = sys.argv[1:]
imported = 0
for module in pkgutil.walk_packages(aioss_resume.__path__, "aioss_resume."):
    if ".contrib" not in module.name and not module.name.endswith("__main__"):
        importlib.import_module(module.name)
        imported += 1

async def main():
    bucket = oss2.Bucket(oss2.AuthV4(*sys.stdin.read().split()), endpoint, "examplebucket", region=region)
    async with aioss_resume.Downloader(bucket) as downloader:
        result = await downloader.download("key", path, part_size=102400, multiget_threshold=102400)
        async with downloader.download_prefix("", f"{path}.d") as outcomes:
            async for outcome in outcomes:
                assert outcome.error is None, outcome.error
    print(imported, result.verified)

asyncio.run(main())
"""


def test_P04_no_module_needs_what_windows_lacks(tmp_path: Path) -> None:
    """A process that has lost the functions, flags, modules and signals that Python does not have on Windows."""
    with LocalOSS() as oss:
        oss.put("examplebucket", "key", size=SIZE, seed=1)
        ended = run("windows", oss, str(tmp_path / "file"), program=WITHOUT_POSIX)
    assert ended.returncode == 0, ended.stderr
    imported, verified = ended.stdout.split()
    assert int(imported) > 100
    assert verified == "True"
    assert (tmp_path / "file").read_bytes() == (tmp_path / "file.d" / "key").read_bytes() == whole(SIZE)
