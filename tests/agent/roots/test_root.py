from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from sidecar.agent.failure import Failure, Refusal
from sidecar.agent.roots.folder import expand, look, why_never
from sidecar.agent.roots.root import Root
from sidecar.core import messages as m
from tests.agent.laptop import ROOT, Laptop


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path / "home/ada"
    home.mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("SCRATCH", str(tmp_path / "scratch"))
    return home


def open_root(path: Path | str) -> m.Opened:
    return Root(ROOT, expand(str(path))).open(7)


class TestWhereAFolderLies:
    def test_a_tilde_and_variables_are_expanded(self, home: Path, tmp_path: Path) -> None:
        assert expand("~/code") == str(home / "code").encode()
        assert expand("~") == str(home).encode()
        assert expand("$SCRATCH/a/${SCRATCH}") == f"{tmp_path}/scratch/a{tmp_path}/scratch".encode()

    def test_a_relative_path_begins_at_home(self, home: Path) -> None:
        assert expand("code/model") == str(home / "code/model").encode()

    def test_no_shell_runs(self, home: Path, tmp_path: Path) -> None:
        spelled = f"~/$(touch {tmp_path}/ran)`touch {tmp_path}/ran`;x"
        assert b"$(touch" in expand(spelled)
        assert not (tmp_path / "ran").exists()

    def test_a_variable_that_is_not_there_is_named(self, home: Path) -> None:
        with pytest.raises(Failure, match="NOT_SET_HERE"):
            expand("$NOT_SET_HERE/code")

    def test_a_user_that_is_not_there_is_named(self, home: Path) -> None:
        with pytest.raises(Failure, match="nobody-of-this-name"):
            expand("~nobody-of-this-name/code")

    @pytest.mark.parametrize("path", ["", "a\0b", "\ud800"])
    def test_what_is_no_path_fails(self, path: str) -> None:
        with pytest.raises(Failure):
            expand(path)

    def test_links_in_it_are_resolved(self, home: Path, tmp_path: Path) -> None:
        (tmp_path / "gpfs").mkdir()
        (home / "code").symlink_to(tmp_path / "gpfs")
        assert expand("~/code/new") == str(tmp_path / "gpfs/new").encode()


class TestOpen:
    def test_it_writes_nothing(self, home: Path) -> None:
        opened = open_root("~/code/new")
        assert (opened.exists, opened.writable, opened.entries) == (False, True, 0)
        assert opened.free_bytes > 0
        assert list(home.iterdir()) == []

    def test_it_counts_what_is_there_our_own_aside(self, home: Path) -> None:
        for name in ("a", "b", ".sidecar"):
            (home / "code" / name).mkdir(parents=True)
        opened = open_root("~/code")
        assert (opened.exists, opened.entries, opened.marker) == (True, 2, "")
        assert opened.device == (home / "code").stat().st_dev

    def test_a_file_is_no_root(self, home: Path) -> None:
        (home / "code").write_text("x")
        assert "not a folder" in open_root("~/code").refused
        assert "not a folder" in open_root("~/code/below").refused

    @pytest.mark.parametrize(
        "path", ["/", "~", "/etc", "/home", "/tmp", "/proc/self", "/usr", "~/code/.sidecar/x"]
    )
    def test_places_of_the_system_and_homes_are_refused(self, home: Path, path: str) -> None:
        assert open_root(path).refused

    def test_what_holds_the_home_is_refused(self, home: Path) -> None:
        assert "home" in open_root(home.parent).refused

    @pytest.mark.parametrize("mark", [".ssh", ".bashrc", ".zshrc", ".bash_history"])
    def test_what_looks_like_a_home_is_refused(self, home: Path, mark: str) -> None:
        (home / "other" / mark).mkdir(parents=True)
        assert mark in open_root("~/other").refused

    def test_a_home_by_another_name_is_refused(self, home: Path, tmp_path: Path) -> None:
        (tmp_path / "short").symlink_to(home)
        assert "home" in open_root(tmp_path / "short").refused

    def test_the_home_in_the_user_database_is_refused_whatever_the_environment_says(
        self, home: Path
    ) -> None:
        assert why_never(os.path.realpath(os.path.expanduser("~root")).encode())

    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"{",
            b"[]",
            b"[" * 4000,
            b"\xff",
            json.dumps({"version": 99, "marker": "a", "owner": "b"}).encode(),
            json.dumps({"version": 1, "marker": 5, "owner": "b"}).encode(),
            json.dumps({"version": 1, "marker": "", "owner": "b"}).encode(),
            json.dumps({"version": 1, "marker": "a" * 5000, "owner": "b"}).encode(),
        ],
    )
    def test_a_damaged_marker_is_no_marker(self, home: Path, content: bytes) -> None:
        ours = home / "code/.sidecar"
        ours.mkdir(parents=True)
        (ours / "marker.json").write_bytes(content)
        assert open_root("~/code").marker == ""

    def test_a_marker_that_is_a_link_or_a_fifo_is_no_marker(self, home: Path) -> None:
        ours = home / "code/.sidecar"
        ours.mkdir(parents=True)
        (home / "real").write_text(json.dumps({"version": 1, "marker": "m", "owner": "o"}))
        (ours / "marker.json").symlink_to(home / "real")
        assert open_root("~/code").marker == ""
        (ours / "marker.json").unlink()
        os.mkfifo(ours / "marker.json")
        assert open_root("~/code").marker == ""


