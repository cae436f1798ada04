from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.utf8 import whole_characters


@given(st.text(), st.integers(0, 1000))
def test_text_cut_anywhere_is_text_up_to_its_last_whole_character(text: str, cut: int) -> None:
    data = text.encode()[:cut]
    whole = whole_characters(data)
    assert data[:whole].decode() == text[: len(data[:whole].decode())]
    assert len(data) - whole <= 3


@given(st.binary())
def test_bytes_that_are_no_text_are_hardly_held_back(data: bytes) -> None:
    assert 0 <= len(data) - whole_characters(data) <= 3


def test_whole_text_is_held_back_not_at_all() -> None:
    for text in ("", "a", "é", "漢", "🎈"):
        assert whole_characters(text.encode()) == len(text.encode())
