import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.core import tree
from sidecar.core.identity import DIRECTORY, FILE, OTHER, SYMLINK
from sidecar.core.reconcile import (
    COMES,
    THEIRS,
    Adopt,
    Drop,
    MakeDirectory,
    Plan,
    Push,
    Remove,
    Take,
    reconcile,
)
from sidecar.core.tree import FOLDER, STRANGE, Node, Tree

X, Y, Z = tree.file("x"), tree.file("y"), tree.file("z")
RUNNABLE = tree.file("x", executable=True)
LINK = tree.link("elsewhere")
NODES = {"-": None, "x": X, "y": Y, "z": Z, "r": RUNNABLE, "l": LINK, "D": FOLDER, "o": STRANGE}


def trees(**letters: str) -> tuple[dict[str, Node], dict[str, Node], dict[str, Node]]:
    """Base, local and remote from paths ('__' for '/') with three letters each."""
    base: dict[str, Node] = {}
    local: dict[str, Node] = {}
    remote: dict[str, Node] = {}
    for name, row in letters.items():
        for side, letter in zip((base, local, remote), row, strict=True):
            node = NODES[letter]
            if node is not None:
                side[name.replace("__", "/")] = node
    return base, local, remote


def shown(plan: Plan) -> tuple[list[str], list[str]]:
    names = {Push: "+", MakeDirectory: "+/", Remove: "-", Adopt: "=", Drop: "0", Take: "<"}
    return (
        [names[type(action)] + action.path for action in plan.actions],
        [f"{note.path}: {note.kind}" for note in plan.notes],
    )


@pytest.mark.parametrize(
    ("row", "action", "note"),
    [
        ("---", "", ""),
        ("xxx", "", ""),
        ("xyy", "=", ""),
        ("-xx", "=", ""),
        ("x--", "0", ""),
        ("-x-", "+", ""),
        ("-l-", "+", ""),
        ("-D-", "+/", ""),
        ("xyx", "+", ""),
        ("xrx", "+", ""),
        ("xlx", "+", ""),
        ("x-x", "-", ""),
        ("D-D", "-", ""),
        ("l-l", "-", ""),
        ("xx-", "+", "deleted-there"),
        ("xy-", "+", "deleted-there"),
        ("DD-", "+/", "deleted-there"),
        ("Dx-", "+", "deleted-there"),
        ("xxy", "", "newer-there"),
        ("xxl", "", "newer-there"),
        ("xxr", "", "newer-there"),
        ("x-y", "", "kept"),
        ("x-D", "", "kept"),
        ("D-x", "", "kept"),
        ("-xy", "", "conflict"),
        ("xyz", "", "conflict"),
        ("xyl", "", "conflict"),
        ("--x", "", ""),
        ("--D", "", ""),
        ("xDx", "- +/", ""),
        ("lDl", "- +/", ""),
        ("DxD", "- +", ""),
        ("DlD", "- +", ""),
        ("DDx", "", "conflict"),
        ("DDl", "", "conflict"),
        ("-Dx", "", "conflict"),
        ("-Dl", "", "conflict"),
        ("xDy", "", "conflict"),
        ("xxD", "", "conflict"),
        ("-xD", "", "conflict"),
        ("xyD", "", "conflict"),
        ("Dxy", "", "conflict"),
        ("-xo", "", "conflict"),
        ("xxo", "", "conflict"),
        ("x-o", "", "kept"),
        ("--o", "", ""),
        ("-ox", "", "conflict"),
        ("-o-", "", "conflict"),
        ("-oo", "", ""),
    ],
)
def test_the_table(row: str, action: str, note: str) -> None:
    actions, notes = shown(reconcile(["p"], *trees(p=row)))
    assert [one.removesuffix("p") for one in actions] == action.split()
    assert notes == ([f"p: {note}"] if note else [])


