"""What `sidecar run` takes as its target, against a real machine."""

from __future__ import annotations

import sys

import pytest

from tests.hub.laptop import Laptop
from tests.servers.box import Box

TEST = """\
import os

def test_one():
    print("one in", os.getcwd())

class TestModel:
    def test_two(self):
        print("two")
"""


@pytest.fixture
def with_pytest(nearby: Laptop) -> Laptop:
    """Whose interpreter there is the one that runs this."""
    config = nearby.project / "sidecar.local.toml"
    config.write_text(config.read_text() + f'python = "{sys.executable}"\n')
    return nearby


PLAIN = ("-q", "-s", "-p", "no:cacheprovider")


def test_a_test_is_run_by_the_name_that_pytest_gives_it(with_pytest: Laptop) -> None:
    test = with_pytest.write("tests/test_x.py", TEST)
    done = with_pytest.sidecar("run", "test_x.py::TestModel::test_two", *PLAIN, cwd=test.parent)
    assert "two" in done.stdout, done
    assert "1 passed" in done.stdout
    done = with_pytest.sidecar("run", "tests/test_x.py::test_three", *PLAIN)
    assert done.returncode == 4  # pytest's, for what it does not find


def test_a_file_of_tests_is_run_by_pytest(with_pytest: Laptop, embedded: Box) -> None:
    with_pytest.write("tests/test_x.py", TEST)
    done = with_pytest.sidecar("run", "tests/test_x.py", *PLAIN)
    assert f"one in {embedded.home}/model\n" in done.stdout, done
    assert "2 passed" in done.stdout
    assert done.returncode == 0


def test_lines_of_a_file_run_as_a_cell(nearby: Laptop, embedded: Box) -> None:
    nearby.write("lib.py", "WORD = 'lib'\n")
    nearby.write("a.py", "raise SystemExit(9)\n# %%\nfrom lib import WORD\nx = WORD * 2\nx\n1/0\n")
    done = nearby.sidecar("run", "--lines", "3-5", "a.py")
    assert (done.returncode, done.stdout) == (0, "'liblib'\n"), done
    done = nearby.sidecar("run", "--lines", "6", "a.py")
    assert done.returncode == 1
    assert f'File "{embedded.home}/model/a.py", line 6, in <module>' in done.stderr
    assert "exec" not in done.stderr
    assert sorted(one.name for one in (embedded.home / "model").glob("*.py")) == ["a.py", "lib.py"]
    done = nearby.sidecar("run", "--lines", "x", "a.py")
    assert (done.returncode, "--lines 10-20" in done.stderr) == (125, True)
    done = nearby.sidecar("run", "--lines", "50-60", "a.py")
    assert (done.returncode, "nothing to run" in done.stderr) == (125, True)


def test_a_target_that_is_not_here_is_said_and_nothing_runs(nearby: Laptop, embedded: Box) -> None:
    nearby.write("train.py", "print(1)\n")
    done = nearby.sidecar("run", "trian.py")
    assert (done.returncode, done.stdout) == (125, "")
    assert "trian.py is no file here" in done.stderr
    assert "Did you mean train.py?" in done.stderr
    assert nearby.sidecar("run", "train.py").stdout == "1\n"
    (embedded.home / "model" / "there.py").write_text("print('only there')\n")
    assert nearby.sidecar("run", "there.py").returncode == 125
    assert nearby.sidecar("run", "--as-is", "there.py").stdout == "only there\n"


def test_a_script_that_is_ignored_is_refused_with_the_rule(nearby: Laptop) -> None:
    nearby.write(".gitignore", "*.log\nscratch/\n")
    nearby.write("scratch/x.py", "print(1)\n")
    done = nearby.sidecar("run", "scratch/x.py")
    assert done.returncode == 125
    assert ".gitignore:2 `scratch/` keeps it from box" in done.stderr


def test_a_script_outside_of_the_project_is_refused(nearby: Laptop) -> None:
    other = nearby.home / "other.py"
    other.write_text("print(1)\n")
    for name in (str(other), "../other.py"):
        done = nearby.sidecar("run", name)
        assert done.returncode == 125
        assert "is not in the project" in done.stderr


def test_a_syntax_error_is_pythons_to_tell(nearby: Laptop, embedded: Box) -> None:
    nearby.write("a.py", "def f(:\n")
    done = nearby.sidecar("run", "a.py")
    assert done.returncode == 1
    assert "SyntaxError" in done.stderr
    assert f'File "{embedded.home}/model/a.py", line 1' in done.stderr


def test_an_interpreter_without_the_module_says_so(nearby: Laptop) -> None:
    done = nearby.sidecar("run", "-m", "nothing_of_that_name")
    assert done.returncode == 1
    assert "No module named nothing_of_that_name" in done.stderr
    assert "sidecar: nothing_of_that_name is " in done.stderr  # where it is, or that it is nowhere
