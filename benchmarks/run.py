"""The child: one client does one job in a fresh process and prints its own figures as JSON lines.

Two lines: before the transfer (everything imported, the client not made yet) and after it.
"""

import asyncio
import gc
import inspect
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.clients import PythonClient, load
from benchmarks.job import Job

TICK = 0.005


def main() -> None:
    client, job = load(sys.argv[1]), Job.from_json(sys.argv[2])
    assert isinstance(client, PythonClient)
    transfer = client.prepare(job)
    gc.collect()
    _forget_peak()
    cpu = time.process_time()
    _say(rss_before=_memory("VmRSS"), started=time.monotonic())
    start = time.monotonic()
    more = _do(client, job, transfer)
    _say(
        seconds=time.monotonic() - start,
        cpu=time.process_time() - cpu,
        rss_peak=_memory("VmHWM"),
        **(more or {}),
    )
    # The transfer is over and reported. obstore 0.12 sometimes aborts while the interpreter shuts down (7 of 56 short
    # runs), which is no part of what is measured here.
    os._exit(0)


def _do(client: PythonClient, job: Job, transfer: Any) -> Any:  # what the Transfer returns
    if client.loop is None and not job.ticker:
        return transfer()
    factory = None
    if client.loop == "uvloop":
        import uvloop

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(_beside_ticker(transfer) if job.ticker else transfer())


async def _beside_ticker(transfer: Any) -> dict[str, float]:
    """The transfer (in a thread when it blocks), and how late each tick of TICK seconds came meanwhile."""
    late: list[float] = []

    async def tick() -> None:
        clock = time.perf_counter
        while True:
            due = clock() + TICK
            await asyncio.sleep(TICK)
            late.append(clock() - due)

    ticker = asyncio.create_task(tick())
    await asyncio.sleep(20 * TICK)  # delays while the loop starts do not count
    late.clear()
    more = await (transfer() if inspect.iscoroutinefunction(transfer) else asyncio.to_thread(transfer))
    ticker.cancel()
    late.sort()
    assert late, "the transfer was over before the first tick: make it larger"

    def quantile(share: float) -> float:
        return late[min(len(late) - 1, int(share * len(late)))]

    lag = {"lag_p50": quantile(0.5), "lag_p99": quantile(0.99), "lag_max": late[-1], "ticks": len(late)}
    return {**(more or {}), **lag}


def _forget_peak() -> None:
    """Let the peak start from what is held now: importing takes more than it keeps."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        print("the peak of the imports counts: /proc/self/clear_refs cannot be written", file=sys.stderr)


def _memory(field: str) -> int:
    """VmRSS or VmHWM in bytes. (ru_maxrss is no use: a child inherits its parent's.)"""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    return 0


def _say(**figures: float) -> None:
    print(json.dumps(figures), flush=True)


if __name__ == "__main__":
    main()