class TestClaim:
    def test_it_makes_the_folder_and_marks_it(self, home: Path) -> None:
        root = Root(ROOT, expand("~/code/new"))
        root.claim("marker-1", "ada@laptop")
        ours = home / "code/new/.sidecar"
        assert stat.S_IMODE(ours.stat().st_mode) == 0o700
        assert (ours / ".gitignore").read_text() == "*\n"
        assert json.loads((ours / "marker.json").read_text()) == {
            "version": 1,
            "marker": "marker-1",
            "owner": "ada@laptop",
        }
        assert sorted(one.name for one in ours.iterdir()) == [
            ".gitignore",
            "marker.json",
            "tmp",
            "trash",
        ]
        again = open_root("~/code/new")
        assert (again.marker, again.owner, again.entries) == ("marker-1", "ada@laptop", 0)

    def test_another_claim_takes_over(self, home: Path) -> None:
        Root(ROOT, expand("~/code")).claim("marker-1", "ada@laptop")
        again = Root(ROOT, expand("~/code"))
        again.open(1)
        again.claim("marker-2", "ada@desk")
        assert open_root("~/code").owner == "ada@desk"

    def test_a_home_is_never_claimed(self, home: Path) -> None:
        with pytest.raises(Failure, match="home"):
            Root(ROOT, str(home).encode()).claim("marker", "owner")
        assert list(home.iterdir()) == []

    def test_our_folder_is_never_a_link(self, home: Path, tmp_path: Path) -> None:
        (home / "code").mkdir()
        (tmp_path / "elsewhere").mkdir()
        (home / "code/.sidecar").symlink_to(tmp_path / "elsewhere")
        with pytest.raises(Failure):
            Root(ROOT, expand("~/code")).claim("marker", "owner")
        assert list((tmp_path / "elsewhere").iterdir()) == []

    def test_a_place_where_nothing_can_be_made_is_told(self, home: Path) -> None:
        with pytest.raises(Failure):
            Root(ROOT, b"/proc/self/new").claim("marker", "owner")


