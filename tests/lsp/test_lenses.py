from __future__ import annotations

import pytest
from lsprotocol import types

from sidecar.lsp.lenses import Document, actions, lenses

MAIN = Document("/p/a.py", "import os\n\nif __name__ == '__main__':\n    main()\n")
TESTS = Document("/p/test_a.py", "class TestA:\n    def test_b(self):\n        pass\n")
CELLS = Document("/p/n.py", "# %% one\nx = 1\n# %% two\nx\n")


def selected(first: int, last: int, column: int = 0) -> types.Range:
    return types.Range(types.Position(first, 0), types.Position(last, column))


def shown(found: list[types.CodeLens]) -> list[tuple[int, str, object]]:
    return [
        (lens.range.start.line, lens.command.title, (lens.command.arguments or [None])[0])
        for lens in found
        if lens.command
    ]


def test_a_main_block_is_run_and_debugged_with_what_it_was_run_with_last() -> None:
    argument = {"target": "/p/a.py", "recall": True}
    assert shown(lenses(MAIN, "gpu1", ["--lr", "1"])) == [
        (2, "Run on gpu1 (--lr 1)", argument),
        (2, "Debug on gpu1 (--lr 1)", argument),
    ]
    assert shown(lenses(MAIN, "gpu1"))[0][1] == "Run on gpu1"
    assert len(shown(lenses(MAIN, "gpu1", ["x" * 200]))[0][1]) < 60


def test_tests_and_classes_of_them_are_run_by_their_names() -> None:
    assert shown(lenses(TESTS, "gpu1")) == [
        (0, "Run tests on gpu1", {"target": "/p/test_a.py::TestA"}),
        (0, "Debug tests on gpu1", {"target": "/p/test_a.py::TestA"}),
        (1, "Run test on gpu1", {"target": "/p/test_a.py::TestA::test_b"}),
        (1, "Debug test on gpu1", {"target": "/p/test_a.py::TestA::test_b"}),
    ]


def test_cells_are_run_by_their_lines() -> None:
    assert shown(lenses(CELLS, "gpu1")) == [
        (0, "Run cell on gpu1", {"target": "/p/n.py", "first": 1, "last": 2}),
        (2, "Run cell on gpu1", {"target": "/p/n.py", "first": 3, "last": 5}),
    ]


@pytest.mark.parametrize(
    ("only", "kinds"),
    [
        (None, ["source.sidecar.run", "source.sidecar.debug"]),
        (["source"], ["source.sidecar.run", "source.sidecar.debug"]),
        (["source.sidecar.run"], ["source.sidecar.run"]),
        (["quickfix"], []),
        (["source.side"], []),
    ],
)
def test_actions_are_offered_by_kind(only: list[str] | None, kinds: list[str]) -> None:
    assert [one.kind for one in actions(MAIN, "gpu1", only, selected(0, 0))] == kinds


@pytest.mark.parametrize(
    ("document", "where", "titles"),
    [
        (TESTS, selected(2, 2), ["Run test on gpu1", "Debug test on gpu1"]),
        (CELLS, selected(3, 3), ["Run cell on gpu1"]),
        (MAIN, selected(0, 1), ["Run selection on gpu1", "Run on gpu1", "Debug on gpu1"]),
        (Document("/p/notes.md", "text\n"), selected(0, 1), []),
    ],
)
def test_actions_are_those_of_the_place(
    document: Document, where: types.Range, titles: list[str]
) -> None:
    assert [one.title for one in actions(document, "gpu1", None, where)] == titles


@pytest.mark.parametrize(
    ("where", "lines"), [(selected(0, 2), (1, 2)), (selected(1, 1, 3), (2, 2))]
)
def test_a_selection_is_whole_lines(where: types.Range, lines: tuple[int, int]) -> None:
    command = actions(MAIN, "gpu1", None, where)[0].command
    assert command is not None
    assert command.arguments == [{"target": "/p/a.py", "first": lines[0], "last": lines[1]}]


def test_a_file_with_nothing_to_run_has_neither() -> None:
    nothing = Document("/p/a.py", "x = 1\n")
    assert lenses(nothing, "gpu1") == []
    assert actions(nothing, "gpu1", None, selected(0, 0)) == []
