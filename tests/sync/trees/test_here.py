"""What is looked at when paths are said to have changed here."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from sidecar.core import tree
from sidecar.core.identity import Identity, from_stat, to_bytes
from sidecar.sync.delta.content import nothing_known
from sidecar.sync.rules.ignore import Rules
from sidecar.sync.trees.agreed import Agreed, AgreedTree, pack
from sidecar.sync.trees.here import Here, differing
from sidecar.sync.trees.packed_tree import IdentityTree
from sidecar.sync.trees.scan import Problem, Scan


def widened(root: Path, *paths: str) -> set[str]:
    agreed = {"pkg": tree.FOLDER, "pkg/a.py": tree.file("x"), "main.py": tree.file("y")}
    here = Here(root, Rules.load(root), nothing_known, lambda digest, signature: None)
    return here.widened(paths, agreed, lambda path: True)


def test_a_folder_that_is_gone_is_looked_at_with_all_that_was_in_it(tmp_path: Path) -> None:
    assert widened(tmp_path, "pkg") == {"pkg", "pkg/a.py"}


def test_another_folder_of_the_same_name_is_not_taken_for_the_old_one(tmp_path: Path) -> None:
    (tmp_path / "pkg").mkdir()
    assert widened(tmp_path, "pkg") == {"pkg", "pkg/a.py"}


def test_a_link_in_place_of_a_folder_hides_nothing_of_the_old_one(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other/a.py").touch()
    (tmp_path / "pkg").symlink_to("other")
    assert widened(tmp_path, "pkg") == {"pkg", "pkg/a.py"}


def test_what_is_still_in_a_known_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "pkg").mkdir()
    (tmp_path / "pkg/a.py").touch()
    assert widened(tmp_path, "pkg") == {"pkg"}


def test_a_new_folder_is_looked_at_with_all_that_is_in_it(tmp_path: Path) -> None:
    (tmp_path / "new/deep").mkdir(parents=True)
    (tmp_path / "new/deep/b.py").touch()
    assert widened(tmp_path, "new/deep") == {"new", "new/deep", "new/deep/b.py"}


class TestDiffering:
    """What a scan found, against base and what is on its way."""

    @staticmethod
    def seen(number: int) -> Identity:
        return Identity("f", 0o644, number, 1, 1, 1)

    def tree(self, entries: dict[str, int]) -> IdentityTree:
        found = IdentityTree()
        for path, number in entries.items():
            found.put(path, to_bytes(self.seen(number)))
        return found

    @given(data=st.data())
    def test_it_is_what_is_not_as_it_was(self, data: st.DataObject) -> None:
        paths = st.sampled_from(["a", "b", "d/a", "d/b", "d/e/f", "g/h"])
        trees = st.dictionaries(paths, st.integers(0, 2))
        here, base = (
            data.draw(trees),
            data.draw(st.dictionaries(paths, st.none() | st.integers(0, 2))),
        )
        sent = data.draw(st.dictionaries(paths, st.none() | st.integers(0, 2)))
        agreed = AgreedTree()
        for path, number in base.items():
            local = None if number is None else self.seen(number)
            agreed.put(path, pack(Agreed(tree.file("aa"), local, self.seen(9))))
        on_their_way = {p: None if n is None else self.seen(n) for p, n in sent.items()}
        found = differing(Scan(self.tree(here), [], {}), agreed, on_their_way)
        expected = base | sent
        assert found == {
            path for path in here | expected if path not in here or here[path] != expected.get(path)
        }

    def test_what_could_not_be_looked_at_is_not_gone(self) -> None:
        agreed = AgreedTree()
        for path in ("closed/a", "closed/b/c", "open/d"):
            agreed.put(path, pack(Agreed(tree.file("aa"), self.seen(1), self.seen(1))))
        found = Scan(self.tree({"open/new": 1}), [Problem("closed", "no permission", True)], {})
        assert differing(found, agreed, {"closed/b/c": None}) == {"open/new", "open/d"}


async def test_what_base_holds_and_rules_ignore_is_found_so_until_it_is_dealt_with(
    tmp_path: Path,
) -> None:
    (tmp_path / "a.log").touch()
    (tmp_path / "b.py").touch()
    agreed = AgreedTree()
    for path in ("a.log", "b.py"):
        here = from_stat((tmp_path / path).lstat())
        agreed.put(path, pack(Agreed(tree.file("aa"), here, here)))
    rules = Rules.load(tmp_path, ["*.log"])
    side = Here(tmp_path, rules, nothing_known, lambda digest, signature: None, agreed)
    for _ in range(3):
        assert differing(side.scan(), agreed, {}) == {"a.log"}
    agreed.put("a.log", None)
    for _ in range(3):
        assert differing(side.scan(), agreed, {}) == set()
