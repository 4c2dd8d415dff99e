"""The musts: what the numbers of a run have to be, and which of them hold."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from benchmarks.job import GiB, KiB, MiB
from benchmarks.report import Row
from benchmarks.scenarios.resume import PROVING

OURS = ("aioss-resume", "aioss-resume/uvloop")
AUTO = ("aioss-resume/auto",)
"""Which picks the number of ranges and their size itself."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """One must: what was found, what it has to be; `holds` is None when the run cannot tell."""

    must: str
    found: float | None
    holds: bool | None


Results = dict[str, list[Row]]
"""Rows by the benchmark's name."""


def verdicts(results: Results) -> Iterator[Verdict]:
    """In the order of the README; only of the benchmarks that were run."""
    if "large" in results:
        yield from _large(results["large"])
    if "memory" in results:
        for size in (1, 64, 1024):
            rss = _best(results["memory"], f"{size} GiB, 8 in flight", "rss_above", max)
            most = 24 if size == 1 else 24 + 8  # larger objects may cost 8 MiB more
            yield _most(f"peak RSS above start, {size} GiB, 8 in flight, MiB", rss and rss / MiB, most)
    if "small" in results:
        for rival, least in (("oss2", 4.5), ("obstore", 0.5)):
            yield _least(f"small 100 KiB x {rival}", _ratio(results["small"], "100 KiB", rival), least)
    if "slow_connection" in results:
        for name, who in (("told", OURS), ("auto", AUTO)):
            fair = _best(results["slow_connection"], "", "fair", min, of=who)
            yield _most(f"slow_connection of fair share, {name}", fair, 1.3)
    if "latency" in results:
        yield _least("latency of link, auto", _best(results["latency"], "", "of_link", max, of=AUTO), 0.9)
    if "resume" in results:
        yield from _resume(results["resume"])
    if "loop_lag" in results:
        for case, p99 in (("HTTP", 0.005), ("TLS", 0.010)):
            yield _most(f"loop_lag {case} p99 ms", _ms(results["loop_lag"], case, "lag_p99"), p99 * 1000)
        yield _most("loop_lag HTTP max ms", _ms(results["loop_lag"], "HTTP", "lag_max", 2), 25)
    if "rules" in results:
        flush = "flush (spans + encode)"
        written = _figure(results["rules"], flush, "aioss-resume", "bytes")
        yield _most("rules: a checkpoint of 1 TiB with 64 flights, KiB", written and written / KiB, 16)
        yield _most("rules: a flush besides fsync, ms", _ms(results["rules"], flush, "seconds"), 1)


def _large(rows: list[Row]) -> Iterator[Verdict]:
    for rival, least in (("oss2", 7), ("oss-v2", 7), ("aria2c", 1.05), ("obstore", 0.65)):
        yield _least(f"large HTTP x {rival}", _ratio(rows, "HTTP", rival), least)
    yield _least("large TLS x obstore", _ratio(rows, "TLS", "obstore"), 0.6)
    ours = _best(rows, "HTTP", "cpu", min)
    theirs = _figure(rows, "HTTP", "obstore", "cpu")
    yield _most("large HTTP CPU x obstore", ours / theirs if ours and theirs else None, 1.3)


def _resume(rows: list[Row]) -> Iterator[Verdict]:
    twice = _best(rows, "50 %", "twice_share", min)
    yield _most("resume fetched twice, %", None if twice is None else 100 * twice, 2)
    proving = _figure(rows, PROVING, "aioss-resume", "proving")
    yield _least("resume proving GiB/s", proving and proving / GiB, 3)


def lines(found: Iterator[Verdict]) -> str:
    words = {True: "holds", False: "FAILS", None: "not measured"}
    return "\n".join(f"{words[v.holds]:12}  {v.must}" + ("" if v.found is None else f": {v.found:.2f}") for v in found)


def _least(what: str, found: float | None, bound: float) -> Verdict:
    return Verdict(f"{what} >= {bound:g}", found, None if found is None else found >= bound)


def _most(what: str, found: float | None, bound: float) -> Verdict:
    return Verdict(f"{what} <= {bound:g}", found, None if found is None else found <= bound)


def _ratio(rows: list[Row], case: str, rival: str) -> float | None:
    """The better of asyncio and uvloop, neither with fsync."""
    found = [row.ratios[rival] for row in rows if case in row.case and row.contestant in OURS and rival in row.ratios]
    return max(found, default=None)


def _best(
    rows: list[Row],
    case: str,
    figure: str,
    choose: Callable[[list[float]], float],
    *,
    of: tuple[str, ...] = OURS,
) -> float | None:
    """The chosen one of our medians in the cases whose name holds `case`."""
    found = [
        row.figures[figure][1] for row in rows if case in row.case and row.contestant in of and figure in row.figures
    ]
    return choose(found) if found else None


def _figure(rows: list[Row], case: str, contestant: str, figure: str, which: int = 1) -> float | None:
    """Least, median or most (0, 1, 2) of a figure."""
    found = [row for row in rows if case in row.case and row.contestant == contestant]
    return found[0].figures[figure][which] if found and figure in found[0].figures else None


def _ms(rows: list[Row], case: str, figure: str, which: int = 1) -> float | None:
    """On asyncio's own loop: that is where most will run it."""
    seconds = _figure(rows, case, "aioss-resume", figure, which)
    return None if seconds is None else 1000 * seconds
