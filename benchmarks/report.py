"""Samples to rows: least, median, most, and ratios; rows to a table for people."""

from dataclasses import dataclass
from statistics import median

from benchmarks.scenarios import Benchmark
from benchmarks.testbed import Sample


@dataclass(frozen=True, slots=True)
class Row:
    """All runs of one client in one case."""

    case: str
    client: str
    runs: int
    figures: dict[str, tuple[float, float, float]]
    """Least, median, most of each figure."""
    ratios: dict[str, float]
    """The reference's median headline divided by ours: more is better."""
    error: str = ""


def rows(benchmark: Benchmark, samples: list[Sample]) -> list[Row]:
    """In the order of the cases, the best headline first."""
    made = [
        _row(case, client, [s for s in samples if (s.case, s.client) == (case, client)])
        for case, client in dict.fromkeys((s.case, s.client) for s in samples)
    ]
    headline = benchmark.columns[0].figure
    medians = {(r.case, r.client): r.figures[headline][1] for r in made if headline in r.figures}
    compared = [Row(r.case, r.client, r.runs, r.figures, _ratios(benchmark, medians, r), r.error) for r in made]
    cases = list(dict.fromkeys(row.case for row in compared))
    return sorted(
        compared,
        key=lambda r: (cases.index(r.case), medians.get((r.case, r.client), float("inf"))),
    )


def _row(case: str, client: str, samples: list[Sample]) -> Row:
    good = [_derived(s.figures) for s in samples if not s.error]
    names = dict.fromkeys(name for figures in good for name in figures)
    figures = {}
    for name in names:
        values = [f[name] for f in good if name in f]
        figures[name] = (min(values), median(values), max(values))
    error = next((s.error for s in samples if s.error), "")
    return Row(case, client, len(good), figures, {}, error)


def _derived(figures: dict[str, float]) -> dict[str, float]:
    if "rss_peak" not in figures:
        return figures
    return {**figures, "rss_above": max(0.0, figures["rss_peak"] - figures.get("rss_before", 0))}


def _ratios(benchmark: Benchmark, medians: dict[tuple[str, str], float], row: Row) -> dict[str, float]:
    own = medians.get((row.case, row.client))
    found = {name: medians.get((row.case, name)) for name in benchmark.references}
    return {name: value / own for name, value in found.items() if own and value is not None}


def table(benchmark: Benchmark, rows_: list[Row]) -> str:
    """Fixed width, ready for a terminal or a README's code block."""
    head, *others = benchmark.columns
    titles = ["case", "client", "runs", f"{head.title} least", "median", "most"]
    titles += [column.title for column in others] + [f"x {name}" for name in benchmark.references]
    lines = [titles]
    for row in rows_:
        if head.figure not in row.figures:
            lines.append([row.case, row.client, str(row.runs), f"failed: {row.error}" if row.error else "-"])
            continue
        line = [row.case, row.client, str(row.runs)]
        line += [f"{value / head.unit:.{head.digits}f}" for value in row.figures[head.figure]]
        for column in others:
            values = row.figures.get(column.figure)
            line.append(f"{values[1] / column.unit:.{column.digits}f}" if values else "-")
        line += [f"{row.ratios[name]:.2f}" if name in row.ratios else "-" for name in benchmark.references]
        lines.append([*line, f"(and failed: {row.error})"] if row.error else line)
    whole = [line for line in lines if len(line) >= len(titles)]
    widths = [max(len(line[index]) for line in whole) for index in range(len(titles))]
    return "\n".join(_aligned(line, widths) for line in lines)


def _aligned(line: list[str], widths: list[int]) -> str:
    cells = [
        cell.ljust(width) if index < 2 else cell.rjust(width)
        for index, (cell, width) in enumerate(zip(line, widths, strict=False))
    ]
    return "  ".join([*cells, *line[len(widths) :]]).rstrip()
