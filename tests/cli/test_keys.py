"""What is typed for a job, and the few words that are for us."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sidecar.cli import keys
from sidecar.cli.keys import DETACH, HELP, SUSPEND, Keys


def typed(*pieces: bytes) -> tuple[bytes, list[str]]:
    """What the job gets, and the words, of keys that come in these pieces."""
    state, data, words = Keys(), b"", []
    for piece in pieces:
        rest = piece
        while True:
            some, word, rest = state.feed(rest)
            data += some
            if not word:
                break
            words.append(word)
    return data, words


def test_keys_are_the_jobs() -> None:
    assert typed(b"ls\r\x03\x04\x1a") == (b"ls\r\x03\x04\x1a", [])


def test_a_tilde_within_a_line_is_a_tilde() -> None:
    assert typed(b"cd ~d\r") == (b"cd ~d\r", [])


def test_words_begin_a_line() -> None:
    assert typed(b"~d") == (b"", [DETACH])
    assert typed(b"x\r~d") == (b"x\r", [DETACH])
    assert typed(b"x\n~?~\x1ay") == (b"x\ny", [HELP, SUSPEND])


def test_a_tilde_at_the_beginning_is_typed_twice() -> None:
    assert typed(b"~~d") == (b"~d", [])


def test_a_tilde_before_anything_else_is_typed_after_all() -> None:
    assert typed(b"~/bin\r") == (b"~/bin\r", [])


def test_what_comes_behind_a_word_is_not_lost() -> None:
    assert Keys().feed(b"~?abc") == (b"", HELP, b"abc")


@given(st.lists(st.sampled_from([b"~", b"d", b"\r", b"x", b"?", b"\x1a"])))
def test_it_is_the_same_in_any_pieces(pieces: list[bytes]) -> None:
    assert typed(*pieces) == typed(b"".join(pieces))


def test_the_help_names_every_word() -> None:
    assert all(name in keys.HELP_TEXT for name in ("~d", "~^Z", "~~", "~?"))
