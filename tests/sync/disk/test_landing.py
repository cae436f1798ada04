from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sidecar.core.identity import Identity
from sidecar.core.paths import PathError
from sidecar.sync.disk import trash as trash_module
from sidecar.sync.disk.landing import LocalLanding, NotTaken, refuse_what_runs
from sidecar.sync.disk.local_files import Changed, lookup
from sidecar.sync.disk.trash import LocalTrash, TooLarge

PULL = "replaced by a pull"


class Landings:
    """A project's folder, and what comes into it."""

    def __init__(self, folder: Path) -> None:
        self.root, self.store = folder / "project", folder / "store"
        for each in (self.root, self.store):
            each.mkdir()
        self.trash = LocalTrash(self.store / "trash")
        self.landing = LocalLanding(self.root, self.store, self.trash)

    def land(
        self, path: str, content: str, expected: Identity | None = None, **given: Any
    ) -> Identity:
        staged = self.landing.stage()
        try:
            staged.file.write(content.encode())
            fields = {"mtime_ns": 5 * 10**9, "executable": False, "why": PULL, **given}
            return self.landing.file(path, staged, expected, **fields)
        finally:
            staged.discard()

    def at(self, path: str) -> Identity:
        found = lookup(self.root, path)
        assert found is not None
        return found

    def kept(self) -> list[tuple[str, str]]:
        return [(one.path, one.file.read_text()) for one in self.trash.entries()]

    def staging(self) -> list[Path]:
        return list((self.store / "incoming").iterdir())


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Landings]:
    made = Landings(tmp_path)
    yield made
    made.landing.close()


def test_a_new_file_lands_with_its_folders_time_and_bit(here: Landings) -> None:
    landed = here.land("pkg/run.sh", "#!/bin/sh\n", executable=True)
    assert (here.root / "pkg/run.sh").read_text() == "#!/bin/sh\n"
    assert landed == here.at("pkg/run.sh")
    assert (landed.executable, landed.mtime_ns) == (True, 5 * 10**9)
    assert here.staging() == []
    assert here.kept() == []


def test_what_is_replaced_is_kept_and_gives_its_mode(here: Landings) -> None:
    (here.root / "a").write_text("mine")
    (here.root / "a").chmod(0o640)
    here.land("a", "theirs", here.at("a"))
    assert (here.root / "a").read_text() == "theirs"
    assert stat.S_IMODE((here.root / "a").stat().st_mode) == 0o640
    assert here.kept() == [("a", "mine")]


def test_what_was_changed_since_the_plan_stays(here: Landings) -> None:
    (here.root / "a").write_text("mine")
    was = here.at("a")
    (here.root / "a").write_text("mine, edited")
    with pytest.raises(Changed):
        here.land("a", "theirs", was)
    assert (here.root / "a").read_text() == "mine, edited"
    assert here.kept() == []
    assert here.staging() == []


def test_what_was_made_since_the_plan_stays(here: Landings) -> None:
    (here.root / "a").write_text("mine")
    with pytest.raises(Changed):
        here.land("a", "theirs")
    assert (here.root / "a").read_text() == "mine"


