import os
import random
import subprocess
import time
from pathlib import Path

import pytest

from sidecar.sync.rules import ignore
from sidecar.sync.rules.ignore import Rules
from sidecar.sync.rules.patterns import PatternList, parse, parse_file, parse_lines


@pytest.fixture(autouse=True)
def _own_git_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the person who runs the tests."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    folder.mkdir()
    return folder


def git(root: Path, *arguments: str) -> bytes:
    return subprocess.run(["git", "-C", root, *arguments], check=True, capture_output=True).stdout


def write(root: Path, files: str) -> None:
    for path in files.split():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        if not path.endswith("/"):
            (root / path).write_text("")


def synced(root: Path, rules: Rules) -> str:
    """The files that are synced, asked for one by one."""
    found = []
    for folder, _, names in os.walk(root):
        for name in names:
            path = os.path.relpath(os.path.join(folder, name), root)
            if not rules.decide(path, False).ignored:
                found.append(path)
    return " ".join(sorted(found))


# --- as git decides ---------------------------------------------------------------------------

NAMES = [
    "a",
    "b",
    "c.py",
    "d.txt",
    "foo",
    "bar",
    "foo.py",
    "A",
    "é",
    "[x]",
    "a b ",
    "#h",
    "!n",
    "a*",
]
PARTS = [
    "*", "*.py", "**", "f*", "?", "??", "[a-c]", "[!a]*", "a**", "**o", "*o*", "[[:alpha:]]*",
    "f?o", "[a-]*", "[]x]*", "\\a", "b[", "[^b-z]", "*.[pt]*", "foo\\", "é", "?*?", "[\\]x]",
    "[[:x:]]", "[[:]", "[[:]]x", "[b-]", "[--z]*",
]  # fmt: skip


def some_pattern(rng: random.Random) -> str:
    parts = [
        rng.choice(NAMES).replace("[", "\\[") if rng.random() < 0.35 else rng.choice(PARTS)
        for _ in range(rng.choice([1, 1, 1, 2, 2, 3]))
    ]
    before = "!" * (rng.random() < 0.3) + "/" * (rng.random() < 0.25)
    behind = rng.choice(["", "", "", "/", " ", "\\ "])
    return "#" * (rng.random() < 0.03) + before + "/".join(parts) + behind


def some_rules(rng: random.Random, most: int) -> str:
    lines = [some_pattern(rng) for _ in range(rng.randint(1, most))]
    return "\n".join(lines) + rng.choice(["", "\n", "\r\n"])


@pytest.mark.parametrize("seed", range(60))
def test_random_rules_on_random_trees_are_decided_as_git_does(
    root: Path, tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ignore, "BUILT_IN", ())
    rng = random.Random(seed)
    git(root, "init", "-q")
    folders, files = [root], []
    for _ in range(30):
        path = rng.choice(folders) / rng.choice(NAMES)
        if os.path.lexists(path):
            continue
        if rng.random() < 0.45:
            path.mkdir()
            folders.append(path)
        else:
            path.write_text("")
            files.append(path)
    for folder in rng.sample(folders, min(len(folders), 3)):
        (folder / ".gitignore").write_text(some_rules(rng, 6))
    if rng.random() < 0.4:
        (root / ".git" / "info" / "exclude").write_text(some_rules(rng, 3))
    if rng.random() < 0.3:
        (tmp_path / "home" / "mine").write_text(some_rules(rng, 3))
        git(root, "config", "core.excludesFile", "~/mine")
    if rng.random() < 0.5 and files:
        git(root, "add", "-f", "--", *map(str, rng.sample(files, min(3, len(files)))))
    project = root if rng.random() < 0.7 else rng.choice(folders)
    if project != root:
        asked = ["git", "-C", project, "check-ignore", "-q", "--no-index", "."]
        if subprocess.run(asked, check=False).returncode == 0:
            return
    listed = os.fsdecode(git(project, "ls-files", "-z", "-co", "--exclude-standard")).split("\0")
    expected = {path for path in listed if path}
    rules = Rules.load(project)
    decided = {
        str(path.relative_to(project))
        for path in project.rglob("*")
        if not path.is_dir() and not rules.decide(str(path.relative_to(project)), False).ignored
    }
    assert decided == expected


