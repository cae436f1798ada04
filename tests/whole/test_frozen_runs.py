"""A frozen job sees the code of its start to its end, whatever is saved meanwhile."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.hub.laptop import Laptop
from tests.lsp.editor import Editor
from tests.lsp.test_run import said
from tests.servers.box import Box

MAIN = """\
import multiprocessing, os, sys, time
import helper
from pkg import inner
VERSION = {version}

def work(queue):
    import lazy
    from pkg import late
    queue.put([VERSION, helper.VERSION, inner.VERSION, lazy.VERSION, late.VERSION])

if __name__ == "__main__":
    print("begun", flush=True)
    while not os.path.exists("go"):
        time.sleep(0.02)
    import lazy
    from pkg import late
    spawn = multiprocessing.get_context("spawn")
    queue = spawn.Queue()
    worker = spawn.Process(target=work, args=(queue,))
    worker.start()
    print(*queue.get())
    worker.join()
    print(VERSION, helper.VERSION, inner.VERSION, lazy.VERSION, late.VERSION)
    print(os.getcwd(), open("data.txt").read().strip(), sys.argv[1:])
    open("result.txt", "w").write("made")
    raise SystemExit(helper.fail())
"""

MODULE = "VERSION = {version}\n\ndef fail():\n    raise ValueError('as it must')\n"
MODULES = ("helper.py", "lazy.py", "pkg/inner.py", "pkg/late.py")


def texts(version: int) -> dict[str, str]:
    main = MAIN.format(version=version)
    modules = dict.fromkeys(MODULES, MODULE.format(version=version))
    return {"main.py": main, "pkg/main.py": main, **modules}


@pytest.fixture
def project(nearby: Laptop) -> Laptop:
    for path, text in {
        **texts(0),
        "pkg/__init__.py": "",
        "data.txt": "data of the project",
    }.items():
        nearby.write(path, text)
    return nearby


TARGETS: dict[str, dict[str, Any]] = {
    "a script": {"target": "main.py"},
    "a module": {"target": "pkg.main", "module": True},
}


@pytest.mark.parametrize("how", ["a script", "a module"])
async def test_workers_and_late_imports_see_the_code_of_the_start(
    project: Laptop, editor: Editor, embedded: Box, how: str
) -> None:
    """Spawned workers, imports at the end, behind 20 saves of every file."""
    there = embedded.home / "model"
    await editor.start()
    await editor.ready()
    job = await editor.request("sidecar/run", frozen=True, args=["--epochs", "3"], **TARGETS[how])
    await editor.wait("sidecar/output", lambda part: "begun" in part.data)
    for version in range(1, 21):
        for path, text in texts(version).items():
            editor.save(project.project / path, text)
    await editor.request("sidecar/sync")
    assert "VERSION = 20\n" in (there / "main.py").read_text()
    (there / "go").touch()
    end = await editor.wait("sidecar/exited", lambda one: one.job == job.job)
    begun, worker, itself, places = said(editor, job.job).splitlines()
    assert (begun, worker, itself) == ("begun", "0 0 0 0 0", "0 0 0 0 0")
    assert places == f"{there} data of the project ['--epochs', '3']"
    assert (there / "result.txt").read_text() == "made"
    # Tracebacks lead to the files here.
    assert end.error == "ValueError: as it must"
    assert end.frames[-1].path == str(project.project / "helper.py")
    assert end.frames[-1].local
    # The next run, which is not frozen, has today's.
    today = await editor.request("sidecar/run", args=[], **TARGETS[how])
    await editor.wait("sidecar/exited", lambda one: one.job == today.job)
    assert said(editor, today.job).splitlines()[1:3] == ["20 20 20 20 20"] * 2


def run(laptop: Laptop, *arguments: str) -> str:
    done = laptop.sidecar("run", *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_host_may_freeze_all_runs_and_a_run_may_say_otherwise(
    nearby: Laptop, embedded: Box
) -> None:
    with (nearby.project / "sidecar.local.toml").open("a") as settings:
        settings.write("freeze = true\n")
    nearby.write("main.py", "print(__file__)\n")
    assert "/.sidecar/frozen/" in run(nearby, "main.py")
    assert run(nearby, "--no-frozen", "main.py") == f"{embedded.home}/model/main.py\n"


def test_every_kind_of_target_is_led_to_the_copy(nearby: Laptop, embedded: Box) -> None:
    root = embedded.home / "model"
    nearby.write("main.py", "import lib\nprint(__file__, lib.__file__)\n")
    nearby.write("lib.py", "")
    nearby.write("sub/tool.py", "import sys\nprint(__file__, sys.path[0])\n")
    nearby.write("sub/__init__.py", "")
    nearby.write("test_it.py", "import lib\ndef test_it():\n    print(lib.__file__)\n")
    nearby.write("go.sh", 'echo "$0 $SIDECAR_FROZEN"\n')
    copy = run(nearby, "--frozen", "sh", "go.sh").split()[1]
    assert copy.startswith(f"{root}/.sidecar/frozen/")
    assert run(nearby, "--frozen", "sh", "./go.sh") == f"{copy}/./go.sh {copy}\n".replace(
        "/./", "/"
    )
    assert run(nearby, "--frozen", "main.py") == f"{copy}/main.py {copy}/lib.py\n"
    assert run(nearby, "--frozen", "python", "main.py") == f"{copy}/main.py {copy}/lib.py\n"
    assert run(nearby, "--frozen", "-m", "sub.tool") == f"{copy}/sub/tool.py {copy}\n"
    assert run(nearby, "--frozen", "sub/tool.py") == f"{copy}/sub/tool.py {copy}/sub\n"
    inside = nearby.sidecar("run", "--frozen", "-m", "tool", cwd=nearby.project / "sub")
    assert inside.stdout == f"{copy}/sub/tool.py {copy}/sub\n", inside.stderr


def test_what_lies_beside_the_code_is_the_projects(nearby: Laptop, embedded: Box) -> None:
    root = embedded.home / "model"
    nearby.write(".gitignore", "data/\n")
    nearby.write("conf.txt", "as of the start\n")
    nearby.write(
        "main.py",
        "import pathlib, time, os\n"
        "here = pathlib.Path(__file__).parent\n"
        "print((here / 'data/x.txt').read_text(), (here / 'conf.txt').read_text())\n"
        "(here / 'data/made.txt').write_text('made')\n",
    )
    assert nearby.sidecar("sync").returncode == 0
    (root / "data").mkdir()
    (root / "data/x.txt").write_text("their data")
    assert run(nearby, "--frozen", "main.py") == "their data as of the start\n\n"
    assert (root / "data/made.txt").read_text() == "made"


def test_a_copy_as_it_is_there_is_the_jobs_own(nearby: Laptop, embedded: Box) -> None:
    main = nearby.write("main.py", "print('mine')\n")
    assert nearby.sidecar("sync").returncode == 0
    (embedded.home / "model" / "main.py").write_text("print('theirs')\n")
    assert run(nearby, "--frozen", "--as-is", "main.py") == "theirs\n"
    assert main.read_text() == "print('mine')\n"
    folder = Path(embedded.home / "model" / ".sidecar" / "frozen")
    assert [path.name for path in folder.iterdir() if path.is_dir() and "." not in path.name]
