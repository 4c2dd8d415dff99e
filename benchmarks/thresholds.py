"""The required thresholds: what the numbers of a run have to be, and which of them hold."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from benchmarks.job import GiB, KiB, MiB
from benchmarks.report import Row
from benchmarks.scenarios.resume import PROVING

OURS = ("aioss-resume", "aioss-resume/uvloop")
CALLS, ONE_DOWNLOADER = "aioss-resume/calls", "aioss-resume/one-downloader"
AUTO = ("aioss-resume/auto",)
"""Which picks the number of ranges and their size itself."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """One threshold: what was found, what it has to be; `holds` is None when the run cannot tell."""

    threshold: str
    found: float | None
    holds: bool | None
    reaches_aim: bool | None = None
    """Whether the better value that is hoped for was reached; None when there is none, or the run cannot tell."""


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
        for rival, least, aim in (("oss2", 4.5, None), ("obstore", 0.7, 0.9), ("opendal", 0.7, 0.9)):
            yield _least(f"small 100 KiB x {rival}", _ratio(results["small"], "100 KiB", rival), least, aim)
    if "slow_connection" in results:
        for case in ("connection", "request"):
            fair = _best(results["slow_connection"], case, "fair", min, which=2)
            yield _most(f"slow_connection per {case}, slowest run of fair share", fair, 1.35, 1.15)
    if "at_once" in results:
        yield from _at_once(results["at_once"])
    yield from _in_memory(results)
    yield from _batches(results)
    if "latency" in results:
        yield _least("latency of link, auto", _best(results["latency"], "", "of_link", max, of=AUTO), 0.9)
    if "resume" in results:
        yield from _resume(results["resume"])
    if "loop_lag" in results:
        for case, p99 in (("HTTP", 0.005), ("TLS", 0.010)):
            yield _most(f"loop_lag {case} p99 ms", _ms(results["loop_lag"], case, "lag_p99"), p99 * 1000)
        yield _most("loop_lag HTTP max ms", _ms(results["loop_lag"], "HTTP", "lag_max", 2), 25)
    if "core_rules" in results:
        flush = "flush (spans + encode)"
        written = _figure(results["core_rules"], flush, "aioss-resume", "bytes")
        yield _most("core_rules: a checkpoint of 1 TiB with 64 flights, KiB", written and written / KiB, 16)
        yield _most("core_rules: a flush besides fsync, ms", _ms(results["core_rules"], flush, "seconds"), 1)


def _large(rows: list[Row]) -> Iterator[Verdict]:
    bounds = {
        "obstore": (0.9, 1.2),
        "opendal": (2, None),
        "oss2": (7.5, None),
        "oss-v2": (7.5, None),
        "aria2c": (1.4, None),
    }
    for rival, (least, aim) in bounds.items():
        yield _least(f"large HTTP x {rival}", _ratio(rows, "HTTP", rival), least, aim)
    yield _least("large TLS x obstore", _ratio(rows, "TLS", "obstore"), 0.9, 1.05)
    ours = _best(rows, "HTTP", "cpu", min)
    theirs = _figure(rows, "HTTP", "obstore", "cpu")
    yield _most("large HTTP CPU x obstore", ours / theirs if ours and theirs else None, 1.3)


def _in_memory(results: Results) -> Iterator[Verdict]:
    """Streams, reads and ranges, and what runs beside them."""
    bounds = (
        ("stream", "loopback", "aioss-resume", 1.0, 1.2),
        ("stream", "loopback", "stream/obstore", 0.75, 1.0),
        ("stream", "loopback", "stream/opendal", 0.9, 1.2),
        ("read", "", "read/obstore-ranges", 0.9, 1.1),
        ("read", "", "read/opendal", 1.2, 1.5),
        ("ranges", "", "ranges/obstore", 0.7, 1.0),
    )
    for name, case, rival, least, aim in bounds:
        if name in results:
            ours = (f"{name}/aioss-resume", f"{name}/aioss-resume-uvloop")
            yield _least(f"{name} x {rival}", _ratio(results[name], case, rival, of=ours), least, aim)
    if "stream" in results:
        rows = results["stream"]
        far = _figure(rows, "50 ms", "stream/aioss-resume", "of_link")
        yield _least("stream over 50 ms, of link", far, 0.85, 0.95)
        ours, theirs = (
            _ms(rows, "first byte", "first_byte", of=f"first-byte/{who}") for who in ("aioss-resume", "aiohttp")
        )
        later = ours - theirs if ours is not None and theirs is not None else None
        yield _most("first byte of a stream, ms after aiohttp's", later, 2, 1)
    if "fair" in results:
        rows = results["fair"]
        yield _most(
            "fair: slowest read beside a download, s", _figure(rows, "reads", "fair/beside", "read_max", 2), 0.35, 0.2
        )
        alone, beside = (_figure(rows, "reads", f"fair/{which}", "download") for which in ("alone", "beside"))
        yield _most("fair: that download x alone", beside / alone if alone and beside else None, 1.1, 1.05)
        yield _most("fair: mean end / last end", _figure(rows, "together", "fair/together", "mean_end"), 0.62, 0.55)
    if "service" in results:
        idle, busy = (_ms(results["service"], "", "p99", of=f"service/{which}") for which in ("idle", "busy"))
        more = busy - idle if idle is not None and busy is not None else None
        yield _most("service: p99 of an endpoint, ms more than at rest", more, 5, 2)


def _batches(results: Results) -> Iterator[Verdict]:
    """Listings, batches, prefixes and clusters."""
    if "list" in results:
        listing = ("list/aioss-resume", "list/aioss-resume-uvloop")
        for rival, least, aim in (("oss2", 3, 6), ("oss-v2", 2, 4)):
            found = _ratio(results["list"], "200,000", f"list/{rival}", of=listing)
            yield _least(f"list x {rival}", found, least, aim)
        rss = _figure(results["list"], "1,000,000", "list/aioss-resume", "rss_above", 2)
        yield _most("list: RSS above start over 1 000 000 keys, MiB", rss and rss / MiB, 64, 32)
    if "command" in results:
        for case, rival, least, aim in (
            ("get", "aria2c", 0.9, 1.2),
            ("get", "rclone", 1.0, 1.5),
            ("mirror", "rclone", 1.0, 2.0),
        ):
            of = (f"command/{case}",)
            yield _least(f"command {case} x {rival}", _ratio(results["command"], case, rival, of=of), least, aim)
    if "many" in results:
        of = ("many/aioss-resume",)
        yield _least("many x 16 tasks of download()", _ratio(results["many"], "", "aioss-resume", of=of), 0.95)
        of = (*of, "many/aioss-resume-uvloop")
        yield _least("many x obstore", _ratio(results["many"], "", "obstore", of=of), 0.7, 0.9)
    if "prefix" in results:
        found = _ratio(results["prefix"], "", "many/aioss-resume", of=("many/prefix",))
        yield _least("prefix x download_many()", found, 0.8, 0.95)
    if "second_run" in results:
        found = _figure(results["second_run"], "", "many/second-run", "second_run")
        yield _least("second_run, files a second", found, 15_000, 40_000)
    if "cluster" in results:
        found = _ratio(results["cluster"], "", "cluster/1-process", of=("cluster/2-processes",))
        yield _least("cluster: 2 processes x 1", found, 1.7, 1.9)


def _at_once(rows: list[Row]) -> Iterator[Verdict]:
    """The calls of download() against one Downloader for all."""
    for figure in ("seconds", "rss_above", "threads", "descriptors"):
        calls, downloader = (_figure(rows, "", name, figure) for name in (CALLS, ONE_DOWNLOADER))
        ratio = calls / downloader if calls and downloader else None
        yield _most(f"at_once {figure} x one Downloader", ratio, 1.2, 1.05)
    yield _most("at_once threads", _figure(rows, "", CALLS, "threads"), 20)


def _resume(rows: list[Row]) -> Iterator[Verdict]:
    twice = _best(rows, "50 %", "twice_share", min)
    yield _most("resume fetched twice, %", None if twice is None else 100 * twice, 2)
    proving = _figure(rows, PROVING, "aioss-resume", "proving")
    yield _least("resume proving GiB/s", proving and proving / GiB, 3)


def lines(found: Iterator[Verdict]) -> str:
    words = {True: "holds", False: "FAILS", None: "not measured"}
    return "\n".join(
        f"{words[v.holds]:12}  {v.threshold}"
        + ("" if v.found is None else f": {v.found:.2f}")
        + (", the aim too" if v.reaches_aim else "")
        for v in found
    )


def _least(what: str, found: float | None, bound: float, aim: float | None = None) -> Verdict:
    text = f"{what} >= {bound:g}" + (f" (aim {aim:g})" if aim else "")
    if found is None:
        return Verdict(text, None, None)
    return Verdict(text, found, found >= bound, found >= aim if aim else None)


def _most(what: str, found: float | None, bound: float, aim: float | None = None) -> Verdict:
    text = f"{what} <= {bound:g}" + (f" (aim {aim:g})" if aim else "")
    if found is None:
        return Verdict(text, None, None)
    return Verdict(text, found, found <= bound, found <= aim if aim else None)


def _ratio(rows: list[Row], case: str, rival: str, *, of: tuple[str, ...] = OURS) -> float | None:
    """The better of asyncio and uvloop, neither with fsync."""
    found = [row.ratios[rival] for row in rows if case in row.case and row.client in of and rival in row.ratios]
    return max(found, default=None)


def _best(
    rows: list[Row],
    case: str,
    figure: str,
    choose: Callable[[list[float]], float],
    *,
    of: tuple[str, ...] = OURS,
    which: int = 1,
) -> float | None:
    """The chosen one of our medians in the cases whose name contains `case`; `which` as in _figure()."""
    rows = [row for row in rows if case in row.case and row.client in of and figure in row.figures]
    found = [row.figures[figure][which] for row in rows]
    return choose(found) if found else None


def _figure(rows: list[Row], case: str, client: str, figure: str, which: int = 1) -> float | None:
    """Least, median or most (0, 1, 2) of a figure."""
    found = [row for row in rows if case in row.case and row.client == client]
    return found[0].figures[figure][which] if found and figure in found[0].figures else None


def _ms(rows: list[Row], case: str, figure: str, which: int = 1, *, of: str = "aioss-resume") -> float | None:
    """On asyncio's own loop: that is where most will run it."""
    seconds = _figure(rows, case, of, figure, which)
    return None if seconds is None else 1000 * seconds