@pytest.mark.parametrize("seed", range(20))
def test_folders_that_are_let_in_again_at_any_depth_are_decided_as_git_does(
    root: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ignore, "BUILT_IN", ())
    rng = random.Random(seed)
    git(root, "init", "-q")
    for _ in range(60):
        path = root.joinpath(*rng.choices("abc", k=rng.randint(1, 5)), rng.choice("xyz"))
        if not any(above.is_file() for above in path.parents) and not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("")
    folders = [
        root,
        *(path for path in root.rglob("*") if path.is_dir() and ".git" not in str(path)),
    ]
    for folder in rng.sample(folders, min(len(folders), 6)):
        lines = []
        for _ in range(rng.randint(1, 5)):
            parts = [rng.choice(["a", "b", "c", "*", "**", "x"]) for _ in range(rng.randint(1, 3))]
            sign, slash, end = (rng.choice(pair) for pair in (("", "!"), ("", "/"), ("", "/")))
            lines.append(sign + slash + "/".join(parts) + end)
        (folder / ".gitignore").write_text("\n".join(lines))
    listed = os.fsdecode(git(root, "ls-files", "-z", "-co", "--exclude-standard")).split("\0")
    assert synced(root, Rules.load(root)).split() == sorted(path for path in listed if path)


def test_what_is_in_an_ignored_folder_stays_ignored(root: Path) -> None:
    write(root, "data/mini/f data/g h")
    (root / ".gitignore").write_text("data/\n!data/mini/\n!h\n")
    rules = Rules.load(root)
    assert synced(root, rules) == ".gitignore h"
    assert rules.decide("data/mini/f", False) == (True, "data/", ".gitignore:1")
    assert rules.decide("data/mini", True).ignored


def test_a_whitelist_with_all_folders_let_in(root: Path) -> None:
    write(root, "a/b.py a/b.txt node_modules/m.py c/__pycache__/c.pyc")
    (root / ".gitignore").write_text("*\n!*/\n!*.py\n")
    assert synced(root, Rules.load(root)) == "a/b.py"


def test_deeper_files_are_stronger_and_hold_from_their_folder_on(root: Path) -> None:
    write(root, "a/x a/y/x x")
    (root / ".gitignore").write_text("/a/y/x\nx\n")
    (root / "a" / ".gitignore").write_text("!/x\n")
    assert synced(root, Rules.load(root)) == ".gitignore a/.gitignore a/x"


def test_gits_own_excludes_and_the_persons_count(root: Path) -> None:
    git(root, "init", "-q")
    write(root, "a b c d")
    (root / ".git" / "info" / "exclude").write_text("a\n")
    mine = Path.home() / ".config" / "git" / "ignore"
    mine.parent.mkdir(parents=True)
    mine.write_text("b\n")
    assert synced(root, Rules.load(root)) == "c d"
    (Path.home() / "other").write_text("c\n")
    git(root, "config", "core.excludesFile", "~/other")
    rules = Rules.load(root)
    assert synced(root, rules) == "b d"
    assert rules.decide("c", False).source == str(Path.home() / "other") + ":1"


def test_a_project_in_a_repositorys_folder_obeys_the_files_above(tmp_path: Path) -> None:
    top = tmp_path / "top"
    write(top, "sub/project/f sub/project/g sub/project/h")
    git(top, "init", "-q")
    (top / ".gitignore").write_text("/sub/project/f\n")
    (top / "sub" / ".gitignore").write_text("g\n")
    assert synced(top / "sub" / "project", Rules.load(top / "sub" / "project")) == "h"


def test_a_repository_that_ignores_the_whole_project_does_not_count(tmp_path: Path) -> None:
    top = tmp_path / "dotfiles"
    write(top, "project/f project/g")
    git(top, "init", "-q")
    (top / ".gitignore").write_text("*\n")
    (top / "project" / ".gitignore").write_text("g\n")
    assert synced(top / "project", Rules.load(top / "project")) == ".gitignore f"


def test_a_worktree_is_a_repository_too(root: Path, tmp_path: Path) -> None:
    git(root, "init", "-q")
    (root / "f.log").write_text("")
    (root / ".gitignore").write_text("*.log\n")
    git(root, "add", "-f", ".")
    git(root, "-c", "user.name=x", "-c", "user.email=x", "commit", "-qm", "x")
    git(root, "worktree", "add", "-q", str(tmp_path / "other"))
    write(tmp_path / "other", "g.log")
    assert synced(tmp_path / "other", Rules.load(tmp_path / "other")) == ".gitignore f.log"


COMMIT = ("-c", "user.name=x", "-c", "user.email=x@example.org", "commit", "-qm", "x")


