"""The loader takes over the name `sidecar`, so each test runs it in an interpreter of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from sidecar.agent import loader
from tests.remote.pythons import PYTHONS

LOADER = Path(loader.__file__).read_text()

BEGIN = """
import sys, types, threading
text = sys.argv[1]
loader = types.ModuleType("sidecar.agent.loader")
exec(compile(text, "sidecar/agent/loader.py", "exec"), loader.__dict__)
sys.modules[loader.__name__] = loader
"""


def run(body: str, python: str = sys.executable, cwd: Path | None = None) -> str:
    done = subprocess.run(
        [python, "-sSEB", "-c", BEGIN + body, LOADER],
        capture_output=True,
        text=True,
        timeout=30,
        cwd=cwd,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("python", PYTHONS)
def test_modules_are_imported_from_memory(python: str) -> None:
    sources = {"sidecar.core.a": "X = 1", "sidecar.agent.b": "from sidecar.core.a import X"}
    assert run(f"loader.install({sources}); import sidecar.agent.b as b; print(b.X)", python) == (
        "1\n"
    )


@pytest.mark.parametrize("python", PYTHONS)
def test_tracebacks_show_the_lines(python: str) -> None:
    sources = {"sidecar.agent.b": "def f():\n    return 1 / 0  # here\n"}
    shown = run(
        f"loader.install({sources}); import sidecar.agent.b, traceback\n"
        "try: sidecar.agent.b.f()\n"
        "except ZeroDivisionError: print(traceback.format_exc())",
        python,
    )
    assert 'File "sidecar/agent/b.py", line 2, in f' in shown
    assert "1 / 0  # here" in shown


def test_another_package_of_our_name_is_never_looked_at(tmp_path: Path) -> None:
    (tmp_path / "sidecar").mkdir()
    (tmp_path / "sidecar/__init__.py").write_text("raise SystemExit('the wrong one')")
    (tmp_path / "sidecar/other.py").write_text("raise SystemExit('the wrong one')")
    shown = run(
        "loader.install({'sidecar.core.a': 'print(1)'}); import sidecar.core.a\n"
        "try: import sidecar.other\n"
        "except ModuleNotFoundError as error: print(error)",
        cwd=tmp_path,
    )
    assert shown == "1\nsidecar.other is not among the modules that were sent\n"


@pytest.mark.parametrize("python", PYTHONS)
def test_whoever_waits_for_a_module_gets_it_when_it_comes(python: str) -> None:
    shown = run(
        "loader.install({}, ['sidecar.core.a', 'sidecar.core.b'])\n"
        "began = threading.Event()\n"
        "def late():\n"
        "    began.set(); loader.wait('sidecar.core.a')\n"
        "    import sidecar.core.a; print(sidecar.core.a.X)\n"
        "thread = threading.Thread(target=late); thread.start(); began.wait()\n"
        "import json.tool  # others import meanwhile\n"
        "print(loader.add({'sidecar.core.a': 'X = 1'})); thread.join()\n"
        "print(loader.add({'sidecar.core.b': 'print(2)'})); import sidecar.core.b",
        python,
    )
    assert shown.split() == ["False", "1", "True", "2"]


def test_what_does_not_come_is_an_import_error() -> None:
    shown = run(
        "loader.PATIENCE = 0.01; loader.install({}, ['sidecar.core.a'])\n"
        "try: loader.wait('sidecar.core.a')\n"
        "except ImportError as error: print(error)"
    )
    assert "did not arrive" in shown


def test_all_sources_can_be_handed_on() -> None:
    sources = {"sidecar.core.a": "", "sidecar.agent.loader": LOADER}
    later = {"sidecar.core.b": "x"}
    shown = run(
        f"import json; loader.install({sources}, {list(later)})\n"
        f"threading.Timer(0, loader.add, [{later}]).start()\n"
        "print(json.dumps(loader.sources()))"
    )
    assert json.loads(shown) == sources | later


def test_where_nothing_was_sent_the_packages_own_files_are_the_sources() -> None:
    sources = loader.sources()
    assert sources["sidecar.agent.loader"] == LOADER
    assert {name.split(".")[1] for name in sources} == {"core", "agent"}
