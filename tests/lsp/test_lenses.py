from __future__ import annotations

import pytest

from sidecar.lsp import lenses

LINES = ["import os\n", "\n", "if __name__ == '__main__':\n", "    main()\n"]


@pytest.mark.parametrize(
    ("line", "is_main"),
    [
        ('if __name__ == "__main__":', True),
        ("if __name__=='__main__' :", True),
        ('  if __name__ == "__main__":', False),
        ("if __name__ == \"__main__':", False),
        ('# if __name__ == "__main__":', False),
        ("if name == main:", False),
    ],
)
def test_a_main_block_is_seen_by_its_line(line: str, is_main: bool) -> None:
    assert bool(lenses.main_lines([line])) is is_main


def test_lenses_stand_over_the_main_block_and_name_the_host() -> None:
    found = lenses.lenses("/p/a.py", LINES, "gpu1")
    assert {lens.range.start.line for lens in found} == {2}
    commands = [lens.command for lens in found if lens.command]
    assert [one.title for one in commands] == ["Run on gpu1", "Debug on gpu1"]
    assert commands[0].arguments == [{"target": "/p/a.py"}]


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
    assert [one.kind for one in lenses.actions("/p/a.py", LINES, "gpu1", only)] == kinds


def test_a_file_without_a_main_block_has_neither() -> None:
    assert lenses.lenses("/p/a.py", ["x = 1\n"], "gpu1") == []
    assert lenses.actions("/p/a.py", ["x = 1\n"], "gpu1", None) == []
