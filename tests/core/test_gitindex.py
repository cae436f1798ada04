"""The index as we write it, read by git itself."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core import gitindex, staged
from sidecar.core.gitindex import Entry, NoIndex
from tests.git.shell import git
from tests.servers.programs import need_program


@pytest.fixture(params=["sha1", "sha256"])
def repository(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Three files and a link, committed."""
    need_program("git")
    git(tmp_path, "init", "-q", f"--object-format={request.param}")
    (tmp_path / "src").mkdir()
    (tmp_path / "src/train.py").write_text("train()\n")
    (tmp_path / "empty").touch()
    (tmp_path / "run.sh").write_text("#!/bin/sh\n")
    (tmp_path / "run.sh").chmod(0o755)
    (tmp_path / "link").symlink_to("src/train.py")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "first")
    return tmp_path


def algorithm_of(folder: Path) -> str:
    return git(folder, "rev-parse", "--show-object-format").decode().strip()


def with_stat(folder: Path, entries: list[Entry]) -> list[Entry]:
    found = []
    for one in entries:
        path = folder / os.fsdecode(one.path)
        found.append(
            one._replace(stat=gitindex.stat_of(path.lstat())) if os.path.lexists(path) else one
        )
    return found


def listed(folder: Path) -> list[Entry]:
    return staged.read_index(git(folder, "ls-files", "-v", "-s", "-z"))


def write(folder: Path, entries: list[Entry]) -> None:
    (folder / ".git/index").write_bytes(gitindex.encode(entries, algorithm_of(folder)))


def status(folder: Path) -> bytes:
    return git(folder, "--no-optional-locks", "status", "--porcelain")


def test_git_finds_an_index_of_ours_clean_and_believes_its_stat(repository: Path) -> None:
    entries = with_stat(repository, listed(repository))
    expected = git(repository, "ls-files", "--debug")
    write(repository, entries)
    assert git(repository, "ls-files", "--debug") == expected
    assert status(repository) == b""
    git(repository, "fsck", "--strict")


def test_what_is_edited_behind_the_index_shows(repository: Path) -> None:
    write(repository, with_stat(repository, listed(repository)))
    (repository / "src/train.py").write_text("other\n")
    assert status(repository) == b" M src/train.py\n"


def test_a_file_that_a_filter_would_change_is_clean_by_its_stat_and_looked_at_without(
    repository: Path,
) -> None:
    entries = with_stat(repository, listed(repository))
    (repository / ".git/info/attributes").write_text("*.py filter=shout\n")
    git(repository, "config", "filter.shout.clean", "tr a-z A-Z")
    # One whose stat is as young as the index is looked at in any case.
    os.utime(repository / "src/train.py", (1_000_000_000, 1_000_000_000))
    write(repository, with_stat(repository, entries))
    assert status(repository) == b""
    write(repository, [one._replace(stat=gitindex.UNSEEN) for one in entries])
    assert status(repository) == b" M src/train.py\n"


def test_flags_and_the_stages_of_a_conflict_are_written(repository: Path) -> None:
    blob = bytes.fromhex(
        git(repository, "hash-object", "-w", "--stdin", data=b"x").decode().strip()
    )
    entries = [one for one in listed(repository) if one.path != b"empty"]
    entries += [Entry(b"empty", gitindex.REGULAR, blob, stage) for stage in (1, 2, 3)]
    entries = [
        one._replace(flags=gitindex.SKIP_WORKTREE)
        if one.path == b"link"
        else one._replace(flags=gitindex.ASSUME_UNCHANGED)
        if one.path == b"run.sh"
        else one
        for one in entries
    ]
    entries.append(Entry(b"later", gitindex.REGULAR, _empty(repository), 0, gitindex.INTENT_TO_ADD))
    (repository / "link").unlink()
    (repository / "later").write_text("x")
    write(repository, entries)
    assert status(repository).splitlines() == [b"UU empty", b" A later"]
    assert git(repository, "ls-files", "-v", "-s", "link").startswith(b"S ")
    assert git(repository, "ls-files", "-v", "-s", "run.sh").startswith(b"h ")
    git(repository, "fsck", "--strict")


