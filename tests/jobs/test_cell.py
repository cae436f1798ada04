from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sidecar.errors import UsageError
from sidecar.jobs import cell
from tests.remote.pythons import PYTHONS


def run(
    path: Path, first: int, code: str, *args: str, python: str = sys.executable
) -> subprocess.CompletedProcess[str]:
    lines = code.splitlines(keepends=True)
    command = cell.command(python, str(path), first, first + len(lines) - 1, args)
    environ = {**os.environ, cell.VARIABLE: cell.variable(str(path), first, lines)}
    return subprocess.run(
        command, env=environ, cwd=path.parent, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("python", PYTHONS)
def test_a_cell_runs_as_the_files_own_lines_and_prints_its_last_value(
    tmp_path: Path, python: str
) -> None:
    tmp_path = tmp_path / "model"
    (tmp_path / "pkg").mkdir(parents=True)
    (tmp_path / "pkg" / "near.py").write_text("WORD = 'near'\n")
    script = tmp_path / "pkg" / "a.py"
    code = (
        "import os, sys, near\n"
        "print(near.WORD, sys.argv[1:], __name__, os.path.basename(__file__))\n"
        "assert 'SIDECAR_CELL' not in os.environ\n"
        "sorted(one for one in globals() if not one.startswith('__'))\n"
    )
    done = run(script, 7, code, "--lr", "1", python=python)
    assert done.stderr == ""
    assert done.stdout == "near ['--lr', '1'] __main__ a.py\n['near', 'os', 'sys']\n"


@pytest.mark.parametrize("python", PYTHONS)
def test_a_traceback_has_the_files_lines_and_nothing_of_ours(tmp_path: Path, python: str) -> None:
    script = tmp_path / "a.py"
    script.write_text("\n" * 9 + "def f():\n    raise ValueError('no')\nf()\n")
    done = run(script, 10, "def f():\n    raise ValueError('no')\nf()\n", python=python)
    assert done.returncode == 1
    lines = [line for line in done.stderr.splitlines() if "File " in line]
    assert lines == [
        f'  File "{script}", line 12, in <module>',
        f'  File "{script}", line 11, in f',
    ]
    assert "raise ValueError('no')" in done.stderr


@pytest.mark.parametrize("python", PYTHONS)
def test_a_syntax_error_in_a_cell_names_its_line(tmp_path: Path, python: str) -> None:
    done = run(tmp_path / "a.py", 20, "x = 1\ny = (\n", python=python)
    assert done.returncode == 1
    assert done.stderr.startswith(f'  File "{tmp_path}/a.py", line 21')


def test_lines_of_a_block_run_with_their_strings_as_they_are(tmp_path: Path) -> None:
    code = "        text = '''\n  two'''\n        print(repr(text))\n"
    assert run(tmp_path / "a.py", 8, code).stdout == "'\\n  two'\n"
    assert run(tmp_path / "a.py", 1, "  print(1)\n").stdout == "1\n"


def test_a_future_statement_holds_to_the_cells_end(tmp_path: Path) -> None:
    code = "from __future__ import annotations\ndef f(x: nothing): ...\nf.__annotations__\n"
    assert run(tmp_path / "a.py", 1, code).stdout == "{'x': 'nothing'}\n"


def test_exit_status_and_interrupts_are_a_programs(tmp_path: Path) -> None:
    assert run(tmp_path / "a.py", 1, "raise SystemExit(3)\n").returncode == 3
    assert run(tmp_path / "a.py", 1, "raise KeyboardInterrupt\n").returncode == -2


def test_a_cell_without_its_lines_says_so(tmp_path: Path) -> None:
    command = cell.command(sys.executable, "/a.py", 1, 2, [])
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, f"{cell.GONE}\n")


def test_nothing_and_too_much_are_refused() -> None:
    with pytest.raises(UsageError, match="nothing to run"):
        cell.variable("/a.py", 1, ["\n", "  \n"])
    with pytest.raises(UsageError, match="too many for a cell"):
        cell.variable("/a.py", 1, [f"{os.urandom(500).hex()}\n" for _ in range(400)])


def test_a_list_of_jobs_shows_a_cell_by_its_file_and_lines() -> None:
    argv = cell.command("/env/bin/python", "/srv/model/a.py", 3, 9, ["--lr", "1"])
    assert cell.shown(argv) == ["/env/bin/python", "/srv/model/a.py:3-9", "--lr", "1"]
    assert cell.shown(["srun", "-n1", *argv])[2:] == cell.shown(argv)
    other = ["python", "-c", "print(1)"]
    assert cell.shown(other) == other
