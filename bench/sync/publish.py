"""Brings what the repository shows of a run up to date: README's part, the chart, all figures in
bench/README.md, and the JSON that they come from."""

from __future__ import annotations

from pathlib import Path

from bench.sync import chart, table
from bench.sync.results import Report, from_json, to_json

HERE = Path(__file__).parent
FIGURES, CHART = HERE / "published.json", HERE / "published.svg"
README, ALL = HERE.parents[1] / "README.md", HERE.parent / "README.md"

BEGIN = "<!-- figures of bench/sync: `python -m bench sync --publish` writes them -->"
END = "<!-- end of the figures -->"


def publish(report: Report) -> None:
    """Raises ValueError: a page has no place for them."""
    pages = {
        README: _page(README.read_text(encoding="utf-8"), short(report)),
        ALL: _page(ALL.read_text(encoding="utf-8"), full(report)),
    }
    for path, text in pages.items():
        path.write_text(text, encoding="utf-8")
    FIGURES.write_text(to_json(report), encoding="utf-8")
    CHART.write_text(chart.svg(report), encoding="utf-8")


def published() -> Report:
    return from_json(FIGURES.read_text(encoding="utf-8"))


def short(report: Report) -> str:
    return (
        f"{_of_what(report)}\n\n"
        f"![Times until a change is there, by workload, link and program]"
        f"({CHART.relative_to(README.parent)})\n\n"
        f"{table.beside_the_best(report)}"
    )


def full(report: Report) -> str:
    return f"{_of_what(report)}\n\n{table.markdown(report)}\n\n{table.ours_alone(report)}"


def part(page: str) -> str:
    """What stands between the marks."""
    _, begin, rest = page.partition(BEGIN)
    inside, end, _ = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page lacks {BEGIN!r} and {END!r}")
    return inside.strip()


def _page(page: str, figures: str) -> str:
    return page.replace(f"{BEGIN}{_between(page)}{END}", f"{BEGIN}\n\n{figures}\n\n{END}")


def _between(page: str) -> str:
    part(page)
    return page.partition(BEGIN)[2].partition(END)[0]


def _of_what(report: Report) -> str:
    machine = ", ".join(
        said for name, said in report.machine.items() if name not in ("sidecar", "load")
    )
    rounds = max((len(one.samples) for one in report.results), default=0)
    return (
        f"Medians of one run ({report.when[:10]}, up to {rounds} rounds; {machine}). A real sshd "
        "at the far end of a line: bare (lan, 0.06 ms there and back), 20 ms at 100 Mbit/s, 80 ms "
        "at 50 Mbit/s. Connections were up before, but where it says cold or cut."
    )
