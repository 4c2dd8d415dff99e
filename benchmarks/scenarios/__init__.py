"""The benchmarks: one file each, a `BENCHMARK` in it that says how to run it and how to read it."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.job import MiB
from benchmarks.testbed import Sample, Testbed


@dataclass(frozen=True, slots=True)
class Column:
    """A figure in the table: divided by unit, printed with so many digits."""

    figure: str
    title: str
    unit: float = 1.0
    digits: int = 2


SECONDS = Column("seconds", "s", digits=3)
CPU = Column("cpu", "CPU s", digits=2)
RSS = Column("rss_above", "RSS above start MiB", MiB, 1)
PEAK = Column("rss_peak", "peak RSS MiB", MiB, 1)
WIRE = Column("wire", "wire MiB", MiB, 1)
REQUESTS = Column("requests", "requests", digits=0)


@dataclass(frozen=True, slots=True)
class Benchmark:
    """The first column is the headline: shown as least, median, most, and as the ratio to the references."""

    name: str
    about: str
    columns: tuple[Column, ...]
    references: tuple[str, ...]
    """Rivals that the others are divided by; a ratio of 2 means: half the reference's figure."""
    run: Callable[[Testbed], list[Sample]]


FILES = {
    "large": "large",
    "small": "small",
    "at_once": "at_once",
    "slow_connection": "slow_connection",
    "latency": "latency",
    "memory": "memory",
    "resume": "resume",
    "loop_lag": "loop_lag",
    "stream": "stream",
    "read": "read",
    "ranges": "ranges",
    "list": "listing",
    "many": "many",
    "prefix": "prefix",
    "second_run": "second_run",
    "cluster": "cluster",
    "command": "command_line",
    "fair": "fair",
    "service": "service",
    "core_rules": "core_rules",
    "import": "imports",
}


def load(name: str) -> Benchmark:
    found: Benchmark = importlib.import_module(f"benchmarks.scenarios.{FILES[name]}").BENCHMARK
    return found
