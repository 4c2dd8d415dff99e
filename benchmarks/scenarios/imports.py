"""import: how long `import X` takes in a fresh process, and how long until `--help` is printed."""

import importlib.util
import random
import shutil
import subprocess
import sys
import time

from benchmarks.measure import ROOT
from benchmarks.scenarios import Benchmark, Column
from benchmarks.testbed import Sample, Testbed, say

IMPORTS = {
    "nothing": "",
    "aioss-resume": "aioss_resume",
    "aiohttp": "aiohttp",
    "oss2": "oss2",
    "oss-v2": "alibabacloud_oss_v2",
    "obstore": "obstore",
    "pypdl": "pypdl",
}
HELPS = {
    "aioss-resume": [sys.executable, "-m", "aioss_resume", "--help"],
    "aria2c": ["aria2c", "--help"],
    "curl": ["curl", "--help"],
    "rclone": ["rclone", "--help"],
}


def run(testbed: Testbed) -> list[Sample]:
    entries = []
    for who, module in IMPORTS.items():
        if module and importlib.util.find_spec(module) is None:
            _skip(testbed, f"import {module}", "not installed")
        else:
            entries.append(("import", who, [sys.executable, "-c", f"import {module or 'sys'}"]))
    for who, argv in HELPS.items():
        if shutil.which(argv[0]) is None or _fails(argv):
            _skip(testbed, f"{who} --help", "not installed, or it fails")
        else:
            entries.append(("--help", who, argv))
    order, samples = random.Random(testbed.options.seed), []
    for number in range(-1, testbed.options.runs or 10):  # the first round fills the page cache and is dropped
        order.shuffle(entries)
        for case, who, argv in entries:
            start = time.perf_counter()
            subprocess.run(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True, cwd=ROOT)
            seconds = time.perf_counter() - start
            if number >= 0:
                samples.append(Sample(case, who, number, {"seconds": seconds}))
    return samples


def _skip(testbed: Testbed, what: str, reason: str) -> None:
    testbed.skipped[what] = reason
    say(f"skipped {what}: {reason}")


def _fails(argv: list[str]) -> bool:
    return subprocess.run(argv, capture_output=True, cwd=ROOT, check=False).returncode != 0


BENCHMARK = Benchmark(
    "import",
    "wall time of a whole fresh process; 'nothing' is Python itself",
    (Column("seconds", "ms", 0.001, 0),),
    ("oss2",),
    run,
)
