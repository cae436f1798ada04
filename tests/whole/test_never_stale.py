"""Save and run, again and again without a pause: what runs is what was saved, never less.

The program says which version each of its parts is: its own text by a digest and by what was
executed, and modules by what was executed, which Python may take from a `.pyc`. All versions of a
file have one size, and many are made within one second, by whose whole number Python trusts a
`.pyc`. It is allowed to write them.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path

import pytest

from tests.hub.laptop import Laptop
from tests.lsp.editor import Editor
from tests.lsp.test_run import said
from tests.servers.box import Box

ROUNDS = 500
"""A save and a run to its end take 0.1 s."""

MAIN = """\
VERSION = "{version:06}"
import hashlib, pathlib, sys
import first
from package import second
sys.path.insert(0, "late")
import third
own = hashlib.sha256(pathlib.Path(__file__).read_bytes()).hexdigest()
print(VERSION, first.VERSION, second.VERSION, third.VERSION, own, sys.dont_write_bytecode)
"""

MODULE = 'VERSION = "{version:06}"\n'
MODULES = ("first.py", "package/second.py", "late/third.py")


class Versions:
    """The files of the program, each in a version of its own."""

    def __init__(self, laptop: Laptop) -> None:
        self.laptop = laptop
        self.latest = dict.fromkeys(("main.py", *MODULES), 0)
        laptop.write("package/__init__.py", "")
        for path in self.latest:
            laptop.write(path, self.text(path))

    def text(self, path: str) -> str:
        form = MAIN if path == "main.py" else MODULE
        return form.format(version=self.latest[path])

    def next(self, path: str, number: int) -> str:
        self.latest[path] = number
        return self.text(path)

    @property
    def expected(self) -> str:
        versions = " ".join(f"{number:06}" for number in self.latest.values())
        own = hashlib.sha256(self.text("main.py").encode()).hexdigest()
        return f"{versions} {own} False\n"


async def ran(editor: Editor, path: Path, *args: str) -> str:
    """What it printed; all of it, also where it failed."""
    job = (await editor.request("sidecar/run", target=str(path), args=list(args))).job
    await editor.wait("sidecar/exited", lambda end: end.job == job)
    output = said(editor, job) + said(editor, job, "stderr")
    for told in editor.told.values():  # or looking for the next one takes longer each time
        told.clear()
    return output


@pytest.fixture
def versions(nearby: Laptop, monkeypatch: pytest.MonkeyPatch) -> Versions:
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    return Versions(nearby)


def changed_outside(target: Path, text: str, how: int) -> None:
    """By a write in place, by a rename over it, and by `mv` of a file that is older than the one
    before."""
    aside = target.with_name(f"{target.name}.new")
    if how == 0:
        target.write_text(text)
        return
    aside.write_text(text)
    if how == 1:
        aside.replace(target)
    else:
        past = 1_600_000_000 + hash(text) % 1_000_000
        os.utime(aside, (past, past))
        subprocess.run(["mv", aside, target], check=True)


@pytest.mark.timeout(600)  # 40 s, where nothing else runs
async def test_what_was_saved_is_what_runs_500_times_in_a_row(
    versions: Versions, editor: Editor
) -> None:
    """The program or one of its modules changes just before each run: in turns as an editor saves,
    and outside of it, where no editor tells and no watcher is waited for."""
    project = versions.laptop.project
    main = project / "main.py"
    await editor.start()
    await editor.ready()
    order = list(versions.latest)
    for number in range(1, ROUNDS + 1):
        path = order[number % len(order)]
        text = versions.next(path, number)
        if number // len(order) % 2:
            editor.save(project / path, text)
        else:
            changed_outside(project / path, text, number % 3)
        assert await ran(editor, main) == versions.expected, f"round {number}"


@pytest.mark.timeout(180)
async def test_a_large_upload_under_way_makes_no_run_stale_nor_half(
    versions: Versions, editor: Editor, embedded: Box
) -> None:
    """Each run also waits for the large file that was written before it."""
    project = versions.laptop.project
    laptop = versions.laptop
    laptop.write(
        "whole.py",
        "import hashlib\nprint(hashlib.sha256(open('data.bin','rb').read()).hexdigest())\n",
    )
    await editor.start()
    await editor.ready()
    for number in range(1, 6):
        data = os.urandom(1 << 20) * 24
        (project / "data.bin").write_bytes(data)
        editor.save(project / "first.py", versions.next("first.py", number))
        assert await ran(editor, project / "main.py") == versions.expected
        editor.save(project / "main.py", versions.next("main.py", number))
        assert await ran(editor, project / "main.py") == versions.expected
        assert await ran(editor, project / "whole.py") == hashlib.sha256(data).hexdigest() + "\n"