@pytest.mark.parametrize(
    ("row", "prefer", "action", "note"),
    [
        ("xxy", "local", "+", ""),
        ("xyz", "local", "+", ""),
        ("-xy", "local", "+", ""),
        ("x-y", "local", "-", ""),
        ("xx-", "local", "+", "deleted-there"),
        ("DDl", "local", "- +/", ""),
        ("-xD", "local", "- +", ""),
        ("--x", "local", "", ""),
        ("-xo", "local", "", "conflict"),
        ("x-o", "local", "", "kept"),
        ("xxy", "remote", "<", ""),
        ("xyz", "remote", "<", ""),
        ("-xy", "remote", "<", ""),
        ("x-y", "remote", "<", ""),
        ("x-o", "remote", "", "kept"),
        ("-xD", "remote", "", "kept"),
        ("xx-", "remote", "", "kept"),
        ("DDl", "remote", "", "kept"),
        ("xyx", "remote", "+", ""),
        ("x-x", "remote", "-", ""),
        ("-x-", "remote", "+", ""),
    ],
)
def test_a_preference_decides_what_differs(row: str, prefer: str, action: str, note: str) -> None:
    for form in (prefer, {"p": prefer}):
        actions, notes = shown(reconcile(["p"], *trees(p=row), prefer=form))
        assert [one.removesuffix("p") for one in actions] == action.split()
        assert notes == ([f"p: {note}"] if note else [])


EVERY_PAIR = [
    # change here, change there: row, then push, mirror, COMES, COMES | THEIRS, THEIRS alone
    ("nothing, nothing", "xxx", "", "", "", "", ""),
    ("nothing, changed", "xxy", "newer-there", "newer-there", "<", "<", "newer-there"),
    ("nothing, deleted", "xx-", "+ deleted-there", "+ deleted-there", "+ deleted-there", "", ""),
    ("nothing, new", "--x", "", "-", "<", "<", ""),
    ("changed, nothing", "xyx", "+", "+", "+", "+", "+"),
    ("changed, alike", "xyy", "=", "=", "=", "=", "="),
    ("changed, changed", "xyz", "conflict", "conflict", "conflict", "conflict", "conflict"),
    ("changed, deleted", "xy-", *["+ deleted-there"] * 5),
    ("deleted, nothing", "x-x", "-", "-", "-", "", ""),
    ("deleted, changed", "x-y", "kept", "kept", "kept", "<", "kept"),
    ("deleted, deleted", "x--", "0", "0", "0", "0", "0"),
    ("new, nothing", "-x-", "+", "+", "+", "+", "+"),
    ("new, alike", "-xx", "=", "=", "=", "=", "="),
    ("new, other", "-xy", "conflict", "conflict", "conflict", "conflict", "conflict"),
    ("nothing, a link", "xxl", "newer-there", "newer-there", "<", "<", "newer-there"),
    ("nothing, a new link", "--l", "", "-", "<", "<", ""),
    ("nothing, a folder", "xxD", "conflict", "conflict", "conflict", "conflict", "conflict"),
    ("nothing, a new folder", "--D", "", "-", "", "", ""),
    ("a folder, nothing", "DDD", "", "", "", "", ""),
    ("folder deleted, nothing", "D-D", "-", "-", "-", "", ""),
    ("nothing, folder deleted", "DD-", *["+/ deleted-there"] * 3, "", ""),
    ("nothing, a new FIFO", "--o", "", "", "", "", ""),
    ("nothing, became a FIFO", "xxo", "conflict", "conflict", "conflict", "conflict", "conflict"),
]
COLUMNS = [("push", 0), ("mirror", 0), ("push", COMES), ("push", COMES | THEIRS), ("push", THEIRS)]


@pytest.mark.parametrize("pair", EVERY_PAIR, ids=lambda pair: pair[0])
def test_every_pair_of_changes_in_every_mode(pair: tuple[str, ...]) -> None:
    _, row, *expected = pair
    for (mode, flags), wanted in zip(COLUMNS, expected, strict=True):
        plan = reconcile(["p"], *trees(p=row), mode=mode, pull=lambda _, flags=flags: flags)  # type: ignore[misc]
        actions, notes = shown(plan)
        assert [
            *(one.removesuffix("p") for one in actions),
            *(one.removeprefix("p: ") for one in notes),
        ] == wanted.split(), (mode, flags)


@pytest.mark.parametrize("flags", [COMES, COMES | THEIRS, THEIRS])
@pytest.mark.parametrize("row", [pair[1] for pair in EVERY_PAIR if pair[1][:2] == "--"])
def test_mirror_leaves_what_comes_and_what_is_theirs(row: str, flags: int) -> None:
    plan = reconcile(["p"], *trees(p=row), mode="mirror", pull=lambda _: flags)
    assert [type(action) for action in plan.actions if type(action) is not Take] == []


