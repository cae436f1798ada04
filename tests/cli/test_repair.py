"""Conflicts, undo and why, as a person at a shell meets them: real hub, real agent, real ssh."""

from __future__ import annotations

import json
import os
import pwd
from pathlib import Path
from typing import Any

import pytest

from tests.hub.laptop import Laptop
from tests.servers.box import Box

ME = pwd.getpwuid(os.getuid()).pw_name


@pytest.fixture
def there(embedded: Box) -> Path:
    return embedded.home / "model"


@pytest.fixture
def met(nearby: Laptop) -> Laptop:
    """Both sides are the same, and a client keeps the hub from ending between two commands."""
    nearby.write("a.py", "one\n")
    nearby.write("pkg/b.py", "two\n")
    nearby.write("c.txt", "three\n")
    done = nearby.sidecar("sync")
    assert done.returncode == 0, done.stderr
    nearby.serve()
    return nearby


def told(laptop: Laptop, *arguments: str, status: int | None = 0) -> str:
    done = laptop.sidecar(*arguments)
    assert status is None or done.returncode == status, done.stderr
    return done.stdout


def data(laptop: Laptop, *arguments: str, status: int | None = 0) -> Any:
    return json.loads(told(laptop, *arguments, "--json", status=status))


def kinds(laptop: Laptop, status: int | None = None) -> dict[str, str]:
    return {one["path"]: one["kind"] for one in data(laptop, "conflicts", status=status)}


def ids(laptop: Laptop, path: str, side: str = "remote") -> list[str]:
    """Of the copies of a path, newest first."""
    found = data(laptop, "undo", "-l", path)
    return [one["id"] for one in found if (one["path"], one["side"]) == (path, side)]


# --- conflicts -------------------------------------------------------------------------------


def test_conflicts_are_told_with_both_sides_and_whose_they_are(met: Laptop, there: Path) -> None:
    (there / "a.py").write_text("theirs, longer\n")
    (there / "c.txt").write_text("theirs too\n")
    met.write("a.py", "mine\n")
    found = {one["path"]: one for one in data(met, "conflicts", status=1)}
    assert {path: one["kind"] for path, one in found.items()} == {
        "a.py": "conflict",
        "c.txt": "newer-there",
    }
    assert found["a.py"]["there"]["by"] == ME
    assert (found["a.py"]["here"]["size"], found["a.py"]["there"]["size"]) == (5, 15)
    assert found["a.py"]["here"]["changed"]
    done = met.sidecar("conflicts")
    assert done.returncode == 1
    head, first, second = done.stdout.splitlines()
    assert head.split() == ["WHAT", "PATH", "HERE", "THERE", "BY"]
    assert (first.split()[:2], second.split()[:2]) == (
        ["conflict", "a.py"],
        ["newer-there", "c.txt"],
    )
    assert "5 B" in first
    assert "15 B" in first
    assert ME in first
    assert "sidecar resolve" in done.stderr
    assert (there / "a.py").read_text() == "theirs, longer\n"


def test_looking_at_conflicts_sends_nothing(nearby: Laptop, embedded: Box) -> None:
    nearby.write("a.py", "one\n")
    nearby.sidecar("sync")
    nearby.write("a.py", "two\n")
    assert nearby.sidecar("conflicts").stderr == "No conflicts.\n"
    assert (embedded.home / "model/a.py").read_text() == "one\n"


def test_two_sides_that_never_met_have_no_conflicts_to_look_at(nearby: Laptop) -> None:
    nearby.write("a.py", "one\n")
    done = nearby.sidecar("conflicts")
    assert done.returncode == 1
    assert "not brought together yet" in done.stderr
    assert "sidecar sync -n" in done.stderr


def test_a_difference_is_a_unified_diff_from_here_to_there(met: Laptop, there: Path) -> None:
    (there / "pkg/b.py").write_text("two\nand theirs\n")
    done = met.sidecar("diff", "b.py", cwd=met.project / "pkg")
    assert done.returncode == 1
    assert "--- here/pkg/b.py\n" in done.stdout
    assert "/pkg/b.py\n" in done.stdout
    assert "+and theirs\n" in done.stdout
    assert "\033" not in done.stdout
    assert ME in done.stderr
    same = met.sidecar("diff", "a.py")
    assert (same.returncode, same.stdout) == (0, "")
    assert "the same on both sides" in same.stderr