def test_what_a_submodule_tracks_is_synced_although_it_is_ignored(
    root: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    write(other, "f.log a.py deep/g.log")
    (other / ".gitignore").write_text("*.log\n")
    git(other, "init", "-q")
    git(other, "add", "-f", ".")
    git(other, *COMMIT)
    git(root, "init", "-q")
    add = ("-c", "protocol.file.allow=always", "submodule", "add", "-q", str(other), "libs/sub")
    git(root, *add)
    (root / ".gitignore").write_text("*.log\n")
    write(root, "libs/sub/h.log libs/sub/new.py i.log")
    rules = Rules.load(root)
    inner = "libs/sub/.gitignore libs/sub/a.py libs/sub/deep/g.log libs/sub/f.log"
    tracked = f".gitignore .gitmodules {inner}"
    assert synced(root, rules) == f"{tracked} libs/sub/new.py"
    assert not rules.refresh()
    git(root / "libs" / "sub", "add", "-f", "h.log")
    assert rules.refresh()
    assert synced(root, rules) == f"{tracked} libs/sub/h.log libs/sub/new.py"
    assert synced(root / "libs" / "sub", Rules.load(root / "libs" / "sub")) == (
        ".gitignore a.py deep/g.log f.log h.log new.py"
    )


@pytest.mark.parametrize("kind", ["submodule", "clone"])
def test_in_another_repository_its_own_rules_hold_and_none_around_it(
    root: Path, tmp_path: Path, kind: str
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    git(other, "init", "-q")
    write(other, "a.py")
    (other / ".gitignore").write_text("*.own\n")
    git(other, "add", ".")
    git(other, *COMMIT)
    git(root, "init", "-q")
    (root / ".gitignore").write_text("*.log\n/sub/deep/\n")
    (tmp_path / "mine").write_text("*.persons\n")
    git(root, "config", "core.excludesFile", str(tmp_path / "mine"))
    if kind == "submodule":
        add = ("submodule", "--quiet", "add", str(other), "sub")
        git(root, "-c", "protocol.file.allow=always", *add)
    else:
        git(root, "clone", "-q", str(other), "sub")
    sub = root / "sub"
    git(sub, "config", "core.excludesFile", str(tmp_path / "mine"))
    exclude = os.fsdecode(git(sub, "rev-parse", "--git-path", "info/exclude")).rstrip("\n")
    (sub / exclude).write_text("*.excluded\n")
    write(sub, "x.log x.own x.excluded x.persons deep/f deep/x.log deep/x.own x.py")
    write(root, "x.log x.own x.py")
    rules = Rules.load(root)
    listed = os.fsdecode(git(sub, "ls-files", "-z", "-co", "--exclude-standard")).split("\0")
    ours = {path for path in synced(root, rules).split() if path.startswith("sub/")}
    assert ours == {f"sub/{path}" for path in listed if path}
    assert rules.decide("x.log", False).ignored
    assert not rules.decide("x.own", False).ignored


def test_a_repository_whose_git_folder_is_elsewhere_counts(root: Path, tmp_path: Path) -> None:
    git(root, "init", "-q", f"--separate-git-dir={tmp_path / 'elsewhere'}")
    write(root, "f.log g.log a.py")
    (root / ".gitignore").write_text("*.log\n")
    (tmp_path / "elsewhere" / "info" / "exclude").write_text("a.py\n")
    git(root, "add", "-f", "f.log")
    assert synced(root, Rules.load(root)) == ".gitignore f.log"


def test_a_worktrees_own_index_counts(root: Path, tmp_path: Path) -> None:
    git(root, "init", "-q")
    (root / ".gitignore").write_text("*.log\n")
    git(root, "add", ".")
    git(root, *COMMIT)
    git(root, "worktree", "add", "-q", str(tmp_path / "second"))
    second = tmp_path / "second"
    write(root, "f.log")
    write(second, "f.log g.log")
    rules = Rules.load(second)
    assert synced(second, rules) == ".gitignore"
    git(second, "add", "-f", "g.log")
    assert rules.refresh()
    assert synced(second, rules) == ".gitignore g.log"
    assert synced(root, Rules.load(root)) == ".gitignore"


def test_upper_and_lower_case_are_one_where_git_says_so(root: Path) -> None:
    git(root, "init", "-q")
    write(root, "A.LOG b.Log c")
    (root / ".gitignore").write_text("*.log\nB.[L]og\n")
    git(root, "config", "core.ignorecase", "false")
    assert synced(root, Rules.load(root)) == ".gitignore A.LOG b.Log c"
    git(root, "config", "core.ignorecase", "true")
    assert synced(root, Rules.load(root)) == ".gitignore c"


def test_variables_of_a_git_hook_do_not_lead_elsewhere(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git(root, "init", "-q")
    write(root, "f.pyc")
    git(root, "add", "-f", "f.pyc")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "nowhere"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "nothing"))
    assert synced(root, Rules.load(root)) == "f.pyc"


def test_without_git_the_projects_files_count(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    write(root, "a b .git/HEAD")
    (root / ".gitignore").write_text("a\n")
    assert synced(root, Rules.load(root)) == ".gitignore b"


def test_an_ignore_file_that_is_a_link_does_not_count(root: Path, tmp_path: Path) -> None:
    (tmp_path / "rules").write_text("a\n")
    (root / ".gitignore").symlink_to(tmp_path / "rules")
    write(root, "a")
    assert synced(root, Rules.load(root)) == ".gitignore a"


def test_names_that_are_no_utf_8_are_decided_by_their_bytes(root: Path) -> None:
    (root / ".gitignore").write_bytes(b"caf\xe9\n[\xe9]\n?\n")
    rules = Rules.load(root)
    assert rules.decide("caf\udce9", False).ignored
    assert rules.decide("\udce9", False).ignored
    assert not rules.decide("é", False).ignored  # two bytes
    assert rules.decide("caf\udce9", False).rule == "caf\udce9"
    assert not rules.decide("xx/\udcff\n", False).ignored


# --- what is ours -----------------------------------------------------------------------------


def test_what_git_tracks_is_synced_and_of_an_ignored_folder_nothing_else(root: Path) -> None:
    git(root, "init", "-q")
    write(root, "data/x.csv data/y.csv data/deep/z venv/bin/python build/out.pyc build/b.pyc")
    write(root, "venv/pyvenv.cfg")
    (root / ".gitignore").write_text("data/\n")
    git(root, "add", "-f", "data/x.csv", "venv/bin/python", "build/out.pyc")
    rules = Rules.load(root)
    assert synced(root, rules) == ".gitignore build/out.pyc data/x.csv venv/bin/python"
    assert rules.decide("data", True) == (False, "data", "holds what git tracks")
    assert rules.decide("data/deep", True).ignored


def test_our_own_ignore_beats_what_git_tracks(root: Path) -> None:
    git(root, "init", "-q")
    write(root, "data/x.csv data/y.csv")
    git(root, "add", "-f", "data/x.csv")
    assert synced(root, Rules.load(root, ignore=["data/"])) == ""
    assert synced(root, Rules.load(root, ignore=["data/*", "!x.csv"])) == "data/x.csv"


def test_included_paths_are_synced_whatever_ignores_them(root: Path) -> None:
    write(
        root,
        ".env data/mini/a.csv data/mini/b.txt data/big/c.csv data/.env data/big/.env out/d out/e~",
    )
    (root / ".gitignore").write_text(".env\ndata/\nout/*\n")
    rules = Rules.load(root, ignore=["*.csv"], include=[".env", "data/mini/*.csv", "out/"])
    assert synced(root, rules) == ".env .gitignore data/.env data/mini/a.csv out/d"
    assert rules.decide("data/mini/a.csv", False) == (False, "data/mini/*.csv", "sync.include")
    assert not rules.decide("data", True).ignored
    assert rules.decide("data/big", True).ignored


def test_an_include_below_any_folder_opens_what_is_below_its_beginning(root: Path) -> None:
    write(root, "data/a/b/keep data/a/b/other else/keep")
    (root / ".gitignore").write_text("data/\nelse/\n")
    assert synced(root, Rules.load(root, include=["data/**/keep"])) == ".gitignore data/a/b/keep"


def test_git_and_our_own_files_are_never_synced(root: Path) -> None:
    write(root, "sidecar.toml sidecar.local.toml pyproject.toml .sidecar/x sub/.git/HEAD sub/f")
    rules = Rules.load(root, ignore=["!.git", "!.sidecar"], include=[".git/", "sidecar.toml"])
    assert synced(root, rules) == "pyproject.toml sub/f"


def test_the_built_in_list_is_undone_by_an_ignore_with_an_exclamation_mark(root: Path) -> None:
    write(root, "a.swp .b.sw 4913 c~ __pycache__/d.pyc node_modules/e f.tmp .#g #h# .DS_Store")
    assert synced(root, Rules.load(root)) == ".b.sw"
    (root / ".gitignore").write_text("!*.swp\n")  # which is git's business alone
    assert synced(root, Rules.load(root)) == ".b.sw .gitignore"
    rules = Rules.load(root, ignore=["!*.swp", "!__pycache__/", "!*.pyc"])
    assert synced(root, rules) == ".b.sw .gitignore __pycache__/d.pyc a.swp"


def test_environments_are_known_by_what_they_hold(root: Path) -> None:
    write(root, "e1/pyvenv.cfg e1/bin/python e2/conda-meta/history e3/f")
    rules = Rules.load(root)
    assert synced(root, rules) == "e3/f"
    assert rules.decide("e1/bin/python", False) == (True, "pyvenv.cfg", "an environment")
    assert synced(root, Rules.load(root, ignore=["!e1/"])) == "e1/bin/python e1/pyvenv.cfg e3/f"


def test_folders_that_are_projects_of_their_own_are_left_out(root: Path) -> None:
    write(root, "a/sidecar.toml a/f b/f c/pyproject.toml c/f d/pyproject.toml d/f")
    (root / "c" / "pyproject.toml").write_text("[project]\n[tool.sidecar]\n")
    (root / "d" / "pyproject.toml").write_text("[tool.sidecars]\n")
    rules = Rules.load(root)
    assert synced(root, rules) == "b/f d/f d/pyproject.toml"
    assert rules.decide("a", True).source == "a project of its own"


def test_changed_rules_hold_after_a_reload(root: Path) -> None:
    write(root, "a b/c env/f")
    rules = Rules.load(root)
    assert not rules.decide("b/c", False).ignored
    (root / ".gitignore").write_text("b/\n")
    (root / "env" / "pyvenv.cfg").write_text("")
    assert all(map(rules.is_rule_file, [".gitignore", "b/.gitignore", "env/pyvenv.cfg"]))
    assert not any(map(rules.is_rule_file, ["a", "gitignore", "pyproject.toml"]))
    before = rules.generation
    rules.reload()
    assert rules.generation > before
    assert rules.decide("b/c", False).ignored
    assert rules.decide("env/f", False).ignored


def test_a_changed_index_is_seen_by_refresh(root: Path) -> None:
    git(root, "init", "-q")
    write(root, "a.pyc b")
    rules = Rules.load(root)
    assert not rules.refresh()
    git(root, "add", "b")
    assert rules.refresh()
    git(root, "add", "-f", "a.pyc")
    assert rules.refresh()
    assert not rules.decide("a.pyc", False).ignored
    os.utime(root / ".git" / "index", ns=(1, 1))
    assert not rules.refresh()
    (root / ".git" / "info" / "exclude").write_text("b\n")
    assert rules.refresh()


def test_what_came_in_a_folders_place_is_decided_anew(root: Path) -> None:
    write(root, "env/pyvenv.cfg env/deep/f")
    rules = Rules.load(root)
    assert rules.decide("env/deep/f", False).ignored
    (root / "env" / "pyvenv.cfg").unlink()
    rules.forget("env")
    assert not rules.decide("env/deep/f", False).ignored


def test_a_path_of_a_thousand_folders_is_decided(root: Path) -> None:
    assert not Rules.load(root).decide("a/" * 2000 + "f", False).ignored


def test_more_folders_than_are_kept_are_decided_too(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ignore, "MAX_FOLDERS", 3)
    write(root, " ".join(f"d{number}/e/f.log" for number in range(9)))
    (root / "d3" / ".gitignore").write_text("*.log")
    assert len(synced(root, Rules.load(root)).split()) == 9


# --- lines ------------------------------------------------------------------------------------


@pytest.mark.parametrize("line", ["", "#x", "  ", "/", "!", "!/"])
def test_lines_that_hold_no_pattern(line: str) -> None:
    assert parse(line, "") is None


def test_a_byte_order_mark_and_line_ends_of_windows_are_no_part_of_a_pattern() -> None:
    found = parse_file(b"\xef\xbb\xbfa\r\n\r\n#c\nb\\ \n", "f")
    assert [(one.glob, one.source) for one in found] == [("a", "f:1"), ("b\\ ", "f:4")]


def test_the_last_pattern_that_matches_decides() -> None:
    patterns = PatternList(parse_lines(["*.py", "!a*", "ab*/"], "x"))
    for name, is_directory, text in [
        ("b.py", False, "*.py"), ("ab", False, "!a*"), ("ab", True, "ab*/"), ("c", False, None),
    ]:  # fmt: skip
        hit = patterns.match(name, name, is_directory)
        assert (hit and hit.text) == text


@pytest.mark.parametrize("line", ["*a" * 8 + "b", "/" + "*a" * 8 + "b", "/" + "**/a/" * 12 + "b"])
def test_a_line_of_many_stars_keeps_nobody_waiting(line: str) -> None:
    rules = PatternList(parse_lines([line], "test"))
    began = time.process_time()
    assert rules.match("a/" * 45 if "/a" in line else "a" * 45, "a" * 45, False) is None
    assert time.process_time() - began < 1