def test_a_preference_for_theirs_brings_them_where_changes_come() -> None:
    for row in ("xxy", "xyz", "-xy"):
        plan = reconcile(["p"], *trees(p=row), prefer="remote", pull=lambda _: COMES)
        assert shown(plan) == (["<p"], [])
    for row, action in (("xxy", "+p"), ("xyz", "+p")):
        plan = reconcile(["p"], *trees(p=row), prefer="local", pull=lambda _: COMES)
        assert shown(plan) == ([action], [])


def test_deleting_a_folder_here_leaves_what_is_theirs_in_it() -> None:
    given_trees = trees(d="D-D", d__ours="x-x", d__theirs="x-x", d__new="--x")

    def pull(path: str) -> int:
        return THEIRS if path == "d/theirs" else 0

    actions, notes = shown(reconcile(["d", *given_trees[0]], *given_trees, pull=pull))
    assert actions == ["0d", "-d/ours"]
    assert notes == ["d: kept"]


def test_mirror_removes_what_only_the_remote_has() -> None:
    given_trees = trees(a="DDD", a__new="--D", a__new__f="--x", g="--o", k="x-y")
    actions, notes = shown(reconcile(given_trees[2], *given_trees, mode="mirror"))
    assert actions == ["-a/new/f", "-a/new"]
    assert notes == ["k: kept"]


def test_taking_theirs_at_first_contact_removes_nothing_in_mirror() -> None:
    plan = reconcile(["a", "b"], None, {"a": X}, {"a": Y, "b": X}, "mirror", "remote")
    assert shown(plan) == (["<a"], [])


def test_without_a_base_equal_content_is_agreement_and_the_rest_a_conflict() -> None:
    plan = reconcile("abc", None, {"a": X, "b": X, "c": X}, {"a": X, "b": Y})
    assert shown(plan) == (["=a", "+c"], ["b: conflict"])


def test_directories_come_before_files_and_removals_last_deepest_first() -> None:
    given_trees = trees(
        a="-D-", a__f="-x-", z="-x-", old="D-D", old__deep="D-D", old__deep__f="x-x", b="x-x"
    )
    actions, notes = shown(reconcile(["a", "a/f", "z", "old", "b"], *given_trees))
    assert actions == ["+/a", "+a/f", "+z", "-old/deep/f", "-old/deep", "-b", "-old"]
    assert notes == []


def test_a_deleted_directory_in_which_the_remote_made_a_file_is_kept_and_said_once() -> None:
    given_trees = trees(a="D-D", a__in="D-D", a__in__mine="x-x", a__in__theirs="--x")
    plan = reconcile(["a"], *given_trees)
    actions, notes = shown(plan)
    assert sorted(actions) == ["-a/in/mine", "0a", "0a/in"]
    assert notes == ["a: kept"]


def test_a_deleted_directory_waits_for_the_file_in_it_that_changed_there() -> None:
    given_trees = trees(a="D-D", a__f="x-y", a__g="x-x")
    assert shown(reconcile(["a"], *given_trees)) == (["-a/g"], ["a/f: kept"])
    assert shown(reconcile(["a/f"], *given_trees, prefer="local"))[0] == ["-a/f", "-a/g", "-a"]


def test_a_directory_that_the_remote_replaced_is_one_conflict_for_all_below_it() -> None:
    given_trees = trees(a="DDl", a__f="xx-", a__new="-x-", a__gone="x--")
    assert shown(reconcile(["a/f", "a/new"], *given_trees)) == (["0a/gone"], ["a: conflict"])
    actions, notes = shown(reconcile(["a/f", "a/new"], *given_trees, prefer="local"))
    assert actions == ["0a/gone", "-a", "+/a", "+a/f", "+a/new"]
    assert notes == []


def test_a_file_that_became_a_directory_makes_room_first() -> None:
    given_trees = trees(a="xDx", a__f="-x-", b="x-x")
    assert shown(reconcile(given_trees[1], *given_trees))[0] == ["-a", "+/a", "+a/f"]


def test_a_directory_that_became_a_file_is_emptied_first() -> None:
    given_trees = trees(a="DxD", a__in="D-D", a__in__f="x-x", z="x-x")
    actions, notes = shown(reconcile(["a", "z"], *given_trees))
    assert actions == ["-a/in/f", "-a/in", "-a", "+a", "-z"]
    assert notes == []


