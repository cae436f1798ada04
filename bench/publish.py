"""Brings what the repository shows of a run up to date: README's part, the chart, all figures in
bench/README.md, and the JSON that they come from."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from bench import chart, table
from bench.results import Report, from_json, to_json

ALL = Path(__file__).with_name("README.md")
README = ALL.parents[1] / "README.md"

END = "<!-- end of the figures -->"


class Pages(NamedTuple):
    """Where the figures of one suite are shown. `folder`: its own. `chart`: what that shows.
    `baselines`: as in table.beside_the_best."""

    suite: str
    folder: Path
    chart: str
    baselines: tuple[str, ...] = ()

    @property
    def begin(self) -> str:
        return (
            f"<!-- figures of bench/{self.suite}: `python -m bench {self.suite} --publish` writes "
            "them -->"
        )

    @property
    def figures(self) -> Path:
        return self.folder / "published.json"

    @property
    def drawing(self) -> Path:
        return self.folder / "published.svg"

    def publish(self, report: Report) -> None:
        """Raises ValueError: a page has no place for them."""
        texts = {
            README: self._page(README.read_text(encoding="utf-8"), self.short(report)),
            ALL: self._page(ALL.read_text(encoding="utf-8"), self.full(report)),
        }
        for path, text in texts.items():
            path.write_text(text, encoding="utf-8")
        self.figures.write_text(to_json(report), encoding="utf-8")
        self.drawing.write_text(chart.svg(report), encoding="utf-8")

    def published(self) -> Report:
        return from_json(self.figures.read_text(encoding="utf-8"))

    def short(self, report: Report) -> str:
        drawing = self.drawing.relative_to(README.parent)
        return (
            f"{_of_what(report)}\n\n![{self.chart}]({drawing})\n\n"
            f"{table.beside_the_best(report, self.baselines)}"
        )

    @staticmethod
    def full(report: Report) -> str:
        return f"{_of_what(report)}\n\n{table.markdown(report)}\n\n{table.ours_alone(report)}"

    def part(self, page: str) -> str:
        """What stands between the marks."""
        return self._between(page).strip()

    def _page(self, page: str, figures: str) -> str:
        return page.replace(
            f"{self.begin}{self._between(page)}{END}", f"{self.begin}\n\n{figures}\n\n{END}"
        )

    def _between(self, page: str) -> str:
        _, begin, rest = page.partition(self.begin)
        inside, end, _ = rest.partition(END)
        if not begin or not end:
            raise ValueError(f"the page lacks {self.begin!r} and {END!r}")
        return inside


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
