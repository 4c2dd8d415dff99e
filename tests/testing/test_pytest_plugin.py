"""The plugin, in a pytest of its own: its fixtures are there without any import."""

import subprocess
import sys
from pathlib import Path

USES_THEM = """
import oss2

def test_passes(local_oss, oss_bucket):
    oss_bucket.put_object("key", b"data")
    local_oss.faults.reset_after(2, key="key")
    try:
        oss_bucket.get_object("key").read()
    except Exception:
        pass
    assert oss_bucket.bucket_name == "examplebucket"
    assert local_oss.requests[0].method == "PUT"

def test_with_a_fault_that_nobody_meets(local_oss):
    local_oss.faults.status(503)

def test_with_one_of_its_own_failures(local_oss):
    local_oss.faults.status(503)
    assert 1 == 2
"""


def test_fixtures_are_there_and_an_unmet_fault_fails_the_test(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(USES_THEM, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "ignore", "."]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False)
    assert "1 failed, 2 passed, 2 errors" in run.stdout, run.stdout + run.stderr
    assert "faults were set and nobody met them" in run.stdout
    assert "assert 1 == 2" in run.stdout


def test_plugin_imports_no_server_before_a_fixture_is_used() -> None:
    program = "import sys, aioss_resume.testing.pytest_plugin; print([m for m in sys.modules if 'testing.server' in m])"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert run.stdout.strip() == "[]"
