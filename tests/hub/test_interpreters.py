from __future__ import annotations

from pathlib import Path

import pytest

from sidecar.hub.imports import conda_names, imported, needed
from sidecar.hub.interpreters import BY_DEFAULT, Row, decide


def row(name: str, kind: str = "conda", *, lacks: str = "", problem: str = "") -> Row:
    return Row(name, f"/{name}", name, kind, "3.11.7", lacks=lacks.split(), problem=problem)


@pytest.mark.parametrize(
    ("rows", "needed", "chosen", "why"),
    [
        ([row("a")], ["torch"], "a", "the only Python there"),
        ([row("a"), row("b", problem="x")], [], "a", "the only Python there"),
        (
            [row("a", lacks="torch"), row("b"), row("p", "login", lacks="torch")],
            ["numpy", "torch"],
            "b",
            "the only Python there with numpy, torch",
        ),
        ([row("a"), row("p", "login")], [], "p", BY_DEFAULT),
        ([row("a"), row("b"), row("p", "login", lacks="torch")], ["torch"], "", ""),
        ([row("a", lacks="torch"), row("b", lacks="torch")], ["torch"], "", ""),
        ([row("a"), row("b")], [], "", BY_DEFAULT),
        ([row("a", problem="x")], [], "", BY_DEFAULT),
        ([], ["torch"], "", ""),
    ],
)
def test_the_only_one_that_has_what_the_project_imports_is_chosen(
    rows: list[Row], needed: list[str], chosen: str, why: str
) -> None:
    found, source = decide(rows, needed)
    assert (found.name if found else "") == chosen
    if found:
        assert source == why


def test_imports_are_those_at_the_left_margin() -> None:
    text = (
        '"""from the start\nimport nothing of this\n"""\n'
        "import os, numpy as np, torch.nn\n"
        "from sklearn.svm import SVC\n"
        "from . import here\n"
        "from __future__ import annotations\n"
        "import json; import later\n"
        "try:\n    import optional\nexcept ImportError:\n    pass\n"
        "def f():\n    import lazy\n"
        "import x.y as z  # why\n"
    )
    assert imported(text) == {"os", "numpy", "torch", "sklearn", "json", "x"}


def test_a_project_needs_what_is_neither_its_own_nor_pythons(tmp_path: Path) -> None:
    (tmp_path / "src" / "digits").mkdir(parents=True)
    (tmp_path / "src" / "digits" / "model.py").write_text(
        "import torch\nimport helper\nimport re\n"
    )
    (tmp_path / "helper.py").write_text("import digits\n")
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / "x.py").write_text("import hidden\n")
    (tmp_path / "env").mkdir()
    (tmp_path / "env" / "pyvenv.cfg").write_text("")
    (tmp_path / "env" / "y.py").write_text("import inside\n")
    assert needed(tmp_path) == ["torch"]


def test_a_conda_environment_is_called_as_its_file_says_or_as_the_project(tmp_path: Path) -> None:
    assert conda_names(tmp_path) == [tmp_path.name]
    (tmp_path / "environment.yml").write_text("# x\nname: 'ml'  # y\ndependencies:\n  - python\n")
    assert conda_names(tmp_path) == ["ml", tmp_path.name]
