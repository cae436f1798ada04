"""Which GPUs a run is given."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from sidecar.agent import machine
from sidecar.agent.failure import Failure
from sidecar.agent.jobs import claims, gpus
from sidecar.agent.supervisor import records
from tests.agent.jobs.test_gpus import A100S, LISTED, fake_tool

GIB = 1 << 30


def card(number: int, used: int = 0, percent: int = 0, *pids: int) -> gpus.Gpu:
    processes = tuple(gpus.Process(pid) for pid in pids)
    return gpus.Gpu(
        number, f"GPU-{number}", "H100", percent, used * GIB, 80 * GIB, processes=processes
    )


def test_the_freest_are_chosen() -> None:
    cards = [card(0, 4), card(1, 70, 90, 17), card(2), card(3, 2)]
    assert claims.pick(cards, {}, 2, False) == ["GPU-2", "GPU-3"]


def test_too_few_free_ones_are_refused_and_it_is_said_who_has_the_others() -> None:
    cards = [card(0), card(1, 70, 90, os.getpid()), card(2, 40)]
    with pytest.raises(Failure) as refused:
        claims.pick(cards, {"GPU-0": "1124-1-a"}, 1, False)
    assert refused.value.what == "0 of 3 GPUs are free, and 1 is wanted"
    assert "GPU 0: given to job 1124-1-a" in refused.value.why
    assert str(os.getpid()) in refused.value.why
    assert "GPU 2: 40 of 80 GB in use" in refused.value.why
    assert "--busy" in refused.value.fix


def test_busy_ones_are_shared_where_that_was_asked_for_ours_last() -> None:
    cards = [card(0), card(1, 70, 90, 17), card(2, 30, 20, 18)]
    assert claims.pick(cards, {"GPU-0": "1124-1-a"}, 2, True) == ["GPU-2", "GPU-1"]
    with pytest.raises(Failure, match="4 are wanted"):
        claims.pick(cards, {}, 4, True)


@pytest.fixture
def three(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """A machine with a tool that lists these cards."""

    def install(cards: str) -> None:
        table = f"--query-gpu=*) cat <<END\n{cards}END\n;;\n"
        script = f"case $1 in {table}-L) cat <<END\n{LISTED}END\n;;\nesac\n"
        fake_tool(tmp_path / "bin", script)

    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    return install


WHOLE = "".join(f"{n}, GPU-{n}, H100, 0, 4, 81920, 570.86.15, Disabled\n" for n in range(3))


def test_what_was_given_is_not_given_again_while_its_job_runs(
    three: Callable[[str], None], tmp_path: Path
) -> None:
    three(WHOLE)
    state = str(tmp_path / "state")
    first = claims.choose(state, "1124-1-a", 2, False)
    assert first == ["GPU-0", "GPU-1"]
    assert claims.choose(state, "1124-2-b", 1, False) == ["GPU-2"]
    with pytest.raises(Failure, match="free"):
        claims.choose(state, "1124-3-c", 1, False)
    assert set(claims.held(state)) == {"GPU-0", "GPU-1", "GPU-2"}
    # One that did not start, and one that has ended, hold nothing.
    claims.let_go(state, "1124-2-b")
    folder = records.folder(state, "1124-1-a")
    os.makedirs(folder)
    here = records.Process(os.getpid(), machine.start_time(os.getpid()))
    record = records.Record(
        "1124-1-a", ["x"], "/", [], False, {}, machine.here(), "h", "u", 1.0, here, here, ""
    )
    records.write(folder, record)
    assert set(claims.held(state)) == {"GPU-0", "GPU-1"}
    records.write(folder, record._replace(ended=2.0, status=0))
    assert claims.held(state) == {}


def test_runs_that_start_at_once_get_different_ones(
    three: Callable[[str], None], tmp_path: Path
) -> None:
    three(WHOLE)
    code = (
        "import sys; from sidecar.agent.jobs import claims; "
        "print(*claims.choose(*sys.argv[1:3], 1, False))"
    )
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path / "state"), f"1124-{number}-a"],
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(3)
    ]
    assert sorted(run.communicate(timeout=30)[0].strip() for run in runs) == [
        "GPU-0",
        "GPU-1",
        "GPU-2",
    ]


def test_slices_are_given_one_at_a_time_and_the_whole_gpu_never(
    three: Callable[[str], None], tmp_path: Path
) -> None:
    three(A100S.splitlines(keepends=True)[0])
    state = str(tmp_path / "state")
    with pytest.raises(Failure, match="one slice"):
        claims.choose(state, "1124-1-a", 2, False)
    assert claims.choose(state, "1124-1-a", 1, False)[0].startswith("MIG-ce86")
    assert claims.choose(state, "1124-2-b", 1, False)[0].startswith("MIG-a458")


def test_a_table_that_cannot_be_read_claims_nothing(
    three: Callable[[str], None], tmp_path: Path
) -> None:
    three(WHOLE)
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    (state / "gpus").write_text('{"GPU-0": 7, "GPU')
    assert claims.choose(str(state), "1124-1-a", 1, False) == ["GPU-0"]


def test_a_machine_without_gpus_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Failure, match="no GPU"):
        claims.choose(str(tmp_path), "1124-1-a", 1, False)