def test_without_git_a_difference_is_made_all_the_same(nearby: Laptop, embedded: Box) -> None:
    nearby.write("a.py", "one\n")
    env = {"PATH": str(nearby.home / "no-programs")}
    done = nearby.sidecar("sync", env=env)
    assert done.returncode == 0, done.stderr
    (embedded.home / "model/a.py").write_text("two")
    done = nearby.sidecar("diff", "a.py", env=env)
    assert done.returncode == 1, done.stderr
    assert "-one\n" in done.stdout
    assert "+two\n\\ No newline" in done.stdout


def test_what_is_no_text_too_large_or_missing_is_said(met: Laptop, there: Path) -> None:
    (there / "a.py").write_bytes(b"\0\1\2")
    with (there / "c.txt").open("wb") as file:
        file.truncate(9 << 20)
    binary, large = met.sidecar("diff", "a.py"), met.sidecar("diff", "c.txt")
    assert (binary.returncode, binary.stdout, large.returncode) == (1, "", 1)
    assert "no text" in binary.stderr
    assert "too large" in large.stderr
    (there / "pkg/b.py").write_text("theirs\n")
    (met.project / "pkg/b.py").unlink()
    gone = met.sidecar("diff", "pkg/b.py")
    assert "+theirs\n" in gone.stdout


# --- resolve ---------------------------------------------------------------------------------


def test_local_puts_mine_there_and_theirs_in_the_trash_there(met: Laptop, there: Path) -> None:
    (there / "a.py").write_text("theirs\n")
    met.write("a.py", "mine\n")
    assert "a.py: mine on" in told(met, "resolve", "a.py", "--keep", "local")
    assert (there / "a.py").read_text() == "mine\n"
    assert kinds(met, status=0) == {}
    told(met, "undo", ids(met, "a.py")[0])
    assert (there / "a.py").read_text() == "theirs\n"


def test_remote_brings_theirs_here_and_mine_to_the_trash_here(met: Laptop, there: Path) -> None:
    (there / "a.py").write_text("theirs\n")
    met.write("a.py", "mine\n")
    assert "a.py: theirs here, mine in the trash" in told(
        met, "resolve", "a.py", "--keep", "remote"
    )
    assert (met.project / "a.py").read_text() == (there / "a.py").read_text() == "theirs\n"
    assert kinds(met, status=0) == {}
    assert ids(met, "a.py", "local")


def test_both_brings_theirs_beside_mine(met: Laptop, there: Path) -> None:
    (there / "a.py").write_text("theirs\n")
    met.write("a.py", "mine\n")
    done = met.sidecar("resolve", "a.py", "--keep", "both")
    assert done.returncode == 0, done.stderr
    [beside] = met.project.glob("a.remote-*.py")
    assert beside.name in done.stdout
    assert beside.read_text() == "theirs\n"
    assert (met.project / "a.py").read_text() == (there / "a.py").read_text() == "mine\n"
    assert (there / beside.name).read_text() == "theirs\n"
    assert kinds(met, status=0) == {}


@pytest.mark.parametrize("keep", ["local", "remote", "both"])
def test_what_was_deleted_here_and_changed_there(met: Laptop, there: Path, keep: str) -> None:
    (there / "a.py").write_text("theirs\n")
    (met.project / "a.py").unlink()
    assert kinds(met, status=1) == {"a.py": "kept"}
    told(met, "resolve", "a.py", "--keep", keep)
    exists = keep != "local"
    assert ((there / "a.py").exists(), (met.project / "a.py").exists()) == (exists, exists)
    assert kinds(met, status=0) == {}
    assert bool(ids(met, "a.py")) != exists


