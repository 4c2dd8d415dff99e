"""One child process from its start to its end: how long, how much CPU, how much memory."""

import json
import os
import select
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

from benchmarks.clients import Client
from benchmarks.job import Job

ROOT = Path(__file__).resolve().parent.parent
LIMIT = 900.0
"""Seconds after which a run is given up."""
LOOK = 0.01
"""Seconds between two looks at a running command: its peak memory is known up to so long before its end."""

Figures = dict[str, float]


class RunFailedError(Exception):
    """The client ended badly, took too long, or left a wrong file."""


def measure(client: Client, job: Job, *, stop: Callable[[float], bool] | None = None) -> Figures:
    """Run it, to its end or until it is to stop.

    `stop` is asked every LOOK seconds, with the clock's reading when the transfer began; as soon as it says so the
    process is killed: then `killed` is 1 and the figures are those of that moment.
    """
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as complaints:
        started = time.monotonic()
        process = subprocess.Popen(
            client.command(job),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=complaints,
            cwd=ROOT,
            env=_environment(job),
        )
        watched = _watch(process, client, output, started, stop, counts=job.at_once)
        if watched.get("killed"):
            return {**watched, **_lines(output, client)}
        if process.returncode != 0:
            complaints.seek(0)
            last = complaints.read().decode(errors="replace").strip().splitlines()[-1:]
            raise RunFailedError(f"exit code {process.returncode}: {' '.join(last)[:300]}")
        # The child's own figures are more precise than those seen from outside.
        return {**watched, **_lines(output, client)}


def _watch(
    process: subprocess.Popen[bytes],
    client: Client,
    output: IO[bytes],
    started: float,
    stop: Callable[[float], bool] | None,
    *,
    counts: bool,
) -> Figures:
    """Wait for the end of the process; `counts`: count its threads and descriptors meanwhile."""
    looks = stop is not None or not client.reports or counts
    pidfd, peak, killed = os.pidfd_open(process.pid), 0, False
    threads = descriptors = 0
    try:
        while not select.select([pidfd], [], [], LOOK if looks else 1.0)[0]:
            peak = _peak(process.pid) or peak
            if counts:
                threads = max(threads, _entries(process.pid, "task"))
                descriptors = max(descriptors, _entries(process.pid, "fd"))
            begun = started
            if client.reports and stop is not None:
                begun = _lines(output, client).get("started", 0.0)
            if stop is not None and begun and not killed and stop(begun):
                process.send_signal(signal.SIGKILL)
                killed = True
            if time.monotonic() - started > LIMIT:
                process.kill()
        seconds = time.monotonic() - started
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    finally:
        os.close(pidfd)
    figures = {
        "started": started,
        "seconds": seconds,
        "cpu": usage.ru_utime + usage.ru_stime,
        "rss_peak": peak,
    }
    counted = {"threads": threads, "descriptors": descriptors} if counts else {}
    return {**figures, "rss_before": 0, **counted, **({"killed": 1} if killed else {})}


def _lines(output: IO[bytes], client: Client) -> Figures:
    """What a reporting child has printed so far."""
    if not client.reports:
        return {}
    text = os.pread(output.fileno(), 1 << 20, 0)
    figures: Figures = {}
    for line in text.splitlines(keepends=True):
        if line.startswith(b"{") and line.endswith(b"\n"):
            figures.update(json.loads(line))
    return figures


def _peak(pid: int) -> int:
    """VmHWM in bytes, 0 when the process is gone. (wait4's ru_maxrss begins with the parent's own.)"""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    found = [line for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(found[0].split()[1]) * 1024 if found else 0


def _entries(pid: int, directory: str) -> int:
    """How many entries a directory of the process in /proc has; 0 when the process is gone."""
    try:
        return len(os.listdir(f"/proc/{pid}/{directory}"))
    except OSError:
        return 0


def _environment(job: Job) -> dict[str, str]:
    """The parent's, less what would lead traffic elsewhere, plus the certificate to trust."""
    kept = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    kept["PYTHONPATH"] = str(ROOT)
    if job.authority:
        kept |= {"SSL_CERT_FILE": job.authority, "REQUESTS_CA_BUNDLE": job.authority}
    return kept
