from __future__ import annotations

import ast
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.hub import outline

TESTS = """\
'''
def test_in_a_string(): ...
'''
import pytest

def helper():
    def test_inside(): ...

@pytest.mark.slow
async def test_top():
    assert 1

class TestModel:
    x = 1

    def test_fit(self):
        pass

    class TestInner:
        def test_deep(self): ...

class Helper:
    def test_not(self): ...

if True:
    def test_guarded(): ...

class Old(
    unittest.TestCase,
):
    def testCamel(self): ...
"""


def named(path: str, text: str) -> list[tuple[str, str, int]]:
    return [(one.kind, one.name, one.line) for one in outline.items(path, text)]


def test_tests_have_the_names_that_pytest_gives_them() -> None:
    assert [name for _, name, _ in named("test_x.py", TESTS)] == [
        "test_top",
        "TestModel",
        "TestModel::test_fit",
        "TestModel::TestInner",
        "TestModel::TestInner::test_deep",
        "test_guarded",
        "Old",
        "Old::testCamel",
    ]


def test_a_file_that_is_not_called_like_one_has_no_tests() -> None:
    assert named("train.py", "def test(model):\n    pass\n") == []
    assert not outline.is_run_by_pytest("/p/train.py", TESTS)


@pytest.mark.parametrize(
    ("line", "is_main"),
    [
        ('if __name__ == "__main__":', True),
        ("if __name__=='__main__' :", True),
        ('if (__name__ == "__main__"):', True),
        ("if '__main__' == __name__:", True),
        ('  if __name__ == "__main__":', False),
        ("if __name__ == \"__main__':", False),
        ('# if __name__ == "__main__":', False),
        ('"""\nif __name__ == "__main__":\n"""', False),
        ("if name == main:", False),
    ],
)
def test_a_main_block_is_seen_by_its_line(line: str, is_main: bool) -> None:
    assert (("main", "", 0) in named("a.py", line + "\n")) is is_main


def test_cells_go_from_mark_to_mark() -> None:
    text = "import os\n# %% load\nx = 1\n#%%\nx\n    # %% no\n# In[3]:\nx\n"
    cells = [(one.line, one.end, one.name) for one in outline.items("a.py", text)]
    assert cells == [(1, 3, "load"), (3, 6, ""), (6, 9, "3")]
    found = outline.items("a.py", text)
    assert outline.cell_at(found, 0) is None
    assert outline.cell_at(found, 2) == found[0]


@pytest.mark.parametrize(
    ("line", "name"),
    [(1, ""), (9, "test_top"), (13, "TestModel"), (16, "TestModel::test_fit"), (5, "")],
)
def test_the_test_at_the_cursor(line: int, name: str) -> None:
    found = outline.test_at(outline.items("test_x.py", TESTS), TESTS.splitlines(), line)
    assert (found.name if found else "") == name


def test_a_test_file_is_for_pytest_unless_it_is_a_script() -> None:
    assert outline.is_run_by_pytest("/p/test_x.py", TESTS)
    assert not outline.is_run_by_pytest("/p/test_gpu.py", "import torch\nprint(torch)\n")
    script = "def test_x(): ...\nif __name__ == '__main__':\n    test_x()\n"
    assert not outline.is_run_by_pytest("/p/test_x.py", script)


def test_a_file_that_is_being_edited_still_has_an_outline() -> None:
    broken = "def test_a(:\n    x = (\n\n'''\ndef test_b():\n    pass\n"
    assert [name for _, name, _ in named("test_x.py", broken)] == ["test_a", "test_b"]


@given(st.text(alphabet="\"'#\\ \n\tdefclassif_Tt%:()", max_size=300))
def test_any_text_has_an_outline_with_lines_that_are_there(text: str) -> None:
    lines = text.count("\n") + 1
    for item in outline.items("test_x.py", text):
        assert 0 <= item.line < item.end <= lines


def by_ast(text: str) -> list[tuple[int, str]]:
    def walk(body: list[ast.stmt], names: list[str]) -> Iterator[tuple[int, str]]:
        for node in body:
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                if node.name.startswith("test"):
                    yield node.lineno - 1, "::".join([*names, node.name])
            elif isinstance(node, ast.ClassDef):
                if node.name.startswith("Test") or any(
                    "TestCase" in ast.unparse(base) for base in node.bases
                ):
                    yield node.lineno - 1, "::".join([*names, node.name])
                    yield from walk(node.body, [*names, node.name])
            else:
                for part in ("body", "orelse", "finalbody"):
                    yield from walk(getattr(node, part, []), names)
                for handler in getattr(node, "handlers", []):
                    yield from walk(handler.body, names)

    return sorted(walk(ast.parse(text).body, []))


FILES = sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py"))


@pytest.mark.parametrize("path", [*FILES[::8], Path(__file__)], ids=lambda path: path.name)
def test_real_files_have_the_outline_that_their_syntax_tree_has(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    found = outline.items("test_x.py", text)
    tests = sorted((one.line, one.name) for one in found if one.kind in ("test", "tests"))
    assert tests == by_ast(text)