@pytest.mark.parametrize("theirs", ["--x", "x-y", "--o", "x-D"])
def test_a_directory_that_became_a_file_stays_while_it_holds_what_is_theirs(theirs: str) -> None:
    given_trees = trees(a="DxD", a__in="D-D", a__in__f="x-x", a__in__t=theirs)
    for prefer in ("", "remote"):
        plan = reconcile(["a"], *given_trees, prefer=prefer)
        assert shown(plan) == ([], ["a: conflict"])


def test_in_mirror_nothing_is_removed_inside_a_directory_that_took_a_files_place() -> None:
    given_trees = trees(a="xxD", a__f="--x", b="x-D", b__f="--x")
    plan = reconcile(given_trees[2], *given_trees, mode="mirror")
    assert shown(plan) == ([], ["a: conflict", "b: kept"])


def test_a_directory_deleted_there_is_put_back_and_said_once() -> None:
    given_trees = trees(a="DD-", a__in="DD-", a__in__f="xx-", a__new="-x-", b="xx-")
    actions, notes = shown(reconcile(["a/in/f", "a/new", "b"], *given_trees))
    assert actions == ["+/a", "+/a/in", "+a/in/f", "+a/new", "+b"]
    assert notes == ["a: deleted-there", "b: deleted-there"]


def test_a_save_looks_at_its_own_path_only() -> None:
    class Counting(dict[str, Node]):
        def __iter__(self):  # type: ignore[no-untyped-def]
            raise AssertionError("the whole tree was walked")

    base = Counting({f"d/{n}": X for n in range(50)}, d=FOLDER)
    local = Counting(base, **{"d/7": Y, "d/8": Z})
    plan = reconcile(["d/7"], base, local, Counting(base))
    assert shown(plan) == (["+d/7"], [])


def test_an_unread_content_is_like_no_other() -> None:
    base = {"f": X}
    plan = reconcile(["f"], base, base, {"f": tree.file(tree.UNREAD)})
    assert shown(plan) == ([], ["f: newer-there"])


# --- properties -------------------------------------------------------------------------------

NAMES = "abc"


@st.composite
def whole_trees(draw: st.DrawFn, depth: int = 3, strange: bool = True) -> dict[str, Node]:
    found: dict[str, Node] = {}
    leaves = [X, Y, Z, LINK] + ([STRANGE] if strange else [])

    def fill(prefix: str, left: int) -> None:
        for name in NAMES:
            kind = draw(st.sampled_from(["none", "leaf", "folder"] if left else ["none", "leaf"]))
            path = prefix + name
            if kind == "leaf":
                found[path] = draw(st.sampled_from(leaves))
            elif kind == "folder":
                found[path] = FOLDER
                fill(path + "/", left - 1)

    fill("", depth - 1)
    return found


@st.composite
def changed(draw: st.DrawFn, start: dict[str, Node]) -> dict[str, Node]:
    """Mostly the tree that it was, so that the interesting cases are not lost among conflicts."""
    other = draw(whole_trees(strange=True))
    tops = draw(st.sets(st.sampled_from(NAMES)))
    mixed = {path: node for path, node in start.items() if path[0] not in tops}
    mixed.update({path: node for path, node in other.items() if path[0] in tops})
    for path in draw(st.lists(st.sampled_from(sorted(mixed)), max_size=3)) if mixed else []:
        if mixed.get(path, FOLDER).kind != DIRECTORY:
            mixed[path] = draw(st.sampled_from([X, Y, LINK]))
    return mixed


@st.composite
def three_trees(draw: st.DrawFn) -> tuple[dict[str, Node], dict[str, Node], dict[str, Node]]:
    base = draw(whole_trees(strange=False))
    return base, draw(changed(base)), draw(changed(base))


