from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from sidecar.core.tracebacks import Traceback, TracebackParser

TESTS = """\
import sys
import lib, pytest

def test_assert():
    assert {"a": 1} == {"a": 2}, "msg"

class TestX:
    def test_deep(self):
        lib.g(1)

def test_chain():
    try:
        lib.g(1)
    except ValueError as error:
        print('Traceback (most recent call last):\\n  File "x", line 3, in f\\nKeyError: 3')
        raise KeyError("k") from error

@pytest.fixture
def broken():
    raise RuntimeError("fix")

def test_with_it(broken):
    pass

def test_good():
    pass
"""
LIB = "def g(x):\n    if x:\n        raise ValueError('two\\nlines')\n"

REPORT = b"""\
=================================== FAILURES ===================================
__________________________________ test_deep ___________________________________

    def test_deep():
>       g(1)

tests/test_x.py:5:
_ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _

    def g(x):
>       raise ValueError("no")
E       ValueError: no

lib.py:3: ValueError
----------------------------- Captured stdout call -----------------------------
tests/other.py:9: ValueError
=========================== short test summary info ============================
FAILED tests/test_x.py::test_deep - ValueError: no
"""


def parsed(output: bytes) -> list[Traceback]:
    parser = TracebackParser()
    parser.feed(output)
    return parser.results()


def ran(folder: Path, *options: str) -> list[Traceback]:
    """What is found in what this machine's pytest prints."""
    (folder / "tests").mkdir(exist_ok=True)
    (folder / "lib.py").write_text(LIB)
    (folder / "tests" / "test_a.py").write_text(TESTS)
    (folder / "conftest.py").write_text("")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *options, "tests"],
        cwd=folder, capture_output=True, check=False,
    )  # fmt: skip
    return parsed(done.stdout)


def test_a_failure_has_its_test_its_calls_and_its_message() -> None:
    (found,) = parsed(REPORT)
    assert found.calls == [("tests/test_x.py", 5, ""), ("lib.py", 3, "")]
    assert (found.test, found.error) == ("test_deep", "ValueError: no")


@pytest.mark.parametrize("options", [(), ("--tb=short",), ("--color=yes", "-v"), ("-n", "1")])
def test_what_this_pytest_prints_is_understood(tmp_path: Path, options: tuple[str, ...]) -> None:
    found = {one.test: one for one in ran(tmp_path, *options)}
    places = {test: [call[:2] for call in one.calls] for test, one in found.items()}
    assert places == {
        "ERROR at setup of test_with_it": [("tests/test_a.py", 20)],
        "test_assert": [("tests/test_a.py", 5)],
        "TestX.test_deep": [("tests/test_a.py", 9), ("lib.py", 3)],
        "test_chain": [("tests/test_a.py", 16)],
    }
    assert "{'a': 1} == {'a': 2}" in found["test_assert"].message
    assert found["TestX.test_deep"].message == "ValueError: two\nlines"
    assert found["test_chain"].error == "KeyError: 'k'"


def test_pythons_own_style_is_read_as_tracebacks(tmp_path: Path) -> None:
    found = ran(tmp_path, "--tb=native")
    assert [one.error for one in found if not one.kind] == [
        "RuntimeError: fix",
        "AssertionError: msg",
        "ValueError: two",
        "KeyError: 'k'",
    ]
    assert found[0].message == "RuntimeError: fix"


def test_a_file_that_cannot_be_imported_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_b.py").write_text("import nothing_there\n")
    found = next(one for one in ran(tmp_path) if "test_b" in one.test)
    assert found.error == "ModuleNotFoundError: No module named 'nothing_there'"
    assert found.calls[-1] == ("tests/test_b.py", 1, "<module>")