@pytest.mark.parametrize("keep", ["local", "remote", "both"])
def test_a_file_here_and_a_folder_there(met: Laptop, there: Path, keep: str) -> None:
    (there / "a.py").unlink()
    (there / "a.py/in").mkdir(parents=True)
    (there / "a.py/in/x").write_text("theirs\n")
    assert kinds(met, status=1)["a.py"] == "conflict"
    done = met.sidecar("resolve", "a.py", "--keep", keep)
    here = met.project / "a.py"
    if keep == "remote":
        assert done.returncode == 0, done.stderr
        assert (here / "in/x").read_text() == "theirs\n"
        assert kinds(met, status=0) == {}
        assert ids(met, "a.py", "local")
    elif keep == "both":
        [beside] = met.project.glob("a.remote-*.py")
        assert (beside / "in/x").read_text() == "theirs\n"
        assert here.read_text() == "one\n"
    else:  # it holds what only they have
        assert done.returncode == 1
        assert (here.read_text(), (there / "a.py/in/x").read_text()) == ("one\n", "theirs\n")


def test_a_folder_here_and_a_file_there(met: Laptop, there: Path) -> None:
    (met.project / "pkg/__pycache__").mkdir()
    (there / "pkg/b.py").unlink()
    (there / "pkg").rmdir()
    (there / "pkg").write_text("theirs\n")
    done = met.sidecar("resolve", "pkg", "--keep", "remote")
    assert done.returncode == 1
    assert "not synced" in done.stderr
    (met.project / "pkg/__pycache__").rmdir()
    told(met, "resolve", "pkg", "--keep", "remote")
    assert (met.project / "pkg").read_text() == "theirs\n"
    assert kinds(met, status=0) == {}
    told(met, "undo", "-l", "pkg/b.py")


def test_several_are_named_by_folder_pattern_or_all_at_once(met: Laptop, there: Path) -> None:
    for name in ("a.py", "pkg/b.py", "c.txt"):
        (there / name).write_text("theirs\n")
        met.write(name, "mine\n")
    assert "nothing was done" in met.sidecar("resolve", "--all", "--keep", "local", "-n").stderr
    assert len(kinds(met, status=1)) == 3
    told(met, "resolve", "pkg", "--keep", "local")
    assert (there / "pkg/b.py").read_text() == "mine\n"
    told(met, "resolve", "*.py", "--keep", "local")
    assert list(kinds(met, status=1)) == ["c.txt"]
    told(met, "resolve", "--all", "--keep", "remote")
    assert (met.project / "c.txt").read_text() == "theirs\n"
    done = met.sidecar("resolve", "a.py", "--keep", "local")
    assert done.returncode == 1
    assert "Nothing is to be decided about a.py" in done.stderr


def test_nothing_named_is_a_usage_error(met: Laptop) -> None:
    done = met.sidecar("resolve", "--keep", "local")
    assert done.returncode == 2
    assert "--all" in done.stderr


# --- undo ------------------------------------------------------------------------------------


def test_undo_lists_first_then_brings_back_by_id_or_path(met: Laptop, there: Path) -> None:
    met.write("a.py", "two\n")
    met.sidecar("sync")
    (met.project / "pkg/b.py").unlink()
    met.sidecar("sync")
    done = met.sidecar("undo")
    assert done.returncode == 0, done.stderr
    head, *rows = done.stdout.splitlines()
    assert head.split() == ["ID", "WHEN", "SIDE", "SIZE", "PATH", "WHY"]
    assert any("there" in row and "a.py" in row and "4 B" in row for row in rows)
    assert any("pkg/b.py" in row for row in rows)
    assert "nothing was done" in met.sidecar("undo", "-n", "a.py").stderr
    assert (there / "a.py").read_text() == "two\n"
    done = met.sidecar("undo", "a.py", ids(met, "pkg/b.py")[0][:5])
    assert done.returncode == 0, done.stderr
    assert (there / "a.py").read_text() == "one\n"
    assert (there / "pkg/b.py").read_text() == "two\n"
    assert "newer-there" in done.stderr
    # And back again, with what the first undo replaced.
    told(met, "undo", "a.py")
    assert (there / "a.py").read_text() == "two\n"