class TestWalking:
    @pytest.fixture
    def root(self, home: Path) -> Root:
        root = Root(ROOT, expand("~/code"))
        root.claim("marker", "owner")
        return root

    def test_a_link_is_never_walked_through(self, home: Path, root: Root, tmp_path: Path) -> None:
        (tmp_path / "outside").mkdir()
        (tmp_path / "outside/f").write_text("x")
        (home / "code/link").symlink_to(tmp_path / "outside")
        (home / "code/inner").symlink_to(".")
        for parts in (["link", "f"], ["inner", "link", "f"], ["inner", "x"]):
            with pytest.raises(Refusal, match="symbolic link"):
                root.lstat(parts)
            with pytest.raises(Refusal, match="symbolic link"), root.folder(parts, make=True):
                pass

    def test_a_link_swapped_in_behind_the_walk_leads_nowhere(
        self, home: Path, root: Root, tmp_path: Path
    ) -> None:
        """A folder that was opened stays itself, whatever takes its name."""
        (tmp_path / "outside").mkdir()
        (home / "code/folder").mkdir()
        with root.folder(["folder"]) as folder:
            (home / "code/folder").rename(home / "code/moved")
            (home / "code/folder").symlink_to(tmp_path / "outside")
            os.close(os.open("made", os.O_CREAT | os.O_WRONLY, dir_fd=folder))
        assert list((tmp_path / "outside").iterdir()) == []
        assert (home / "code/moved/made").exists()

    def test_a_fifo_is_never_opened(self, home: Path, root: Root) -> None:
        os.mkfifo(home / "code/pipe")
        with pytest.raises(Refusal, match="not a regular file"):
            root.open_file(["pipe"])

    def test_no_descriptor_is_left_open(self, home: Path, root: Root) -> None:
        def count() -> int:
            return len(os.listdir("/proc/self/fd"))

        before = count()
        with root.folder(["a", "b", "c"], make=True):
            pass
        for parts in (["a", "b", "c", "d"], ["gone", "d"]):
            root.lstat(parts)
        with pytest.raises(FileNotFoundError):
            root.open_file(["a", "gone"])
        assert count() == before

    def test_a_root_that_was_replaced_is_noticed(self, home: Path, root: Root) -> None:
        root.check()
        (home / "code").rename(home / "old")
        with pytest.raises(Refusal, match="gone"):
            root.check()
        (home / "code").mkdir()
        with pytest.raises(Refusal, match="another folder"):
            root.check()

    def test_a_root_that_was_emptied_is_noticed(self, home: Path, root: Root) -> None:
        (home / "code/.sidecar/marker.json").unlink()
        with pytest.raises(Refusal, match="marker"):
            root.check()

    def test_a_root_that_somebody_else_claimed_is_noticed(self, home: Path, root: Root) -> None:
        again = Root(2, expand("~/code"))
        again.open(1)
        again.claim(root.marker, root.owner)
        root.check()
        again.claim(root.marker, "bob@desk")
        with pytest.raises(Refusal, match="bob@desk") as caught:
            root.check()
        assert caught.value.code == "root"

    def test_of_two_that_claim_a_root_at_once_the_second_is_refused(self, home: Path) -> None:
        (home / "new").mkdir()
        first, second = (Root(number, expand("~/new")) for number in (1, 2))
        first.open(1)
        second.open(2)
        first.claim("one", "ada@laptop")
        with pytest.raises(Failure, match="ada@laptop") as caught:
            second.claim("two", "bob@desk")
        assert caught.value.code == "root"
        first.check()


def test_what_is_not_readable_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Any) -> Any:
        raise PermissionError(13, "Permission denied")

    (tmp_path / "code").mkdir()
    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(Failure, match="no permission"):
        look(str(tmp_path / "code").encode())


def test_files_answers_open_and_claim(tmp_path: Path) -> None:
    laptop = Laptop(tmp_path / "code")
    assert laptop.opened == m.Opened(
        101, str(tmp_path / "code"), False, True, 0, "", "", 0, "", laptop.opened.free_bytes
    )
    assert laptop.files.folder(ROOT) == str(tmp_path / "code")
    failed = laptop.ask(lambda id: m.Open(id, 2, "$NOT_SET_HERE/x"))
    assert (failed.code, "NOT_SET_HERE" in failed.what) == ("path", True)
    laptop.files.close()