def _empty(folder: Path) -> bytes:
    return bytes.fromhex(git(folder, "hash-object", "-w", "--stdin", data=b"").decode().strip())


def test_a_path_longer_than_its_field_is_read_to_its_end(repository: Path) -> None:
    blob = _empty(repository)
    long = b"/".join([b"n" * 200] * 30)
    write(repository, [Entry(long, gitindex.REGULAR, blob), Entry(b"a", gitindex.REGULAR, blob)])
    assert git(repository, "ls-files", "-z") == b"a\0" + long + b"\0"


@pytest.mark.parametrize(
    "path", [b"", b"/a", b"a/../b", b"a//b", b".git/config", b"a/.GIT/x", b"."]
)
def test_a_path_that_git_does_not_take_is_refused(path: bytes) -> None:
    with pytest.raises(NoIndex):
        gitindex.encode([Entry(path, gitindex.REGULAR, bytes(20))], "sha1")


@pytest.mark.parametrize(
    "entry",
    [
        Entry(b"a", 0o100666, bytes(20)),
        Entry(b"a", gitindex.REGULAR, bytes(19)),
        Entry(b"a", gitindex.REGULAR, bytes(20), 4),
        Entry(b"a", gitindex.REGULAR, bytes(20), 0, 1),
    ],
)
def test_an_entry_that_git_does_not_have_is_refused(entry: Entry) -> None:
    with pytest.raises(NoIndex):
        gitindex.encode([entry], "sha1")


def test_two_entries_for_one_path_are_refused_unless_they_are_a_conflicts_stages() -> None:
    one = Entry(b"a", gitindex.REGULAR, bytes(20))
    for twice in ([one, one], [one, one._replace(stage=2)], [one._replace(stage=2)] * 2):
        with pytest.raises(NoIndex):
            gitindex.encode(twice, "sha1")
    gitindex.encode([one._replace(stage=1), one._replace(stage=3)], "sha1")


# --- what travels of an index

names = st.from_regex(rb"[a-z\xff]{1,3}(/[a-z]{1,2}){0,2}", fullmatch=True)
blobs = st.tuples(
    st.sampled_from([gitindex.REGULAR, gitindex.EXECUTABLE]), st.binary(min_size=20, max_size=20)
)
flags = st.sampled_from([0, 0, gitindex.SKIP_WORKTREE, gitindex.ASSUME_UNCHANGED])


@given(st.dictionaries(names, blobs), st.dictionaries(names, st.tuples(blobs, flags)), st.data())
def test_an_index_is_the_same_again_after_it_travelled(
    tree: staged.Tree, index: dict[bytes, tuple[tuple[int, bytes], int]], data: st.DataObject
) -> None:
    kept = data.draw(st.sets(st.sampled_from(sorted(tree)))) if tree else set()
    entries = [Entry(path, *blob, 0, flag) for path, (blob, flag) in index.items()]
    entries += [Entry(path, *tree[path]) for path in kept - index.keys()]
    unlike = data.draw(st.sets(names))
    there = {one.path for one in entries}
    travelled = staged.unpack(staged.pack(staged.difference(tree, entries, unlike)))
    assert sorted(staged.applied(tree, travelled)) == sorted(entries)
    assert set(travelled.unlike) == unlike & there


def test_an_index_that_is_the_commits_travels_as_nothing() -> None:
    tree = {b"f%d" % number: (gitindex.REGULAR, bytes(20)) for number in range(10_000)}
    index = [Entry(path, *traits) for path, traits in tree.items()]
    assert len(staged.pack(staged.difference(tree, index, set()))) < 20


@given(st.binary(max_size=200))
def test_garbage_is_refused_as_such(packed: bytes) -> None:
    with pytest.raises(NoIndex):
        staged.unpack(packed)


@pytest.mark.parametrize(
    "text", ["[]", "[[],[],[1]]", '[[],[],["../a"]]', "[[[1,2,3]],[],[]]", '[[],[".git/a"],[]]']
)
def test_what_is_malformed_is_refused(text: str) -> None:
    import zlib

    with pytest.raises(NoIndex):
        staged.unpack(zlib.compress(text.encode()))