def test_what_lies_here_comes_back_without_a_connection(nearby: Laptop, there: Path) -> None:
    path = nearby.write("a.py", "one\n")
    told(nearby, "sync")
    (there / "a.py").write_text("theirs\n")
    told(nearby, "resolve", "a.py", "--keep", "remote")
    assert path.read_text() == "theirs\n"
    [copy] = ids(nearby, "a.py", "local")
    told(nearby, "hub", "stop", "--force")
    nearby.configure('[hosts.box]\nssh = "ssh://127.0.0.1:1"\npath = "~/model"\n')  # nobody listens
    done = nearby.sidecar("undo")
    assert "only what lies here is listed: " in done.stderr, done.stderr
    assert copy in done.stdout
    assert nearby.sidecar("undo", "a.py").returncode != 0
    done = nearby.sidecar("undo", copy)
    assert (done.returncode, path.read_text()) == (0, "one\n"), done.stderr
    assert "it goes there with the next connection" in done.stderr
    told(nearby, "undo", "a.py", "--side", "local")
    assert path.read_text() == "theirs\n"


def test_what_was_undone_is_not_pushed_over_again(met: Laptop, there: Path) -> None:
    met.write("a.py", "two\n")
    met.sidecar("sync")
    told(met, "undo", "a.py")
    assert kinds(met, status=1) == {"a.py": "newer-there"}
    met.write("c.txt", "another save\n")  # at the next save of something else
    met.sidecar("sync")
    assert (there / "c.txt").read_text() == "another save\n"
    assert (there / "a.py").read_text() == "one\n"
    met.sidecar("hub", "stop", "--force")  # over a restart of the hub, and another connection
    met.sidecar("sync")
    assert (there / "a.py").read_text() == "one\n"
    met.write("a.py", "edited again\n")  # nor by a save of the file itself
    assert met.sidecar("sync").returncode == 1
    assert (there / "a.py").read_text() == "one\n"
    told(met, "resolve", "a.py", "--keep", "remote")
    assert (met.project / "a.py").read_text() == "one\n"
    assert kinds(met, status=0) == {}


def test_what_was_removed_there_and_undone_stays_there(met: Laptop, there: Path) -> None:
    (met.project / "a.py").unlink()
    met.sidecar("sync")
    assert not (there / "a.py").exists()
    told(met, "undo", "a.py")
    met.write("c.txt", "another save\n")
    met.sidecar("sync")
    assert (there / "a.py").read_text() == "one\n"
    assert not (met.project / "a.py").exists()


def test_what_is_undone_here_is_an_edit_made_here(met: Laptop, there: Path) -> None:
    (there / "a.py").write_text("theirs\n")
    met.write("a.py", "mine\n")
    told(met, "resolve", "a.py", "--keep", "remote")
    told(met, "undo", "a.py", "--side", "local")
    assert (met.project / "a.py").read_text() == "mine\n"
    assert (there / "a.py").read_text() == "mine\n"
    assert [one["why"] for one in data(met, "undo", "-l", "a.py") if one["side"] == "local"] == [
        "replaced by undo"
    ]


def test_a_removed_folder_comes_back_whole_and_what_is_there_stays(
    met: Laptop, there: Path
) -> None:
    met.write("pkg/deep/c.py", "c\n")
    met.write("pkg/b.py", "edited\n")
    met.sidecar("sync")
    (met.project / "pkg/deep/c.py").unlink()
    (met.project / "pkg/deep").rmdir()
    met.sidecar("sync")
    told(met, "undo", "pkg")
    assert (there / "pkg/deep/c.py").read_text() == "c\n"
    assert (there / "pkg/b.py").read_text() == "edited\n"


def test_what_there_is_no_copy_of_is_said(met: Laptop) -> None:
    for argument in ("a.py", "0123abcd"):
        done = met.sidecar("undo", argument)
        assert done.returncode == 1
        assert "There is no copy" in done.stderr
    assert "Nothing was overwritten" in met.sidecar("undo").stderr


# --- why, and what is skipped ----------------------------------------------------------------


