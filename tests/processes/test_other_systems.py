"""The library as on other systems, in a process of its own: the environment chooses the storage when it is imported."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

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
    print(json.dumps({"storage": type(STORAGE).__name__, "runs": runs, "refused": refused}))

asyncio.run(main())
"""


def run(storage: str, oss: LocalOSS, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, oss.endpoint, oss.region, *arguments],
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
    ]
