"""The check against a real account, against LocalOSS: it must agree with itself, and leave nothing behind."""

import os
import re
import subprocess
import sys
from pathlib import Path

from aioss_resume.testing import LocalOSS

ROOT = Path(__file__).parents[2]


def check(environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    # The root comes last on the path, so that the installed library is tested.
    program = f"import runpy, sys; sys.path.append({str(ROOT)!r}); runpy.run_module('tests.real', run_name='__main__')"
    command = [sys.executable, "-P", "-c", program, "oss://examplebucket/some/where"]
    return subprocess.run(
        command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, timeout=110, check=False
    )


def test_every_assumption_holds_for_local_oss_and_nothing_stays() -> None:
    with LocalOSS() as oss:
        bucket = oss.bucket("examplebucket")
        environment = {
            "OSS_ACCESS_KEY_ID": oss.access_key_id,
            "OSS_ACCESS_KEY_SECRET": oss.access_key_secret,
            "OSS_REGION": oss.region,
            "OSS_ENDPOINT": oss.endpoint,
        }
        done = check(environment)
        assert done.returncode == 0, done.stdout + done.stderr
        assert re.search(r"\n(\d+) of \1 hold", done.stdout)
        assert "  NO " not in done.stdout
        assert bucket.list_objects_v2().object_list == []
        oss.faults.flip_bit(5, key=None, times=None)
        assert check(environment).returncode == 1


def test_without_an_account_it_is_skipped() -> None:
    done = check({"OSS_ACCESS_KEY_ID": "", "OSS_ACCESS_KEY_SECRET": "", "OSS_REGION": ""})
    assert (done.returncode, "skipped: no account is named" in done.stdout) == (0, True)