def test_where_there_are_no_hard_links_nothing_is_replaced_either(
    here: Landings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(*arguments: Any, **options: Any) -> None:
        raise OSError(errno.EPERM, "no hard links")

    monkeypatch.setattr(os, "link", no_links)
    here.land("new", "theirs")
    assert (here.root / "new").read_text() == "theirs"
    with pytest.raises(Changed):
        here.land("new", "again")
    assert (here.root / "new").read_text() == "theirs"


def test_what_the_trash_cannot_hold_stays(here: Landings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trash_module, "MOST_BYTES", 3)
    (here.root / "a").write_text("mine")
    with pytest.raises(TooLarge):
        here.land("a", "theirs", here.at("a"))
    assert (here.root / "a").read_text() == "mine"


def test_nothing_lands_through_a_link(here: Landings, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (here.root / "pkg").symlink_to(tmp_path / "outside")
    with pytest.raises(NotADirectoryError):
        here.land("pkg/a", "theirs")
    with pytest.raises(NotADirectoryError):
        here.landing.directory("pkg/in")
    assert list((tmp_path / "outside").iterdir()) == []


@pytest.mark.parametrize("path", ["../a", "/a", "a/../../b", "", ".sidecar/a"])
def test_nothing_lands_outside(here: Landings, path: str) -> None:
    with pytest.raises(PathError):
        here.land(path, "theirs")


def test_a_link_lands_and_takes_a_files_place(here: Landings) -> None:
    here.landing.link("new", "a", None, why=PULL)
    (here.root / "a").write_text("mine")
    landed = here.landing.link("a", "pkg/b", here.at("a"), why=PULL)
    assert os.readlink(here.root / "new") == "a"
    assert os.readlink(here.root / "a") == "pkg/b"
    assert landed == here.at("a")
    assert here.kept() == [("a", "mine")]
    assert here.staging() == []


@pytest.mark.parametrize("target", ["/etc/passwd", "../outside", "pkg/../../x"])
def test_a_link_that_leads_out_of_the_project_is_not_taken(here: Landings, target: str) -> None:
    with pytest.raises(NotTaken):
        here.landing.link("a", target, None, why=PULL)
    assert not (here.root / "a").is_symlink()


def test_what_is_removed_is_kept(here: Landings) -> None:
    (here.root / "pkg").mkdir()
    (here.root / "pkg/a").write_text("mine")
    here.landing.remove("pkg/a", here.at("pkg/a"), why="removed by resolve")
    here.landing.remove("pkg", here.at("pkg"), why="removed by resolve")
    assert not (here.root / "pkg").exists()
    assert here.kept() == [("pkg/a", "mine")]


def test_a_folder_that_holds_something_and_a_file_that_was_edited_are_not_removed(
    here: Landings,
) -> None:
    (here.root / "pkg").mkdir()
    (here.root / "pkg/a").write_text("mine")
    was = here.at("pkg/a")
    here.landing.remove("pkg", here.at("pkg"), why="removed by resolve")
    (here.root / "pkg/a").write_text("mine, edited")
    with pytest.raises(Changed):
        here.landing.remove("pkg/a", was, why="removed by resolve")
    assert (here.root / "pkg/a").read_text() == "mine, edited"
    here.landing.remove("pkg/never", was, why="removed by resolve")


def test_a_folder_is_made_once_and_never_in_a_files_place(here: Landings) -> None:
    assert here.landing.directory("a/b") == here.landing.directory("a/b")
    here.land("file", "x")
    with pytest.raises(Changed):
        here.landing.directory("file")


def test_what_a_crash_left_on_its_way_goes(here: Landings) -> None:
    here.landing.stage().file.close()
    assert len(here.staging()) == 1
    next_one = LocalLanding(here.root, here.store, here.trash)
    staged = next_one.stage()
    assert [one.name for one in here.staging()] == [staged.path.name]
    staged.discard()


def test_where_the_state_is_on_another_file_system_it_grows_in_the_project_unseen(
    here: Landings, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Path.stat

    def elsewhere(path: Path, **options: Any) -> os.stat_result:
        found = real(path, **options)
        if path.name == "incoming":
            fields = list(found)
            fields[2] += 1  # st_dev
            return os.stat_result(fields)
        return found

    monkeypatch.setattr(Path, "stat", elsewhere)
    here.land("a", "theirs")
    assert (here.root / "a").read_text() == "theirs"
    assert (here.root / ".sidecar/.gitignore").read_text() == "*\n"
    here.landing.close()
    assert [one.name for one in (here.root / ".sidecar").iterdir()] == [".gitignore"]


@pytest.mark.parametrize(
    "path", [".envrc", "pkg/.vscode/tasks.json", ".git/hooks/pre-commit", ".GIT/config", ".idea/x"]
)
def test_what_this_machine_may_run_by_itself_does_not_come_unasked(path: str) -> None:
    with pytest.raises(NotTaken):
        refuse_what_runs(path, False, False)


def test_nothing_becomes_a_program_unasked() -> None:
    with pytest.raises(NotTaken):
        refuse_what_runs("run.sh", True, False)
    refuse_what_runs("run.sh", True, True)
    refuse_what_runs("plots/loss.png", False, False)
