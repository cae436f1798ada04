"""What is unusually much waits for a word; what is small goes on meanwhile."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sidecar.errors import RunError
from sidecar.sync.guarding.allowance import SMALL, WINDOW, Allowance
from sidecar.sync.guarding.waiting import BRING, SEND
from tests.sync.sides import Sides


@pytest.fixture
async def sides(tmp_path: Path) -> AsyncIterator[Sides]:
    made = Sides(tmp_path)
    yield made
    await made.end()


# --- the rule --------------------------------------------------------------------------------

BIG = 10 * SMALL


@pytest.mark.parametrize(
    ("moves", "waits"),
    [
        ({"a": BIG}, ""),
        ({"a": BIG, "b": 1}, "a"),
        ({"a": BIG + 1}, "a"),
        ({"a": BIG + 1, "b": SMALL, "c": SMALL + 1}, "ac"),
        (dict.fromkeys("abcdefghijk", SMALL), "abcdefghijk"),  # small, but too many
        ({"a": 0, "b": BIG}, ""),
    ],
)
def test_what_is_small_goes_and_the_rest_waits(moves: dict[str, int], waits: str) -> None:
    allowance = Allowance(BIG)
    assert allowance.that_must_wait(moves, 0.0) == set(waits)
    assert set(allowance.waiting) == set(waits)


def test_what_waits_goes_on_waiting_and_saves_go() -> None:
    allowance = Allowance(BIG)
    assert allowance.that_must_wait({"a": BIG + 1, "b": SMALL + 1}, 0.0) == {"a", "b"}
    assert allowance.that_must_wait({"b": SMALL + 1}, 1000.0) == {"b"}
    assert allowance.that_must_wait({"new": 1}, 1000.0) == set()
    assert allowance.that_must_wait({"b": SMALL + 1}, 1000.0, saved={"b"}) == set()
    assert set(allowance.waiting) == {"a"}


def test_what_is_seen_in_parts_counts_together_for_a_while() -> None:
    allowance = Allowance(BIG)
    assert allowance.that_must_wait({"a": BIG}, 0.0) == set()
    assert allowance.that_must_wait({"b": 1}, WINDOW / 2) == {"b"}
    assert allowance.that_must_wait({"b": 1}, 2 * WINDOW) == set()
    assert allowance.waiting == {}


def test_a_word_counts_for_the_paths_that_waited_until_they_are_there() -> None:
    allowance = Allowance(BIG)
    allowance.that_must_wait({"a": BIG + 1}, 0.0)
    assert allowance.allow() == ["a"]
    assert allowance.that_must_wait({"a": BIG + 1}, 0.0) == set()
    assert allowance.that_must_wait({"a": BIG + 1, "b": BIG + 1}, 0.0) == {"b"}
    allowance.arrived("a")
    assert allowance.that_must_wait({"a": BIG + 1}, 0.0) == {"a"}


def test_a_word_outlives_a_restart_until_all_is_there(tmp_path: Path) -> None:
    path = tmp_path / "allowed.json"
    allowance = Allowance(BIG, path)
    allowance.that_must_wait({"a\udcff": BIG + 1, "b": BIG + 1}, 0.0)
    allowance.allow()
    again = Allowance(BIG, path)
    assert again.that_must_wait({"a\udcff": BIG + 1, "b": BIG + 1, "c": BIG + 1}, 0.0) == {"c"}
    again.arrived("a\udcff")
    again.arrived("b")
    assert not path.exists()
    assert Allowance(BIG, path).that_must_wait({"b": BIG + 1}, 0.0) == {"b"}


@pytest.mark.parametrize("content", [b"", b"5", b"{", b"[1, null]", b"[" * 100_000])
def test_a_word_that_cannot_be_read_allows_nothing(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "allowed.json").write_bytes(content)
    allowance = Allowance(BIG, tmp_path / "allowed.json")
    assert allowance.that_must_wait({"a": BIG + 1}, 0.0) == {"a"}


def test_what_is_gone_or_shrank_waits_no_more() -> None:
    allowance = Allowance(BIG)
    allowance.that_must_wait({"a": BIG, "b": BIG}, 0.0)
    allowance.looked_at({"a"}, {})
    assert set(allowance.waiting) == {"b"}
    assert allowance.that_must_wait({"b": BIG}, 2 * WINDOW) == set()


def test_the_biggest_are_named() -> None:
    allowance = Allowance(1)
    assert allowance.described() == ""
    sizes = {"a.bin": 20_000_000, "b.bin": 3_000_000_000, "c.py": 10, "d.py": 9}
    allowance.that_must_wait(sizes, 0.0)
    assert (
        allowance.described()
        == "4 files, 3.0 GB: the biggest are b.bin 3.0 GB, a.bin 20.0 MB, c.py 10 B"
    )
    allowance.looked_at(["a.bin", "c.py", "d.py"], {})
    assert allowance.described() == "1 file, 3.0 GB: b.bin 3.0 GB"


# --- with two sides --------------------------------------------------------------------------


async def much(sides: Sides) -> None:
    sides.write("main.py", "one\n")
    sides.write("data.bin", b"x" * (SMALL + 1))
    await sides.begin(watch=False, ask_above=1_000_000)
    await sides.attach()
    assert sides.tree_there() == {"main.py": b"one\n"}
    assert sides.notes() == {"data.bin": "waiting"}


async def test_much_waits_for_a_word_while_saves_go_on(sides: Sides) -> None:
    await much(sides)
    (asked,) = sides.person.asked
    assert "data.bin 8.4 MB" in str(asked)
    assert sides.engine.waiting == "1 file, 8.4 MB: data.bin 8.4 MB"
    sides.engine.saved([str(sides.write("main.py", "two\n"))])
    await sides.engine._loop.settle()
    assert sides.read_there("main.py") == "two\n"
    with pytest.raises(RunError, match="not on box"):
        await sides.engine.barrier()
    await sides.engine.sync()
    assert "data.bin" not in sides.tree_there()
    await sides.engine.sync(yes=True)
    assert len(sides.tree_there()["data.bin"]) == SMALL + 1
    assert sides.engine.waiting == ""
    assert sides.notes() == {}


async def test_the_person_may_say_yes_and_a_change_of_it_is_sent_without_another_word(
    sides: Sides,
) -> None:
    await much(sides)
    sides.person.answer = SEND
    await sides.engine.sync()
    assert len(sides.tree_there()["data.bin"]) == SMALL + 1
    sides.person.answer = None
    sides.write("data.bin", b"y" * (SMALL + 2))
    await sides.engine.sync()
    assert sides.tree_there()["data.bin"][:1] == b"y"


async def test_what_waits_and_is_deleted_here_is_forgotten(sides: Sides) -> None:
    await much(sides)
    (sides.here / "data.bin").unlink()
    await sides.engine.sync()
    assert sides.engine.waiting == ""
    assert sides.notes() == {}


async def test_much_that_is_to_come_here_waits_for_a_word_and_a_run_does_not(sides: Sides) -> None:
    sides.write("main.py", "one\n")
    sides.write_there("runs/small.txt", "small\n")
    sides.write_there("runs/data.bin", b"x" * (SMALL + 1))
    await sides.begin(watch=False, ask_above=1_000_000, pull=["runs/"])
    await sides.attach("local")
    await sides.engine.sync()
    assert not (sides.here / "runs/data.bin").exists()
    assert (sides.here / "runs/small.txt").read_text() == "small\n"
    assert sides.notes() == {"runs/data.bin": "not-pulled"}
    assert sides.engine.waiting == "to come here: 1 file, 8.4 MB: runs/data.bin 8.4 MB"
    assert "from box would come 1 file" in str(sides.person.asked[-1])
    await sides.engine.barrier()
    sides.person.answer = BRING
    await sides.engine.sync()
    assert (sides.here / "runs/data.bin").stat().st_size == SMALL + 1
    assert (sides.engine.waiting, sides.notes()) == ("", {})
