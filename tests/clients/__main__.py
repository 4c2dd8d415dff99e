"""Run them: `python -m tests.clients --aiooss2 PYTHON --ossfs PYTHON --ali-oss FOLDER`; `nox -s clients` has these."""

import argparse
import os
import subprocess
import sys
from pathlib import Path

from aioss_resume.testing import LocalOSS

HERE = Path(__file__).parent


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--aiooss2", help="a Python that has aiooss2")
    parser.add_argument("--ossfs", help="a Python that has ossfs")
    parser.add_argument("--ali-oss", help="a folder whose node_modules has ali-oss")
    arguments = parser.parse_args()
    commands = {
        "aiooss2": [arguments.aiooss2, str(HERE / "with_aiooss2.py")],
        "ossfs": [arguments.ossfs, str(HERE / "with_ossfs.py")],
        "ali-oss": [arguments.ali_oss and "node", str(HERE / "with_ali_oss.mjs")],
    }
    failed = [name for name, command in commands.items() if command[0] and not _runs(name, command, arguments.ali_oss)]
    return 1 if failed else 0


def _runs(name: str, command: list[str], node_folder: str | None) -> bool:
    with LocalOSS() as oss:
        oss.create_bucket("examplebucket")
        keys = {"OSS_ACCESS_KEY_ID": oss.access_key_id, "OSS_ACCESS_KEY_SECRET": oss.access_key_secret}
        environment = {
            **os.environ,
            **keys,
            "OSS_ENDPOINT": oss.endpoint,
            "NODE_FOLDER": str(Path(node_folder or "").absolute()),
        }
        code = subprocess.run(command, env=environment, timeout=300, check=False).returncode
        refused = sorted({f"{seen.method} {seen.raw_path}" for seen in oss.requests if seen.status == 501})
        print(f"{name}: exit code {code}, {len(oss.requests)} requests, not implemented: {refused}", flush=True)
        return code == 0 and not refused and bool(oss.requests)


sys.exit(main())
