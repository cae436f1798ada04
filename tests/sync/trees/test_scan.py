import contextlib
import os
import socket
import tempfile
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

from sidecar.core import identity
from sidecar.core.tree import Node
from sidecar.sync.rules.ignore import Decision, Rules
from sidecar.sync.trees.agreed import Agreed, AgreedTree, pack
from sidecar.sync.trees.scan import Problem, Scan, Scanner, scan


def make(root: Path, *paths: str) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(path)


def test_the_entries_are_what_lstat_says_of_all_that_is_synced(tmp_path: Path) -> None:
    make(tmp_path, "a", "d/e/f", "d/g", "node_modules/m/x")
    (tmp_path / "empty").mkdir()
    (tmp_path / "to-file").symlink_to("a")
    (tmp_path / "to-folder").symlink_to("d")
    (tmp_path / "dangling").symlink_to("/nowhere")
    found = scan(tmp_path, Rules.load(tmp_path))
    expected = ["a", "d", "d/e", "d/e/f", "d/g", "empty", "to-file", "to-folder", "dangling"]
    assert found.entries == {
        path: identity.from_stat(os.lstat(tmp_path / path)) for path in expected
    }
    assert found.problems == []
    assert found.skipped == {Decision(True, "node_modules/", "built-in"): 1}


def test_names_of_any_bytes_are_found(tmp_path: Path) -> None:
    names = ["new\nline", "caf\udce9", "x" * 255, "-f", "a*b", "é", "\x01"]
    for name in names:
        (tmp_path / name).write_text("")
    assert set(scan(tmp_path, Rules.load(tmp_path)).entries) == set(names)


def test_what_is_neither_file_nor_folder_nor_link_is_said(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "d").mkdir()
    with socket.socket(socket.AF_UNIX) as listener:
        here = os.getcwd()
        os.chdir(tmp_path / "d")  # a socket's path must be short
        try:
            listener.bind("s")
        finally:
            os.chdir(here)
        found = scan(tmp_path, Rules.load(tmp_path))
    assert set(found.entries) == {"d"}
    assert sorted(found.problems) == [
        Problem("d/s", "a socket is not synced"),
        Problem("fifo", "a FIFO is not synced"),
    ]
    assert not found.hidden("d/s")


NOBODY = 65534


@contextlib.contextmanager
def without_privileges() -> Iterator[None]:
    """Root may read everything, so it is somebody else meanwhile."""
    was = os.geteuid()
    if was == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(was)


def test_a_folder_that_may_not_be_read_hides_what_is_in_it() -> None:
    # pytest's own temporary folders are closed to others.
    with tempfile.TemporaryDirectory(prefix="sc-") as folder:
        root = Path(folder)
        make(root, "closed/f", "open/f")
        (root / "closed").chmod(0)
        root.chmod(0o755)
        rules = Rules.load(root)
        with without_privileges():
            found = scan(root, rules)
        (root / "closed").chmod(0o700)
    assert found.problems == [Problem("closed", "Permission denied", True)]
    assert found.hidden("closed/f")
    assert not found.hidden("open/f")
    assert not found.hidden("closed-too")


def test_a_folder_whose_path_is_too_long_hides_what_is_in_it(tmp_path: Path) -> None:
    make(tmp_path, "open/f")
    folder = os.open(tmp_path, os.O_RDONLY)
    for _ in range(20):
        os.mkdir("x" * 250, dir_fd=folder)
        inner = os.open("x" * 250, os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = inner
    os.close(folder)
    found = scan(tmp_path, Rules.load(tmp_path))
    (problem,) = found.problems
    assert problem.text == "File name too long"
    assert found.hidden(problem.path + "/below")
    assert found.hidden(problem.path)
    assert not found.hidden("open/f")


def test_a_root_that_is_gone_hides_everything(tmp_path: Path) -> None:
    rules = Rules.load(tmp_path)
    found = scan(tmp_path / "gone", rules)
    assert found.entries == {}
    assert found.hidden("any/path")


def test_a_part_is_scanned_as_it_is_in_the_whole(tmp_path: Path) -> None:
    make(tmp_path, "a", "d/e/f", "d/g", "d/h.log", "i/j")
    (tmp_path / ".gitignore").write_text("*.log\n/i/\n")
    rules = Rules.load(tmp_path)
    whole = scan(tmp_path, rules).entries
    for under in ("a", "d", "d/e", "d/e/f"):
        part = scan(tmp_path, rules, under).entries
        assert part == {
            path: found
            for path, found in whole.items()
            if path == under or path.startswith(under + "/")
        }
    for under in ("i", "i/j", "d/h.log", "nothing", "a/below", ".git"):
        assert scan(tmp_path, rules, under).entries == {}


def test_projects_in_the_project_are_left_out(tmp_path: Path) -> None:
    make(tmp_path, "f", "inner/sidecar.toml", "inner/f")
    found = scan(tmp_path, Rules.load(tmp_path))
    assert set(found.entries) == {"f"}
    assert {decision.rule for decision in found.skipped} == {"inner"}


def test_a_scan_can_be_taken_in_slices(tmp_path: Path) -> None:
    make(tmp_path, *(f"d{number % 20}/f{number}" for number in range(1000)))
    scanner = Scanner(tmp_path, Rules.load(tmp_path))
    assert sum(1 for _ in scanner.run()) >= 3
    assert scanner.result.entries == scan(tmp_path, Rules.load(tmp_path)).entries


def agreed_on(found: Scan) -> AgreedTree:
    """Base, where all of that was synced."""
    known = AgreedTree()
    for path, here in found.entries.items():
        known.put(path, pack(Agreed(Node(here.kind, False, ""), here, here)))
    return known


def test_of_what_is_known_the_rules_are_not_asked_again(tmp_path: Path) -> None:
    for path in ("a.py", "b.log", "pkg/c.py", "pkg/d.log", "logs/e.py"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).touch()
    rules = Rules.load(tmp_path, ["*.log", "logs/"])
    found = scan(tmp_path, rules)
    again = scan(tmp_path, rules, known=agreed_on(found))
    assert again.entries == found.entries
    assert again.skipped == found.skipped
    assert (
        "pkg/c.py" in scan(tmp_path, Rules.load(tmp_path, ["*.py"]), known=agreed_on(found)).entries
    )


def test_a_known_file_that_is_a_folder_now_is_asked_about(tmp_path: Path) -> None:
    (tmp_path / "logs").touch()
    rules = Rules.load(tmp_path, ["logs/"])
    found = scan(tmp_path, rules)
    assert set(found.entries) == {"logs"}
    (tmp_path / "logs").unlink()
    (tmp_path / "logs").mkdir()
    assert set(scan(tmp_path, rules, known=agreed_on(found)).entries) == set()


def test_an_entry_takes_little_memory(tmp_path: Path) -> None:
    """190 bytes, measured."""
    for folder in range(20):
        (tmp_path / f"package_{folder}").mkdir()
        for number in range(50):
            (tmp_path / f"package_{folder}/module_number{number}.py").touch()
    rules = Rules.load(tmp_path)
    scan(tmp_path, rules)
    tracemalloc.start()
    try:
        found = scan(tmp_path, rules)
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert taken / len(found.entries) < 250
