"""The command of a frozen run, on each Python that the project may have there."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from sidecar import api
from sidecar.core import messages
from sidecar.core.pathmap import PathMap
from sidecar.hub import frozen, target
from tests.remote.pythons import PYTHONS

WHICH = """\
import multiprocessing, sys
WHICH = "{which}"

def work(queue):
    import late
    queue.put((WHICH, late.WHICH))

if __name__ == "__main__":
    spawn = multiprocessing.get_context("spawn")
    queue = spawn.Queue()
    worker = spawn.Process(target=work, args=(queue,))
    worker.start()
    print(*queue.get(), WHICH, sys.argv[1:], __spec__.name)
    worker.join()
"""


def command(root: Path, python: str, version: str, **asked: object) -> frozen.FrozenCommand:
    params = api.RunParams(**asked)  # type: ignore[arg-type]
    looked = target.look(params, str(root))
    found = messages.PythonFound(0, python, version, "")
    return frozen.command(params, PathMap([str(root)], [str(root)]), found, looked, None, "copy")


@pytest.mark.parametrize("python", PYTHONS)
def test_a_module_and_its_spawned_workers_come_from_the_copy(tmp_path: Path, python: str) -> None:
    copy = tmp_path / ".sidecar" / "frozen" / "copy"
    for folder, which in ((tmp_path, "live"), (copy, "frozen")):
        (folder / "pkg").mkdir(parents=True)
        (folder / "pkg" / "__init__.py").touch()
        (folder / "pkg" / "main.py").write_text(WHICH.format(which=which))
        (folder / "late.py").write_text(f"WHICH = {which!r}\n")
    version = subprocess.run([python, "-V"], capture_output=True, text=True, check=True).stdout
    made, ahead = command(
        tmp_path, python, version.split()[1], target="pkg.main", module=True, args=["--epochs", "3"]
    )
    assert ahead == "."
    done = subprocess.run(
        made.argv,
        cwd=made.cwd,
        env={**os.environ, "PYTHONPATH": str(copy)},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.stdout == "frozen frozen frozen ['--epochs', '3'] pkg.main\n", done.stderr


def test_scripts_tests_and_programs_are_named_in_the_copy(tmp_path: Path) -> None:
    copy = f"{tmp_path}/.sidecar/frozen/copy"
    for name in ("main.py", "run.sh"):
        (tmp_path / name).touch()
    (tmp_path / "test_it.py").write_text("def test_it():\n    pass\n")

    def argv(**asked: object) -> list[str]:
        made, _ = command(tmp_path, "/py", "3.12.1", cwd=str(tmp_path), **asked)
        assert made.cwd == str(tmp_path)
        return made.argv

    assert argv(target="main.py", args=["main.py"]) == ["/py", f"{copy}/main.py", "main.py"]
    assert argv(target="test_it.py::test_it") == [
        "/py", "-P", "-m", "pytest", f"{copy}/test_it.py::test_it"
    ]  # fmt: skip
    assert argv(target="torchrun", args=["main.py", "x.py"]) == [
        "torchrun", f"{copy}/main.py", "x.py"
    ]  # fmt: skip
    assert argv(target="./run.sh") == [f"{copy}/run.sh"]
    assert argv(target="ls", args=["-l"]) == ["ls", "-l"]
