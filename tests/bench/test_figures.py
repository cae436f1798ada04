"""The parts of bench that measure nothing: figures, tables, chart, aims, pages."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable

import pytest

from bench import chart, publish, table, verdict
from bench.__main__ import SUITES
from bench.results import NOT_TOLD, Report, Result, from_json, percentile, to_json
from bench.run import aims as run_aims
from bench.run import busy, cut, echo, output, start, status
from bench.suite import Suite
from bench.sync import aims, edits, idle, whole
from bench.sync.suite import SUITE


def result(
    workload: str, link: str, peer: str, samples: Iterable[float], unit: str = "ms", moved: int = 0
) -> Result:
    return Result(workload, link, peer, unit, tuple(samples), moved, moved // 2)


REPORT = Report(
    when="2026-01-02T03:04:05+00:00",
    machine={"sidecar": "sidecar 0.1.0", "cores": "2 cores", "load": "load 0.1"},
    results=[
        result(edits.SAVE, "80 ms", "rsync", [457, 460, 455], moved=5000),
        result(edits.SAVE, "80 ms", "sidecar", [45, 44, 46], moved=6000),
        result(edits.SAVE, "80 ms", NOT_TOLD, [57, 56, 58], moved=6000),
        result(edits.SAVE, "80 ms", "live sftp put", [207], moved=14_000),
        result(edits.SAVE, "lan", "sidecar", [3.5, 3.6, 30]),
        result(edits.SAVE, "lan", "live sftp put", [3.0]),
        result(whole.SWITCH, "80 ms", "sidecar", [900]),
        result(whole.SWITCH, "80 ms", "rsync -z", [930]),
        result(idle.HUB_MEMORY, "lan", "sidecar", [140], unit="MB"),
    ],
    left_out=["unison: not installed"],
)


def test_a_percentile_is_by_nearest_rank() -> None:
    samples = list(range(1, 21))
    assert percentile(samples, 0.95) == 19
    assert percentile(samples, 0.5) == 10
    assert percentile(samples, 1.0) == 20
    assert percentile([7], 0.95) == 7
    assert percentile([3, 1, 2], 0.95) == 3


def test_a_report_comes_back_from_its_json_as_it_was() -> None:
    assert from_json(to_json(REPORT)) == REPORT


def test_a_report_of_another_version_is_refused() -> None:
    with pytest.raises(ValueError, match="version"):
        from_json(to_json(REPORT).replace('"version": 1', '"version": 99'))


def test_links_and_peers_stand_in_their_order() -> None:
    assert REPORT.links() == ["lan", "80 ms"]
    assert REPORT.peers(edits.SAVE) == ["sidecar", NOT_TOLD, "rsync", "live sftp put"]


@pytest.mark.parametrize(
    ("value", "unit", "said"),
    [
        (3.614, "ms", "3.61 ms"),
        (45.04, "ms", "45.0 ms"),
        (457.4, "ms", "457 ms"),
        (999.6, "ms", "1.00 s"),
        (99_960, "ms", "100 s"),
        (0.31, "%", "0.31 %"),
    ],
)
def test_amounts_have_three_digits(value: float, unit: str, said: str) -> None:
    assert table.amount(value, unit) == said


@pytest.mark.parametrize(
    ("count", "said"), [(950, "950 B"), (12_345, "12.3 KB"), (999_600, "1.00 MB")]
)
def test_sizes_are_decimal(count: int, said: str) -> None:
    assert table.size(count) == said


def test_the_text_table_has_every_figure() -> None:
    text = table.text(REPORT)
    assert "45.0 ms (p95 46.0 ms) 9.00 KB" in text
    assert "140 MB" in text
    assert "·" in text  # rsync was not measured on lan


def test_the_short_table_sets_the_fastest_other_beside_ours() -> None:
    lines = table.beside_the_best(REPORT).splitlines()
    assert f"| {edits.SAVE} | **3.60 ms** (live sftp put 3.00 ms) |" in lines[2]
    assert "**45.0 ms** (live sftp put 207 ms)" in lines[2]
    assert not any(idle.HUB_MEMORY in line for line in lines)
    assert idle.HUB_MEMORY in table.ours_alone(REPORT)


def test_aims_are_held_against_what_was_measured_in_the_same_run() -> None:
    found = {(one.aim, one.link): one for one in aims.verdicts(REPORT)}
    assert found["save, p95: one way + 10 ms", "lan"].met is False
    assert found["save: against a live sftp put", "lan"].met is False
    tenth = found["save: a tenth of rsync", "80 ms"]
    assert (tenth.measured, tenth.limit) == (45, pytest.approx(45.7))
    assert tenth.met
    assert found["branch switch: against rsync -z", "80 ms"].limit == pytest.approx(310)
    assert not found[idle.HUB_MEMORY, "lan"].met
    assert "MISSED" in verdict.text(aims.verdicts(REPORT))


def test_a_run_may_take_what_the_interpreter_takes_and_a_share_for_each_file() -> None:
    large, key = start.workload(start.LARGE), busy.PRINTING.format(busy.KEY)
    report = REPORT._replace(
        results=[
            result(large, "20 ms", "sidecar", [81]),
            result(large, "20 ms", "sidecar run", [115]),
            result(large, "20 ms", start.COMMAND, [35]),
            result(large, "20 ms", start.INTERPRETER, [10]),
            result(echo.ECHO, "20 ms", "sidecar", [24.9]),
            result(busy.IDLE.format(busy.KEY), "20 ms", "sidecar run", [22]),
            result(key, "20 ms", "sidecar run", [60, 64]),
        ]
    )
    found = {one.aim: one for one in run_aims.verdicts(report)}
    ours, shell, typed, beside = (
        next(one for aim, one in found.items() if aim.startswith(begin))
        for begin in (f"{large}, sidecar:", f"{large}, sidecar run:", "a key's echo", "a key while")
    )
    assert (ours.limit, ours.met) == (80, False)
    assert (shell.limit, shell.met) == (115, True)
    assert (typed.limit, typed.met) == (25, True)
    assert (beside.limit, beside.met) == (63, False)


def test_what_a_job_prints_is_held_against_the_memory_of_each_process_and_a_cut_against_ssh() -> (
    None
):
    hub, agent = (output.MEMORY.format("1 GB", whose) for whose in ("hub", "agent"))
    report = REPORT._replace(
        results=[
            result(hub, "lan", "sidecar", [90, 160, 80], unit="MB"),
            result(agent, "lan", "sidecar", [30, 29, 31], unit="MB"),
            result(cut.CUT, "lan", "sidecar run", [1100]),
            result(cut.CUT, "lan", cut.COLD, [500]),
        ]
    )
    met = {one.aim.partition(":")[0]: one.met for one in run_aims.verdicts(report)}
    assert met == {hub: False, agent: True, cut.CUT: True}


def test_every_workload_of_runs_that_has_a_peer_or_a_bound_is_in_readmes_table() -> None:
    """Also where the command took part and no editor; a part of the work is no peer."""
    large = start.workload(start.LARGE)
    report = REPORT._replace(
        results=[
            result(output.PRINTED.format("1 GB"), "lan", "sidecar run", [30], unit="MB/s"),
            result(output.PRINTED.format("1 GB"), "lan", "ssh", [60], unit="MB/s"),
            result(large, "lan", "sidecar", [80]),
            result(large, "lan", start.WHOLE, [200]),
            result(large, "lan", start.INTERPRETER, [10]),
            result(status.STATUS, "lan", "sidecar", [70]),
            result(status.STATUS, "lan", status.PYTHON, [10]),
            result(busy.IDLE.format(busy.KEY), "lan", "sidecar run", [3, 4]),
        ]
    )
    short = SUITES["run"].pages.short(report)
    assert "| a job prints 1 GB | **30.0 MB/s** (ssh 60.0 MB/s) |" in short
    assert f"| {large} | **80.0 ms** ({start.WHOLE} 200 ms) |" in short
    assert "| status, from a shell | **70.0 ms** |" in short
    assert "| a key, idle line | 3.50 ms, p95 4.00 ms |" in table.ours_alone(report)


def test_the_chart_is_svg_with_a_bar_for_every_time_of_a_shared_workload() -> None:
    drawn = ElementTree.fromstring(chart.svg(REPORT))
    space = "{http://www.w3.org/2000/svg}"
    bars = list(drawn.iter(f"{space}rect"))
    timed = [one for one in REPORT.results if one.unit == "ms"]
    assert len(bars) == len(timed)
    titles = {title.text for title in drawn.iter(f"{space}title")}
    assert "12 KB saved, 80 ms, rsync: 457 ms" in titles
    assert all(float(bar.get("width", 0)) > 0 for bar in bars)
    right = float(drawn.get("width", 0))
    assert all(float(bar.get("x", 0)) + float(bar.get("width", 0)) < right for bar in bars)
    assert "prefers-color-scheme: dark" in chart.svg(REPORT)


def test_the_chart_of_nothing_is_a_document_all_the_same() -> None:
    empty = Report("", {}, [], [])
    assert ElementTree.fromstring(chart.svg(empty)).tag.endswith("svg")


@pytest.mark.parametrize("suite", SUITES.values(), ids=SUITES)
def test_the_pages_show_the_figures_that_were_published(suite: Suite) -> None:
    pages = suite.pages
    if not pages.figures.exists():  # nothing of that suite was published yet
        pages.part(publish.ALL.read_text(encoding="utf-8"))
        return
    report = pages.published()
    assert pages.part(publish.README.read_text(encoding="utf-8")) == pages.short(report)
    assert pages.part(publish.ALL.read_text(encoding="utf-8")) == pages.full(report)
    assert pages.drawing.read_text(encoding="utf-8") == chart.svg(report)


def test_a_page_without_a_place_for_figures_is_said() -> None:
    with pytest.raises(ValueError, match="lacks"):
        SUITE.pages.part("# A page")
