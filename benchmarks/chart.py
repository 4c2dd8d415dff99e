"""A chart of ratios: horizontal bars, one panel a case, as SVG."""

from collections.abc import Sequence
from html import escape

from benchmarks.report import Row
from benchmarks.scenarios import Benchmark

WIDTH, LABEL, BAR, LINE, GAP = 760, 170, 440, 22, 34
OURS, THEIRS, TEXT, FAINT = "#d9480f", "#748ffc", "#212529", "#adb5bd"


def chart(benchmark: Benchmark, rows: list[Row], captions: Sequence[str]) -> str:
    """Bars as long as the ratio to the first reference that took part; that one itself ends at the thin line.

    Args:
        captions: Lines below: how it was measured, when and where.
    """
    drawn, top = [], 52
    for case in dict.fromkeys(row.case for row in rows):
        reference, bars = _bars(benchmark, [row for row in rows if row.case == case])
        if not bars:
            continue
        drawn.append(_text(16, top, f"{case}: times as good as {reference}", weight="bold"))
        longest = max(ratio for _, ratio, _ in bars)
        panel_top = top + 10
        for name, ratio, note in sorted(bars, key=lambda bar: -bar[1]):
            drawn.append(_bar(name, ratio, note, ratio / longest, panel_top))
            panel_top += LINE
        one = LABEL + BAR / longest
        drawn.append(f'<line x1="{one:.1f}" x2="{one:.1f}" y1="{top + 8}" y2="{panel_top}" stroke="{FAINT}"/>')
        top = panel_top + GAP
    title = _text(16, 24, f"{benchmark.name}: {benchmark.about}", size=15, weight="bold")
    feet = [_text(16, top + 14 * number, line, size=10, fill=FAINT) for number, line in enumerate(captions)]
    top += 14 * (len(captions) - 1)
    body = "\n".join([title, *drawn, *feet])
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{top + 16}" '
        f'viewBox="0 0 {WIDTH} {top + 16}" font-family="sans-serif">\n'
        f'<rect width="100%" height="100%" fill="white"/>\n{body}\n</svg>\n'
    )


def _bars(benchmark: Benchmark, rows: list[Row]) -> tuple[str, list[tuple[str, float, str]]]:
    """The reference, and (name, ratio, note) of each who has a ratio to it."""
    head = benchmark.columns[0]
    for reference in benchmark.references:
        bars = [
            (
                row.client,
                row.ratios[reference],
                f"{row.figures[head.figure][1] / head.unit:.{head.digits}f} {head.title}",
            )
            for row in rows
            if reference in row.ratios
        ]
        if bars:
            return reference, bars
    return "", []


def _bar(name: str, ratio: float, note: str, share: float, top: float) -> str:
    length = max(1.0, BAR * share)
    fill = OURS if name.startswith("aioss-resume") else THEIRS
    return "\n".join(
        [
            _text(LABEL - 8, top + 15, name, anchor="end"),
            f'<rect x="{LABEL}" y="{top + 3}" width="{length:.1f}" height="{LINE - 6}" fill="{fill}"/>',
            _text(LABEL + length + 6, top + 15, f"{ratio:.2f} ({note})", size=11),
        ]
    )


def _text(
    x: float,
    y: float,
    words: str,
    *,
    size: int = 12,
    anchor: str = "start",
    weight: str = "normal",
    fill: str = TEXT,
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" '
        f'font-weight="{weight}" fill="{fill}">{escape(words)}</text>'
    )
