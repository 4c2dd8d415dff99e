"""python -m benchmarks NAME...: run benchmarks, print their tables, keep JSON and charts."""

import argparse
import compileall
import json
import shlex
import shutil
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks import machine, scenarios, thresholds
from benchmarks.chart import chart
from benchmarks.measure import ROOT
from benchmarks.report import Row, rows, table
from benchmarks.server import Nginx
from benchmarks.testbed import Options, Testbed, say

RESULTS = Path(__file__).resolve().parent / "results"
UNITS = {"KiB": 1024, "MiB": 1024**2, "GiB": 1024**3, "TiB": 1024**4}


def main() -> int:
    arguments = _parser().parse_args()
    unknown = set(arguments.names) - set(scenarios.FILES) - {"all"}
    if unknown or not arguments.names:
        say(f"name benchmarks, or all: {', '.join(scenarios.FILES)}")
        return 2
    names = list(scenarios.FILES) if "all" in arguments.names else arguments.names
    if reason := Nginx.missing():
        say(f"cannot run: {reason}")
        return 2
    compileall.compile_dir(str(ROOT / "aioss_resume"), quiet=1)  # as pip does when it installs a package
    kept: dict[str, Any] = {}  # JSON
    results: thresholds.Results = {}
    for name in names:
        results[name], kept[name] = _run(name, arguments)
    verdicts = list(thresholds.verdicts(results)) if arguments.thresholds else []
    if arguments.thresholds:
        print("\n" + (thresholds.lines(iter(verdicts)) or "no threshold is about these benchmarks"))
    target = arguments.json or RESULTS / f"{'-'.join(names)}.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    whole = {"benchmarks": kept, "thresholds": [asdict(verdict) for verdict in verdicts]}
    target.write_text(json.dumps(whole, indent=1) + "\n")
    say(f"JSON: {target}")
    return 1 if any(verdict.holds is False for verdict in verdicts) else 0


def _run(name: str, arguments: argparse.Namespace) -> tuple[list[Row], dict[str, Any]]:
    """One benchmark in a folder of its own, which is gone afterwards."""
    benchmark, folder = scenarios.load(name), machine.scratch(arguments.folder)
    here = machine.describe(folder)
    options = Options(arguments.runs, arguments.size, arguments.concurrency, tuple(arguments.only), arguments.seed)
    testbed = Testbed(folder, options)
    try:
        samples = benchmark.run(testbed)
    finally:
        shutil.rmtree(folder)
    found = rows(benchmark, samples)
    versions = {"nginx": Nginx.version(), **testbed.versions}
    print(f"\n{name}: {benchmark.about}\n{_listed(here)}\n{_listed(versions)}")
    print(table(benchmark, found) if found else "nobody ran")
    for who, reason in testbed.skipped.items():
        print(f"skipped {who}: {reason}")
    sys.stdout.flush()
    command, when = ["python", "-m", "benchmarks", *sys.argv[1:]], time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    captions = [f"{when.partition('T')[0]}: {shlex.join(command)}", _listed(here), _listed(versions)]
    _draw(benchmark, found, captions, arguments.svg)
    kept = {
        "about": benchmark.about,
        "command": command,
        "when": when,
        "machine": here,
        "versions": versions,
        "skipped": testbed.skipped,
        "options": asdict(options),
        "rows": [asdict(row) for row in found],
        "samples": [asdict(sample) for sample in samples],
    }
    return found, kept


def _draw(benchmark: scenarios.Benchmark, found: list[Row], captions: list[str], wished: Path | None) -> None:
    if not any(row.ratios for row in found):
        return
    target = wished or RESULTS / f"{benchmark.name}.svg"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(chart(benchmark, found, captions))
    say(f"chart: {target}")


def _listed(values: dict[str, str]) -> str:
    return "; ".join(f"{name} {value}" for name, value in values.items())


def _size(text: str) -> int:
    for unit, factor in UNITS.items():
        if text.endswith(unit):
            return int(float(text.removesuffix(unit)) * factor)
    return int(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(scenarios.FILES) + ", or all")
    parser.add_argument("--size", type=_size, help="bytes, or with a unit: 64MiB; each benchmark says what of")
    parser.add_argument("--runs", type=int, help="of each client in each case")
    parser.add_argument("--concurrency", type=int, help="range requests, or objects, in flight")
    parser.add_argument(
        "--only",
        type=lambda text: text.split(","),
        default=[],
        metavar="CLIENT,...",
        help="a name before the slash means all of that family",
    )
    parser.add_argument("--seed", type=int, default=1, help="of the order and of which connections are slow")
    parser.add_argument("--folder", type=Path, help="for the files; default: a tmpfs when there is one")
    parser.add_argument("--json", type=Path, metavar="FILE", help="default: benchmarks/results/NAME.json")
    parser.add_argument("--svg", type=Path, metavar="FILE", help="default: benchmarks/results/NAME.svg")
    parser.add_argument("--thresholds", action="store_true", help="say which thresholds hold; exit 1 if one does not")
    return parser


if __name__ == "__main__":
    sys.exit(main())
