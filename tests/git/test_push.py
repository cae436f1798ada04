"""The repository there follows: a real engine, a real agent, and git itself on both sides."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sidecar.agent.git.backups import LEFT, MOST
from sidecar.errors import SidecarError
from sidecar.git.push import Outcome, Push, Side
from tests.git.shell import commit, git, status, words
from tests.servers.programs import need_program
from tests.sync.sides import Sides


class Pair:
    """A project with a repository here, in step with its copy there."""

    def __init__(self, sides: Sides) -> None:
        self.sides, self.here, self.there = sides, sides.here, sides.there

    def push(self) -> Push:
        engine = self.sides.engine
        assert self.sides.agent is not None
        side = Side(
            engine.agreed_here,
            lambda path: engine.rules.decide(path, False).ignored,
            lambda: engine.managed_digest,
        )
        number = self.sides.attachment.there.number
        return Push(self.here, "box", self.sides.agent, number, side)

    async def follow(self, *, make: bool = True, anyway: bool = False) -> Outcome:
        await self.sides.engine.sync()
        return await self.push().follow(make=make, anyway=anyway)

    def is_same(self) -> None:
        """What a person asks of git has one answer on both sides."""
        for asked in (
            ("rev-parse", "HEAD"),
            ("rev-parse", "--symbolic-full-name", "HEAD"),
            ("log", "--format=%H %s"),
            ("describe", "--always", "--tags"),
            ("diff", "HEAD"),
            ("diff", "--cached", "--raw", "--no-abbrev"),
            ("ls-files", "-v", "-s"),
        ):
            assert words(self.there, *asked) == words(self.here, *asked), asked
        assert status(self.there) == status(self.here)
        git(self.there, "fsck", "--strict")


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[Pair]:
    need_program("git")
    sides = Sides(tmp_path)
    git(sides.here, "init", "-q", "-b", "main")
    for name in ("train.py", "src/model.py", "src/data.py"):
        sides.write(name, f"# {name}\n")
    sides.write(".gitignore", "runs/\n")
    commit(sides.here, "first")
    await sides.begin(watch=False)
    await sides.attach()
    yield Pair(sides)
    await sides.end()


async def test_a_repository_is_made_there_and_is_the_same(pair: Pair) -> None:
    outcome = await pair.follow()
    assert outcome.state == "same", outcome
    pair.is_same()
    assert status(pair.there) == "", (
        git(pair.there, "ls-files", "--debug"),
        git(pair.here, "ls-files", "--debug"),
        git(pair.here, "diff-files", "--raw"),
    )


async def test_none_is_made_unasked(pair: Pair) -> None:
    outcome = await pair.follow(make=False)
    assert outcome.state == "absent"
    assert not (pair.there / ".git").exists()


async def test_a_commit_with_three_changed_files_is_there_with_a_clean_status(pair: Pair) -> None:
    await pair.follow()
    for name in ("train.py", "src/model.py", "src/new.py"):
        pair.sides.write(name, "changed\n")
    await pair.sides.engine.sync()
    assert status(pair.there) == " M src/model.py\n M train.py\n?? src/new.py\n"
    commit(pair.here)
    assert (await pair.follow()).state == "same"
    assert status(pair.there) == "", (
        git(pair.there, "ls-files", "--debug"),
        git(pair.here, "ls-files", "--debug"),
        git(pair.here, "diff-files", "--raw"),
    )
    pair.is_same()


async def test_what_is_staged_and_what_is_changed_shows_as_here(pair: Pair) -> None:
    await pair.follow()
    pair.sides.write("train.py", "staged\n")
    git(pair.here, "add", "train.py")
    pair.sides.write("train.py", "staged, and changed\n")
    pair.sides.write("later.py", "later\n")
    git(pair.here, "add", "-N", "later.py")
    git(pair.here, "rm", "-q", "--cached", "src/data.py")
    await pair.follow()
    pair.is_same()
    assert "MM train.py" in status(pair.there)


async def test_a_branch_switch_an_amend_a_rebase_and_a_merge_are_followed(pair: Pair) -> None:
    await pair.follow()
    git(pair.here, "checkout", "-q", "-b", "topic")
    pair.sides.write("train.py", "topic\n")
    commit(pair.here, "on topic")
    await pair.follow()
    pair.is_same()
    amended = words(pair.here, "rev-parse", "HEAD")
    git(pair.here, "commit", "-q", "--amend", "-m", "amended")
    outcome = await pair.follow()
    pair.is_same()
    # What the amend left behind has a name there still.
    assert [words(pair.there, "rev-parse", ref) for ref in outcome.kept] == [amended]
    git(pair.here, "checkout", "-q", "main")
    pair.sides.write("src/data.py", "on main\n")
    commit(pair.here, "on main")
    await pair.follow()
    pair.is_same()
    git(pair.here, "checkout", "-q", "topic")
    git(pair.here, "rebase", "-q", "main")
    await pair.follow()
    pair.is_same()
    git(pair.here, "checkout", "-q", "main")
    git(pair.here, "merge", "-q", "--no-ff", "-m", "merge", "topic")
    git(pair.here, "tag", "-m", "a release", "v1")
    await pair.follow()
    pair.is_same()
    assert words(pair.there, "describe") == "v1"


async def test_a_detached_head_a_stash_and_a_bisection_are_followed(pair: Pair) -> None:
    await pair.follow()
    for number in range(4):
        pair.sides.write("train.py", f"{number}\n")
        commit(pair.here, f"number {number}")
    git(pair.here, "bisect", "start", "HEAD", "HEAD~4")
    await pair.follow()
    pair.is_same()
    git(pair.here, "bisect", "reset")
    pair.sides.write("train.py", "put aside\n")
    await pair.follow()
    git(pair.here, "stash", "-q")
    await pair.follow()
    pair.is_same()
    git(pair.here, "stash", "pop", "-q")
    await pair.follow()
    pair.is_same()


async def test_a_conflict_of_a_merge_shows_there_as_here(pair: Pair) -> None:
    await pair.follow()
    git(pair.here, "checkout", "-q", "-b", "topic")
    pair.sides.write("train.py", "topic\n")
    commit(pair.here)
    git(pair.here, "checkout", "-q", "main")
    pair.sides.write("train.py", "main\n")
    commit(pair.here)
    git(pair.here, "merge", "-q", "topic", fails=True)
    assert status(pair.here) == "UU train.py\n"
    await pair.follow()
    assert status(pair.there) == "UU train.py\n"
    pair.sides.write("train.py", "both\n")
    commit(pair.here, "merged")
    await pair.follow()
    pair.is_same()


async def test_a_commit_made_there_is_brought_here_and_nothing_moves_away_from_it(
    pair: Pair,
) -> None:
    await pair.follow()
    (pair.there / "train.py").write_text("made there\n")
    theirs = commit(pair.there, "made there")
    pair.sides.write("src/model.py", "made here\n")
    mine = commit(pair.here, "made here")
    outcome = await pair.follow()
    assert outcome.state == "apart"
    assert "1 commit that is not here: box/main" in outcome.text
    assert words(pair.there, "rev-parse", "main") == theirs
    assert words(pair.here, "rev-parse", "main") == mine
    assert words(pair.here, "rev-parse", "box/main") == theirs
    await pair.sides.engine.sync(prefer="remote")
    git(pair.here, "checkout", "-q", "--", ".")
    git(pair.here, "merge", "-q", "-m", "both", "box/main")
    await pair.follow()
    pair.is_same()


async def test_a_repair_sets_what_was_committed_there_aside_and_loses_nothing(pair: Pair) -> None:
    await pair.follow()
    git(pair.there, "branch", "experiment")
    theirs = commit(pair.there, "made there")
    mine = commit(pair.here, "made here")
    outcome = await pair.follow(anyway=True)
    assert outcome.state == "same", outcome
    assert words(pair.there, "rev-parse", "main") == mine
    assert [words(pair.there, "rev-parse", ref) for ref in outcome.kept] == [theirs]
    assert words(pair.here, "rev-parse", outcome.fetched) == theirs
    assert words(pair.there, "rev-parse", "experiment")
    pair.is_same()


async def test_the_mess_of_a_clone_that_files_were_copied_over_is_clean_again(pair: Pair) -> None:
    """Everything modified there, and all of it as here: the copy is behind in commits alone."""
    git(pair.sides.home, "clone", "-q", str(pair.here), "clone")
    (pair.sides.home / "clone/.git").rename(pair.there / ".git")
    for name in ("train.py", "src/model.py", "src/data.py"):
        pair.sides.write(name, "newer\n")
    mine = commit(pair.here, "newer")
    await pair.sides.engine.sync()
    git(pair.there, "add", "train.py")
    assert status(pair.there) == " M src/data.py\n M src/model.py\nM  train.py\n"
    outcome = await pair.follow(make=False)
    assert outcome.state == "same", outcome
    assert status(pair.there) == "", (
        git(pair.there, "ls-files", "--debug"),
        git(pair.here, "ls-files", "--debug"),
        git(pair.here, "diff-files", "--raw"),
    )
    assert words(pair.there, "rev-parse", "HEAD") == mine
    (staged,) = outcome.kept  # what somebody had staged has a name
    assert git(pair.there, "show", f"{staged}:train.py") == b"newer\n"
    pair.is_same()


@pytest.mark.parametrize("what", ["index.lock", "MERGE_HEAD", "rebase-merge"])
async def test_an_operation_in_progress_there_is_left_alone(pair: Pair, what: str) -> None:
    await pair.follow()
    before = words(pair.there, "rev-parse", "HEAD")
    (pair.there / ".git" / what).touch()
    commit(pair.here)
    outcome = await pair.follow()
    assert outcome.state == "waits"
    assert words(pair.there, "rev-parse", "HEAD") == before
    (pair.there / ".git" / what).unlink()
    assert (await pair.follow()).state == "same"
    pair.is_same()


async def test_a_lock_that_a_killed_agent_left_is_removed_and_nobody_elses(pair: Pair) -> None:
    await pair.follow()
    lock = pair.there / ".git/index.lock"
    code = (
        "import os, sys\n"
        "from sidecar.agent.git.indexlock import IndexLock\n"
        "from sidecar.agent.roots.root import Root\n"
        "root = Root(1, os.fsencode(sys.argv[1]))\n"
        "root.open(1)\n"
        "lock = IndexLock(root, root.path + b'/.git')\n"
        "lock.prepare(b'half an index')\n"
        "lock.take()\n"
        "os._exit(9)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(pair.there)], check=False, timeout=30)
    assert lock.exists()
    commit(pair.here)
    assert (await pair.follow()).state == "same"
    assert not lock.exists()
    pair.is_same()
    lock.touch()
    commit(pair.here)
    assert (await pair.follow()).state == "waits"
    assert lock.exists()


async def test_no_hook_runs_and_no_configuration_is_copied(pair: Pair, tmp_path: Path) -> None:
    git(pair.here, "remote", "add", "origin", "https://ada:secret@example.org/x.git")
    await pair.follow()
    ran = tmp_path / "ran"
    for folder in (pair.here, pair.there):
        hooks = folder / ".git/hooks"
        hooks.mkdir(exist_ok=True)
        for name in ("reference-transaction", "post-checkout", "post-index-change", "pre-push"):
            (hooks / name).write_text(f"#!/bin/sh\ntouch {ran}\n")
            (hooks / name).chmod(0o755)
    git(pair.here, "-c", "core.hooksPath=/dev/null", "commit", "-q", "--allow-empty", "-m", "x")
    await pair.follow()
    assert not ran.exists()
    assert "secret" not in (pair.there / ".git/config").read_text()


async def test_an_edit_made_there_shows_as_one(pair: Pair) -> None:
    await pair.follow()
    (pair.there / "train.py").write_text("theirs\n")
    commit(pair.here)
    await pair.follow()
    assert status(pair.there) == " M train.py\n"


async def test_what_git_tracks_and_we_do_not_send_is_not_called_deleted(pair: Pair) -> None:
    sides = pair.sides
    sides.write("data/big.bin", "much\n")
    commit(pair.here)
    await sides.end()
    await sides.begin(watch=False, ignore=["data/"])
    await sides.attach()
    (pair.there / "data/big.bin").unlink(missing_ok=True)
    await pair.follow()
    assert status(pair.there) == "", (
        git(pair.there, "ls-files", "--debug"),
        git(pair.here, "ls-files", "--debug"),
        git(pair.here, "diff-files", "--raw"),
    )
    assert words(pair.there, "rev-parse", "HEAD") == words(pair.here, "rev-parse", "HEAD")


async def test_what_we_do_not_send_is_not_called_deleted_when_it_is_changed_here(
    pair: Pair,
) -> None:
    sides = pair.sides
    sides.write("data/big.bin", "much\n")
    commit(pair.here)
    await sides.end()
    await sides.begin(watch=False, ignore=["data/"])
    await sides.attach()
    (pair.there / "data/big.bin").unlink(missing_ok=True)
    sides.write("data/big.bin", "more\n")
    await pair.follow()
    assert status(pair.there) == ""


async def test_a_branch_that_another_worktree_there_has_checked_out_is_not_moved(
    pair: Pair,
) -> None:
    await pair.follow()
    git(pair.there, "worktree", "add", "-q", "-b", "topic", str(pair.sides.home / "beside"))
    before = words(pair.there, "rev-parse", "topic")
    git(pair.here, "checkout", "-q", "-b", "topic")
    commit(pair.here)
    with pytest.raises(SidecarError) as caught:
        await pair.follow()
    assert "its worktree beside" in caught.value.why
    assert words(pair.there, "rev-parse", "topic") == before
    assert status(pair.sides.home / "beside") == ""


async def test_backups_stay_few_and_nothing_of_them_is_lost(pair: Pair) -> None:
    await pair.follow()
    tree = words(pair.there, "rev-parse", "HEAD^{tree}")
    made = [words(pair.there, "commit-tree", tree, "-m", f"{n}") for n in range(MOST)]
    lines = "".join(f"create refs/sidecar/heads/main/{one[:12]} {one}\n" for one in made)
    git(pair.there, "update-ref", "--stdin", data=lines.encode())
    commit(pair.here)
    await pair.follow()
    git(pair.here, "commit", "-q", "--amend", "--allow-empty", "-m", "amended")
    await pair.follow()
    names = words(pair.there, "for-each-ref", "--format=%(refname)", "refs/sidecar").split()
    assert len(names) == LEFT + 1
    assert set(made) <= set(words(pair.there, "rev-list", "--glob=refs/sidecar").split())
    told = words(pair.there, "log", "-1", "--format=%B", "refs/sidecar/older")
    assert all(any(one in told or one[:12] in name for name in names) for one in made)


async def test_files_that_a_filter_changes_are_clean_where_there_is_no_filter(pair: Pair) -> None:
    pair.sides.write(".gitattributes", "*.txt filter=shout\n")
    git(pair.here, "config", "filter.shout.clean", "tr a-z A-Z")
    # What is as young as the index is looked at by content, whatever its stat.
    os.utime(pair.sides.write("notes.txt", "quiet\n"), (1_000_000_000, 1_000_000_000))
    commit(pair.here)
    await pair.follow()
    assert status(pair.there) == "", (
        git(pair.there, "ls-files", "--debug"),
        git(pair.here, "ls-files", "--debug"),
        git(pair.here, "diff-files", "--raw"),
    )


async def test_many_objects_travel_as_a_pack(pair: Pair) -> None:
    for number in range(300):
        pair.sides.write(f"src/m{number}.py", f"{number}\n" * 50)
    commit(pair.here)
    await pair.follow()
    pair.is_same()
    assert list((pair.there / ".git/objects/pack").glob("*.pack"))


async def test_before_the_first_commit_what_is_staged_shows_as_here(tmp_path: Path) -> None:
    need_program("git")
    sides = Sides(tmp_path)
    git(sides.here, "init", "-q", "-b", "trunk", "--object-format=sha256")
    sides.write("a.py", "a\n")
    git(sides.here, "add", ".")
    await sides.begin(watch=False)
    await sides.attach()
    pair = Pair(sides)
    try:
        assert (await pair.follow()).state == "same"
        assert status(pair.there) == "A  a.py\n"
        assert words(pair.there, "symbolic-ref", "HEAD") == "refs/heads/trunk"
        commit(pair.here)
        assert (await pair.follow()).state == "same"
        pair.is_same()
    finally:
        await sides.end()


async def test_a_submodule_is_followed_by_its_commit_and_named(pair: Pair) -> None:
    inner = pair.sides.folder / "inner"
    inner.mkdir()
    git(inner, "init", "-q")
    (inner / "lib.py").write_text("lib\n")
    commit(inner)
    git(pair.here, "-c", "protocol.file.allow=always", "submodule", "add", "-q", str(inner), "lib")
    commit(pair.here, "with a submodule")
    outcome = await pair.follow()
    assert any("submodules" in note for note in outcome.notes)
    assert status(pair.there) == ""
    assert words(pair.there, "rev-parse", "HEAD:lib") == words(pair.here, "rev-parse", "HEAD:lib")
    assert (pair.there / "lib/lib.py").read_text() == "lib\n"
    assert not (pair.there / ".git/modules").exists()


async def test_a_shallow_clone_there_or_here_is_left_alone(pair: Pair) -> None:
    commit(pair.here, "second")
    url = f"file://{pair.here}"
    git(pair.sides.home, "clone", "-q", "--depth=1", url, "shallow")
    (pair.sides.home / "shallow/.git").rename(pair.there / ".git")
    outcome = await pair.follow()
    assert (outcome.state, "shallow" in outcome.text) == ("left", True)
    (pair.here / ".git/shallow").write_bytes((pair.there / ".git/shallow").read_bytes())
    outcome = await pair.follow()
    assert (outcome.state, "here" in outcome.text) == ("left", True)


async def test_a_branch_there_that_is_in_the_way_by_its_name_is_told(pair: Pair) -> None:
    await pair.follow()
    git(pair.there, "branch", "topic")
    git(pair.here, "checkout", "-q", "-b", "topic/one")
    before = status(pair.there)
    with pytest.raises(SidecarError) as caught:
        await pair.follow()
    assert "topic" in caught.value.why
    assert status(pair.there) == before
    assert not (pair.there / ".git/index.lock").exists()


@pytest.mark.parametrize(
    ("left", "make"),
    [
        ("worktree", lambda here: None),
        ("sparse", lambda here: git(here, "config", "core.sparseCheckout", "true")),
        ("partial", lambda here: git(here, "config", "remote.origin.promisor", "true")),
    ],
)
async def test_what_is_unusual_here_is_left_alone_in_words(
    pair: Pair, left: str, make: object
) -> None:
    if left == "worktree":
        moved = pair.here.parent / "main"
        (pair.here / ".git").rename(moved)
        git(moved, "config", "core.bare", "true")
        git(moved, "worktree", "add", "-q", "--no-checkout", str(pair.here / "w"), "HEAD")
        (pair.here / "w/.git").rename(pair.here / ".git")
    else:
        make(pair.here)  # type: ignore[operator]
    outcome = await pair.follow()
    assert outcome.state == "left"
    assert left in outcome.text
    assert not (pair.there / ".git").exists()
