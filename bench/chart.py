"""The chart: for each workload and link a group of bars, on a logarithmic scale of time.

An SVG of its own making, so that no plotting library is needed. Its colours follow the reader's
light or dark mode; ours stands out, and every bar has its figure beside it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from xml.sax.saxutils import escape

from bench.results import NOT_TOLD, OURS, Report, Result
from bench.table import amount

PANEL, LABELS, GAP, MARGIN = 268, 178, 14, 16
"""Widths: of a link's column, of the names in front, between columns, around it all."""

FIGURE = 58
"""Room for the figure behind the longest bar."""

BAR, STEP, TITLE, BETWEEN, HEAD = 9, 14, 20, 14, 62
"""Heights: of a bar, from bar to bar, of a workload's title, between workloads, above the first."""

STYLE = """
text { font: 11px system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; fill: #424a53 }
.title { font-size: 15px; font-weight: 600; fill: #1f2328 }
.link, .workload { font-weight: 600; fill: #1f2328 }
.name { text-anchor: end }
.ours.name, .ours.figure { font-weight: 600; fill: #1f2328 }
.tick { font-size: 9px; fill: #6e7781; text-anchor: middle }
.grid { stroke: #d0d7de; stroke-width: 1 }
rect { fill: #afb8c1 }
rect.ours { fill: #0969da }
rect.half { fill: #54aeff }
@media (prefers-color-scheme: dark) {
  text { fill: #b1bac4 }
  .title, .link, .workload, .ours.name, .ours.figure { fill: #f0f6fc }
  .tick { fill: #8b949e }
  .grid { stroke: #30363d }
  rect { fill: #57606a }
  rect.ours { fill: #58a6ff }
  rect.half { fill: #1f6feb }
}
"""


class Scale:
    """Logarithmic, of milliseconds, from the smallest to the largest that is shown."""

    def __init__(self, values: Sequence[float], width: float) -> None:
        # Half a decade below the smallest, so that a short bar is still a bar.
        self.low = math.log10(min(values)) - 0.5
        self.high = math.log10(max(values))
        self._unit = width / (self.high - self.low)

    def at(self, value: float) -> float:
        return max(1.0, (math.log10(value) - self.low) * self._unit)

    def ticks(self) -> list[float]:
        return [10.0**power for power in range(math.ceil(self.low), math.floor(self.high) + 1)]


def svg(report: Report, workloads: Sequence[str] = ()) -> str:
    """The chart of these workloads, or of all that were timed."""
    timed = [one for one in report.results if one.unit == "ms" and one.median > 0]
    names = [
        name
        for name in (workloads or report.workloads())
        if len({one.peer for one in timed if one.workload == name}) > 1
    ]
    timed = [one for one in timed if one.workload in names]
    if not timed:
        return _document(2 * MARGIN, 2 * MARGIN, [])
    links = report.links()
    scale = Scale([one.median for one in timed], PANEL - FIGURE)
    columns = {
        link: MARGIN + LABELS + place * (PANEL + GAP) + 8 for place, link in enumerate(links)
    }
    parts = [_text(MARGIN, 24, "Time until it is there, shorter is better", "title")]
    for link, x in columns.items():
        parts.append(_text(x, 46, link if link == "lan" else f"{link} round trip", "link"))
    y = float(HEAD)
    grid: list[str] = []
    for name in names:
        y += TITLE
        parts.append(_text(MARGIN, y - 6, name, "workload"))
        top = y
        for peer in [one for one in report.peers(name) if any(r.peer == one for r in timed)]:
            found = [report.find(name, link, peer) for link in links]
            if not any(found):
                continue
            parts.append(_text(MARGIN + LABELS, y + BAR, peer, f"name{_kind(peer)}"))
            for link, one in zip(links, found, strict=True):
                if one is not None:
                    parts += _bar(columns[link], y, one, scale)
            y += STEP
        for x in columns.values():
            grid += [_grid(x + scale.at(tick), top - 2, y) for tick in scale.ticks()]
        y += BETWEEN
    for x in columns.values():
        for tick in scale.ticks():
            parts.append(_text(x + scale.at(tick), y, _tick(tick), "tick"))
    width = MARGIN + LABELS + len(links) * (PANEL + GAP) + MARGIN
    return _document(width, y + MARGIN, [*grid, *parts])


def _bar(x: float, y: float, one: Result, scale: Scale) -> list[str]:
    length = scale.at(one.median)
    kind = _kind(one.peer)
    return [
        f'<rect class="{kind.strip()}" x="{x:g}" y="{y:.1f}" width="{length:.1f}" height="{BAR}"'
        f' rx="1.5"><title>{escape(_said(one))}</title></rect>',
        _text(x + length + 4, y + BAR, amount(one.median, one.unit), f"figure{kind}"),
    ]


def _said(one: Result) -> str:
    return f"{one.workload}, {one.link}, {one.peer}: {amount(one.median, one.unit)}"


def _kind(peer: str) -> str:
    return {OURS: " ours", NOT_TOLD: " half"}.get(peer, "")


def _tick(value: float) -> str:
    return f"{value:g} ms" if value < 1000 else f"{value / 1000:g} s"


def _grid(x: float, top: float, bottom: float) -> str:
    return f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{top:.1f}" y2="{bottom:.1f}"/>'


def _text(x: float, y: float, text: str, kind: str) -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}">{escape(text)}</text>'


def _document(width: float, height: float, parts: Sequence[str]) -> str:
    size = f'viewBox="0 0 {width:g} {height:g}" width="{width:g}" height="{height:g}"'
    label = "Times of the sidecar beside those of other programs, by workload and link"
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label="{label}">',
            f"<style>{STYLE}</style>",
            *parts,
            "</svg>",
            "",
        ]
    )
