from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core import patch

content = st.binary(max_size=200) | st.binary(max_size=50).map(lambda piece: piece * 2000)


@given(content, content)
def test_a_patch_makes_the_new_content_of_the_old(old: bytes, new: bytes) -> None:
    assert patch.apply(old, patch.make(old, new), len(new)) == new


def test_little_is_left_of_what_is_little_changed() -> None:
    lines = [b"    value_%d = index_%d\n" % (number * 7919, number) for number in range(200)]
    old = b"".join(lines)
    lines[50:53] = [b"    print(self)\n"]
    assert len(patch.make(old, b"".join(lines))) < len(old) // 40


@given(content, st.binary(max_size=100), st.integers(0, 300))
def test_what_is_no_patch_is_said_or_makes_what_was_announced(
    old: bytes, damaged: bytes, size: int
) -> None:
    try:
        assert len(patch.apply(old, damaged, size)) == size
    except patch.PatchError:
        pass


@pytest.mark.parametrize("off", [-1, 1])
def test_another_size_than_was_announced_is_refused(off: int) -> None:
    made = patch.make(b"old", b"new and longer")
    with pytest.raises(patch.PatchError):
        patch.apply(b"old", made, 14 + off)


def test_a_patch_that_would_unfold_without_an_end_is_stopped() -> None:
    made = patch.make(b"", bytes(100_000_000))
    with pytest.raises(patch.PatchError):
        patch.apply(b"", made, 1000)