def apply(
    plan: Plan, base: dict[str, Node], local: Tree, remote: dict[str, Node]
) -> tuple[dict[str, Node], dict[str, Node], dict[str, Node]]:
    """What both machines and the journal make of a plan, with everything asserted that they
    need: base, local, remote."""
    base, local, remote = dict(base), dict(local), dict(remote)
    for action in plan.actions:
        path = action.path
        if isinstance(action, Take):
            for node in (local.get(path), remote[path]):
                assert node is None or node.kind in (FILE, SYMLINK)
            for above in tree.ancestors(path):
                assert local.setdefault(above, FOLDER) == FOLDER, "no folder to put it in"
            base[path] = local[path] = remote[path]
            continue
        if isinstance(action, Drop):
            del base[path]
            continue
        if isinstance(action, Remove):
            assert remote[path].kind != OTHER
            assert not any(other.startswith(path + "/") for other in remote), "not empty"
            del remote[path]
            base.pop(path, None)
            continue
        node = local[path]
        for above in tree.ancestors(path):
            assert remote[above] == FOLDER, "no folder to put it in"
        if isinstance(action, Adopt):
            assert remote[path] == node
        elif isinstance(action, MakeDirectory):
            assert path not in remote
            assert node == FOLDER
            remote[path] = node
        else:
            assert node.kind not in (DIRECTORY, OTHER)
            assert path not in remote or remote[path].kind not in (DIRECTORY, OTHER)
            remote[path] = node
        base[path] = node
    return base, local, remote


SIDES = st.tuples(st.sampled_from(["push", "mirror"]), st.sampled_from(["", "local", "remote"]))


@given(three_trees(), SIDES)
@settings(max_examples=400)
def test_after_a_plan_is_done_nothing_is_left_to_do(
    given_trees: tuple[dict[str, Node], dict[str, Node], dict[str, Node]], sides: tuple[str, str]
) -> None:
    base, local, remote = given_trees
    everything = {*base, *local, *remote}
    plan = reconcile(everything, base, local, remote, *sides)
    base, local, after = apply(plan, base, local, remote)
    again = reconcile(everything, base, local, after, *sides)
    assert again.actions == []
    # What was told and is settled is not told again; what is open is.
    assert {note.path for note in again.notes} <= {note.path for note in plan.notes}
    # Both sides agree on everything that no note covers.
    covered = {note.path for note in again.notes}
    for path in everything:
        if covered & {path, *tree.ancestors(path)} or local.get(path) == after.get(path):
            continue
        assert path not in local, "not brought there"
        assert sides[0] == "push" or sides[1] == "remote" or STRANGE in after.values() or covered
        assert path not in base or any(note.startswith(path + "/") for note in covered)


@given(three_trees(), st.sampled_from(["push", "mirror"]))
@settings(max_examples=400)
def test_nothing_that_changed_there_is_overwritten_or_removed_without_a_preference(
    given_trees: tuple[dict[str, Node], dict[str, Node], dict[str, Node]], mode: str
) -> None:
    base, local, remote = given_trees
    plan = reconcile({*base, *local, *remote}, base, local, remote, mode)
    for action in plan.actions:
        if isinstance(action, (Push, Remove, MakeDirectory)) and action.path in remote:
            theirs = mode == "mirror" and action.path not in base
            assert theirs or remote[action.path] == base.get(action.path)


@given(three_trees(), SIDES, st.data())
@settings(max_examples=300)
def test_some_paths_are_planned_as_they_are_among_all(
    given_trees: tuple[dict[str, Node], dict[str, Node], dict[str, Node]],
    sides: tuple[str, str],
    data: st.DataObject,
) -> None:
    base, local, remote = given_trees
    everything = sorted({*base, *local, *remote})
    if not everything:
        return
    some = data.draw(st.sets(st.sampled_from(everything)))
    part = reconcile(some, base, local, remote, *sides)
    whole = reconcile(everything, base, local, remote, *sides)
    asked = set(some) | {above for path in some for above in tree.ancestors(path)}
    assert set(part.actions) <= set(whole.actions)
    assert {one for one in whole.actions if one.path in asked} <= set(part.actions)
    apply(part, base, local, remote)


@given(three_trees(), st.sampled_from(["push", "mirror"]))
@settings(max_examples=200)
def test_pushing_mine_leaves_only_what_may_not_be_replaced(
    given_trees: tuple[dict[str, Node], dict[str, Node], dict[str, Node]], mode: str
) -> None:
    base, local, remote = given_trees
    plan = reconcile({*base, *local, *remote}, base, local, remote, mode, "local")
    for note in plan.notes:
        if note.kind in ("conflict", "newer-there"):
            there = remote.get(note.path, FOLDER)
            assert OTHER in (local[note.path].kind, there.kind) or there.kind == DIRECTORY
