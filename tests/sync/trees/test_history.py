from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core import tree
from sidecar.core.tree import Node
from sidecar.sync.trees import history as module
from sidecar.sync.trees.history import History

OPENED: list[History] = []


def opened(path: Path) -> History:
    """One that is closed with the test."""
    OPENED.append(History(path))
    return OPENED[-1]


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    yield
    while OPENED:
        OPENED.pop().close()


A, B = tree.file("aa"), tree.file("bb")


def test_what_changed_since_a_run_is_told_also_by_the_next_process(tmp_path: Path) -> None:
    history = opened(tmp_path / "history")
    history.changes("early.py", None, A)
    history.begins("one", {})
    history.changes("a.py", A, B)
    history.changes("gone.py", A, None)
    history.begins("two", {"coming.py": B})
    history.changes("coming.py", A, B)
    history.changes("b.py", None, B)
    now = {"a.py": B, "coming.py": B, "b.py": B, "early.py": A}
    for known in (history, opened(tmp_path / "history")):
        assert known.since(["one", "two", "unknown"], now) == {
            "one": ["a.py", "b.py", "coming.py", "gone.py"],
            "two": ["b.py"],
        }


def test_what_is_again_as_it_was_is_no_change(tmp_path: Path) -> None:
    history = opened(tmp_path / "history")
    history.begins("one", {})
    history.changes("a.py", A, B)
    history.changes("a.py", B, A)
    assert history.since(["one"], {"a.py": A}) == {"one": []}


def test_where_both_sides_met_anew_nothing_is_known(tmp_path: Path) -> None:
    history = opened(tmp_path / "history")
    history.begins("one", {})
    history.clear()
    assert opened(tmp_path / "history").since(["one"], {}) == {}


@pytest.mark.parametrize("text", ['["run", "one"]', "{", '["was", "a", ["f", 1, "d"]]', "\xe9"])
def test_a_damaged_file_is_begun_anew(tmp_path: Path, text: str) -> None:
    path = tmp_path / "history"
    path.write_text(f'["run","one",{{}}]\n{text}\n')
    history = opened(path)
    assert history.since(["one"], {}) == {}
    history.begins("two", {})
    assert opened(path).since(["two"], {}) == {"two": []}


def test_it_is_bounded_and_forgets_the_oldest_runs_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_RUNS", 8)
    history = opened(tmp_path / "history")
    for number in range(100):
        history.begins(f"run-{number}", {})
        history.changes(f"{number}.py", A, None)
    for known in (history, opened(tmp_path / "history")):
        found = known.since([f"run-{number}" for number in range(100)], {})
        assert found["run-98"] == ["98.py", "99.py"]
        assert 5 <= len(found) <= 8
        assert set(found) == {f"run-{number}" for number in range(100 - len(found), 100)}


CHANGES = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from([None, A, B])), max_size=8)


@given(before=CHANGES, after=CHANGES)
def test_it_tells_just_what_differs(
    before: list[tuple[str, Node | None]],
    after: list[tuple[str, Node | None]],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    history = opened(tmp_path_factory.mktemp("h") / "history")
    now: dict[str, Node | None] = {}

    def play(changes: list[tuple[str, Node | None]]) -> None:
        for path, node in changes:
            history.changes(path, now.get(path), node)
            now[path] = node

    play(before)
    history.begins("run", {})
    then = dict(now)
    play(after)
    there = {path: node for path, node in now.items() if node is not None}
    changed = sorted(path for path in now if now.get(path) != then.get(path))
    assert history.since(["run"], there) == {"run": changed}
