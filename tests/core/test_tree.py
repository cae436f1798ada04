from hypothesis import given
from hypothesis import strategies as st

from sidecar.core import delta, tree


def test_the_folders_above_a_path_come_deepest_first() -> None:
    assert list(tree.ancestors("a/b/c")) == ["a/b", "a"]
    assert list(tree.ancestors("a")) == []
    assert list(tree.ancestors("")) == []


def test_a_link_is_its_targets_bytes() -> None:
    assert tree.link("../data").digest == delta.content_digest(b"../data")
    assert tree.link("caf\udce9").digest == delta.content_digest(b"caf\xe9")


def test_the_executable_bit_is_part_of_a_file() -> None:
    assert tree.file("x") != tree.file("x", executable=True)


PATHS = st.text("ab/é\udcff\n", min_size=1, max_size=6)
NODES = st.builds(
    tree.Node, st.sampled_from("fdl"), st.booleans(), st.sampled_from(["", "12", "34"])
)


@given(st.dictionaries(PATHS, NODES), st.dictionaries(PATHS, NODES))
def test_digests_of_trees_are_equal_just_when_the_trees_are(
    one: dict[str, tree.Node], other: dict[str, tree.Node]
) -> None:
    assert (tree.digest(one) == tree.digest(other)) == (one == other)
    assert tree.digest(dict(reversed(one.items()))) == tree.digest(one)
