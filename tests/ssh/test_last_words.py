from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sidecar.ssh.last_words import LIMIT, LastWords, escaped


def test_the_end_is_kept_and_the_rest_is_said_to_be_missing() -> None:
    words = LastWords()
    words.feed(b"short")
    assert words.text() == "short"
    words.feed(b"x" * LIMIT)
    assert words.text() == "…" + "x" * LIMIT


def test_sequences_for_terminals_are_shown_not_obeyed() -> None:
    assert escaped(b"\x1b]0;title\x07ok\r\nnext\ttab") == "\\x1b]0;title\\x07ok\nnext\ttab"
    assert escaped("bidi \u202e".encode()) == "bidi \\u202e"
    assert escaped(b"\xff") == "\\xff"


@given(st.lists(st.binary(max_size=LIMIT * 2), max_size=5))
def test_it_is_bounded_and_printable_whatever_comes(pieces: list[bytes]) -> None:
    words = LastWords()
    for piece in pieces:
        words.feed(piece)
    text = words.text()
    assert all(character.isprintable() or character in "\n\t" for character in text)
    # Four characters for each byte at most, and the sign in front.
    assert len(text) <= 4 * LIMIT + 1