def test_why_names_the_rule_and_where_it_stands(met: Laptop) -> None:
    met.write(".gitignore", "*.log\n# x\ndata/\n!data\n")
    met.write("run.log", "x")
    (met.project / "sub").mkdir()
    met.write("sub/.gitignore", "*.txt\n")
    by_name = {
        one["path"]: one
        for one in data(
            met, "why", "a.py", "run.log", "sub/never.txt", "__pycache__/", ".git", "sub/", "new.py"
        )
    }
    assert by_name["a.py"]["synced"]
    assert by_name["a.py"]["managed"]
    assert by_name["a.py"]["rule"] == ""
    log = by_name["run.log"]
    assert (log["synced"], log["rule"], log["source"]) == (False, "*.log", ".gitignore:1")
    assert "stays" in log["next"]
    assert by_name["sub/never.txt"]["source"] == "sub/.gitignore:1"
    assert by_name["__pycache__"]["source"] == "built-in"
    assert by_name[".git"]["source"] == "never synced"
    assert by_name["sub"]["synced"]
    assert "were it made" in by_name["new.py"]["next"]


def test_why_names_the_pattern_by_which_a_path_comes_from_there(laptop: Laptop) -> None:
    laptop.configure('[sync]\npull = ["runs/", "*.png"]\n')
    by_name = {
        one["path"]: one for one in data(laptop, "why", "runs/1/a.txt", "plot.png", "main.py")
    }
    assert by_name["runs/1/a.txt"]["pulled"] == "runs/"
    assert by_name["plot.png"]["pulled"] == "*.png"
    assert by_name["plot.png"]["synced"]
    assert "the remote's" in by_name["plot.png"]["next"]
    assert by_name["main.py"]["pulled"] == ""
    assert "*.png  (sync.pull)" in laptop.sidecar("why", "plot.png").stdout


def test_why_works_from_anywhere_and_says_it_in_words(met: Laptop, tmp_path: Path) -> None:
    met.write(".gitignore", "*.log\n")
    done = met.sidecar("why", str(met.project / "run.log"), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "run.log: not synced" in done.stdout
    assert "*.log  (.gitignore:1)" in done.stdout
    nested = met.project / "other"
    nested.mkdir()
    (nested / "sidecar.toml").write_text("")
    assert "a project of its own" in told(met, "why", "other/x.py")
    outside = met.sidecar("why", "/etc/passwd", cwd=tmp_path)
    assert outside.returncode == 1
    assert "belongs to no project" in outside.stderr


def test_why_tells_what_is_to_be_decided(met: Laptop, there: Path) -> None:
    (there / "a.py").write_text("theirs\n")
    watching = met.start("sync", "--watch")  # so that what was found out stays known
    assert watching.stderr is not None
    assert any(b"watching" in line for line in watching.stderr)
    [found] = data(met, "why", "a.py")
    assert found["note"]["kind"] == "newer-there"
    assert "before you decide" in found["next"]


def test_why_needs_no_host(laptop: Laptop) -> None:
    laptop.configure("")
    laptop.write("x.pyc", "")
    done = laptop.sidecar("why", "x.pyc", "a.py")
    assert done.returncode == 0, done.stderr
    assert "*.pyc  (built-in)" in done.stdout


def test_the_first_sync_says_what_is_not_synced_by_rule_with_sizes(nearby: Laptop) -> None:
    nearby.write("a.py", "one\n")
    nearby.write(".gitignore", "data/\n*.ckpt\n")
    for number in range(3):
        nearby.write(f"data/deep/{number}.bin", "x" * 1000)
    nearby.write("model.ckpt", "y" * 50)
    done = nearby.sidecar("sync")
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stderr.splitlines()]
    assert ["NOT", "SYNCED", "BY", "ENTRIES", "SIZE"] in lines
    assert ["data/", ".gitignore:1", "5", "3.0", "KB"] in lines
    assert ["*.ckpt", ".gitignore:2", "1", "50", "B"] in lines
    again = nearby.sidecar("sync")
    assert "NOT SYNCED" not in again.stderr
    status = nearby.sidecar("status", "-v")
    assert ["data/", ".gitignore:1", "5", "3.0", "KB"] in [
        line.split() for line in status.stdout.splitlines()
    ]
