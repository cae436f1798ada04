from __future__ import annotations

import pytest

from sidecar.core import trashed
from sidecar.core.identity import Identity
from sidecar.core.trashed import PlaceError, Trashed

NOON = 1795435200
"""2026-11-23 12:00:00 UTC."""


@pytest.mark.parametrize(
    ("place", "path", "second"),
    [
        ("20261123-1200/a.py~05", "a.py", 5),
        ("20261123-1200/pkg/deep/a.py~59-3", "pkg/deep/a.py", 59),
        ("20261123-1200/a~01~02", "a~01", 2),
        ("20261123-1200/a~01-7~02", "a~01-7", 2),
        ("20261123-1200/a\n~b~00", "a\n~b", 0),
        ("20261123-1200/~31/a~02", "~31/a", 2),
        ("20261123-1200/~31/pkg/" + "n" * 250, "pkg/" + "n" * 250, 31),
        ("20261123-1200/~31-2/" + "n" * 255, "n" * 255, 31),
    ],
)
def test_a_place_says_which_path_it_had_and_when(place: str, path: str, second: int) -> None:
    assert trashed.parse(place) == Trashed(path, NOON + second)


@pytest.mark.parametrize(
    "place",
    ["", "20261123-1200", "20261123-1200/", "20261123-1200/a", "x/a~05", "20261123-1200/~05"],
)
def test_what_is_no_place_is_said_to_be_none(place: str) -> None:
    with pytest.raises(PlaceError):
        trashed.parse(place)


def test_a_name_is_short_and_stays_the_same() -> None:
    what = Identity("f", 0o644, 10, 20, 30, 40)
    name = trashed.name_of("20261123-1200/a.py~05", what)
    assert name == trashed.name_of("20261123-1200/a.py~05", what._replace(ctime_ns=50))
    assert len(trashed.name_of("20261123-1200/a.py~05\udcff", what)) == 8


def test_another_copy_at_the_same_place_has_another_name() -> None:
    what, place = Identity("f", 0o644, 10, 20, 30, 40), "20261123-1200/a.py~05"
    others = [what._replace(inode=1), what._replace(size=1), what._replace(mtime_ns=1)]
    assert len({trashed.name_of(place, one) for one in [what, *others]}) == 4
