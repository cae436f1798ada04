from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from sidecar.agent import machine
from sidecar.agent.failure import Failure
from sidecar.agent.jobs import frozen, frozen_path
from sidecar.core import identity
from tests.agent.laptop import ROOT, Laptop, after

NAME = "0123abcd"


@pytest.fixture
def laptop(tmp_path: Path) -> Iterator[Laptop]:
    laptop = Laptop(tmp_path / "code")
    laptop.directory("pkg")
    laptop.put("train.py", b"import pkg.a\n")
    laptop.put("pkg/a.py", b"A = 1\n")
    laptop.put("run.sh", b"#!/bin/sh\n", executable=True)
    laptop.link("latest", "pkg/a.py")
    yield laptop
    laptop.files.close()


def make(laptop: Laptop, name: str = NAME, upto: int | None = None, force: bool = False) -> Path:
    root, managed = laptop.files.place(ROOT)
    order = laptop.files.changes(ROOT)[1].order
    upto = laptop.seq if upto is None else upto
    return Path(frozen.make(root, managed, order, upto, name, force).path)


def prune(laptop: Laptop) -> None:
    frozen.prune(laptop.files.place(ROOT)[0], machine.here())


def test_a_copy_has_the_managed_files_and_leads_to_the_rest(laptop: Laptop) -> None:
    (laptop.folder / "data").mkdir()
    (laptop.folder / "data" / "big.bin").write_bytes(b"theirs")
    (laptop.folder / "pkg" / "weights.bin").write_bytes(b"w")
    copy = make(laptop)
    assert (copy / "train.py").read_text() == "import pkg.a\n"
    assert (copy / "pkg" / "a.py").read_text() == "A = 1\n"
    assert os.readlink(copy / "latest") == "pkg/a.py"
    assert os.readlink(copy / "data") == str(laptop.folder / "data")
    assert (copy / "pkg" / "weights.bin").read_bytes() == b"w"
    assert (copy / "pkg" / "weights.bin").is_symlink()
    assert not (copy / ".sidecar").exists()
    assert stat.S_IMODE((copy / "train.py").stat().st_mode) == 0o400
    assert stat.S_IMODE((copy / "run.sh").stat().st_mode) == 0o500


def test_the_projects_files_are_not_touched_by_it(laptop: Laptop) -> None:
    """A hard link to them would change their ctime, and the next barrier would find them changed;
    and what a program wrote in place would be in both."""
    before = identity.from_stat((laptop.folder / "train.py").lstat())
    copy = make(laptop)
    assert identity.from_stat((laptop.folder / "train.py").lstat()) == before
    with (laptop.folder / "train.py").open("a") as file:
        file.write("edited in place\n")
    assert (copy / "train.py").read_text() == "import pkg.a\n"


def test_a_later_save_does_not_change_it_and_the_next_copy_shares_what_is_the_same(
    laptop: Laptop,
) -> None:
    first = make(laptop)
    (first / "pkg" / "__pycache__").mkdir()
    (first / "pkg" / "__pycache__" / "a.cpython-311.pyc").write_bytes(b"made by Python")
    laptop.put("train.py", b"print(2)\n", after(2))
    second = make(laptop, "second")
    assert (first / "train.py").read_text() == "import pkg.a\n"
    assert (second / "train.py").read_text() == "print(2)\n"
    assert (first / "pkg/a.py").stat().st_ino == (second / "pkg/a.py").stat().st_ino
    assert (first / "pkg/a.py").stat().st_ino != (laptop.folder / "pkg/a.py").stat().st_ino
    assert (second / "pkg" / "__pycache__" / "a.cpython-311.pyc").read_bytes() == b"made by Python"


def test_the_same_code_has_one_copy(laptop: Laptop) -> None:
    copy = make(laptop)
    inode = (copy / "train.py").stat().st_ino
    assert make(laptop) == copy
    assert (copy / "train.py").stat().st_ino == inode


def test_what_came_behind_the_run_is_not_taken_for_its_code(laptop: Laptop) -> None:
    upto = laptop.seq
    laptop.put("train.py", b"later\n", after(2))
    with pytest.raises(frozen.Later):
        make(laptop, upto=upto)


def test_a_file_that_somebody_changed_is_told_and_nothing_is_left(laptop: Laptop) -> None:
    (laptop.folder / "pkg" / "a.py").write_text("theirs\n")
    with pytest.raises(frozen.Differs) as told:
        make(laptop)
    assert [path for path, _ in told.value.entries] == ["pkg/a.py"]
    assert os.listdir(laptop.folder / ".sidecar" / "frozen") == []
    copy = make(laptop, "as-it-is", force=True)
    assert (copy / "pkg" / "a.py").read_text() == "theirs\n"
    laptop.put("pkg/a.py", b"A = 2\n", after(3))


def test_a_large_file_is_no_code(laptop: Laptop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frozen, "LARGE", 100)
    laptop.put("large.bin", bytes(100))
    copy = make(laptop)
    assert os.readlink(copy / "large.bin") == str(laptop.folder / "large.bin")


def test_where_there_are_no_links_all_is_copied(
    laptop: Laptop, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise OSError(95, "no links here")

    monkeypatch.setattr(os, "link", refused)
    first, second = make(laptop), make(laptop, "second")
    assert (first / "train.py").stat().st_ino != (second / "train.py").stat().st_ino
    assert (second / "train.py").read_text() == "import pkg.a\n"


def test_the_last_copies_are_kept_and_those_that_hold_results(
    laptop: Laptop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frozen, "KEPT", 2)
    copies = [make(laptop, f"n{number}") for number in range(5)]
    for number, copy in enumerate(copies):
        os.utime(f"{copy}.entries", (number, number))
    (copies[0] / "plot.png").write_bytes(b"a program's own")
    (copies[1] / "__pycache__").mkdir()
    (copies[1] / "__pycache__" / "train.pyc").write_bytes(b"no result")
    prune(laptop)
    assert [copy.exists() for copy in copies] == [True, False, False, True, True]
    root = laptop.files.place(ROOT)[0]
    with pytest.raises(Failure, match="not kept"):
        frozen.find(root, "n1")
    assert frozen.find(root, "n4").path == str(copies[4])
    names = os.listdir(laptop.folder / ".sidecar" / "frozen")
    assert not [name for name in names if name.startswith("n1")]


@pytest.mark.parametrize("name", ["", "..", "a/b", "x" * 200, "A"])
def test_a_name_is_no_path(laptop: Laptop, name: str) -> None:
    with pytest.raises(Failure):
        make(laptop, name)


def test_what_python_searches_in_the_project_is_searched_in_the_copy(laptop: Laptop) -> None:
    laptop.directory("src")
    laptop.put("src/lib.py", b"")
    (laptop.folder / ".venv" / "lib").mkdir(parents=True)
    copy, root = make(laptop), str(laptop.folder)
    env = {
        "PYTHONPATH": f"{root}/src:/elsewhere:{root}/.venv/lib:{root}/none",
        "PATH": "/nowhere",
    }
    changed = frozen_path.lead(env, root, str(copy), "pkg")
    assert changed["PYTHONPATH"] == f"{copy}/pkg:{copy}/src:{env['PYTHONPATH']}"
    assert changed["SIDECAR_FROZEN"] == str(copy)
    assert "PYTHONPATH" not in frozen_path.lead({"PATH": "/nowhere"}, root, str(copy), "")
