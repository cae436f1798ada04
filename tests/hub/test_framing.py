"""The fed decoder: whole, byte by byte, and with bytes behind; garbage gives our error only."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.hub.framing import MAX_HEADER, Decoder, FramingError, encode


@given(st.lists(st.binary(max_size=200), max_size=8), st.integers(1, 50))
def test_bodies_come_out_as_they_went_in_however_they_are_cut(
    bodies: list[bytes], step: int
) -> None:
    wire = b"".join(encode(body) for body in bodies)
    decoder = Decoder()
    found = [
        body for at in range(0, len(wire), step) for body in decoder.feed(wire[at : at + step])
    ]
    assert found == bodies
    assert not decoder.in_message


@given(st.binary(max_size=300), st.integers(1, 50))
def test_any_bytes_give_bodies_or_our_error_and_nothing_else(data: bytes, step: int) -> None:
    decoder = Decoder()
    with contextlib.suppress(FramingError):
        for at in range(0, len(data), step):
            decoder.feed(data[at : at + step])


def test_other_headers_and_other_spellings_are_read() -> None:
    wire = b"content-length: 2\r\nContent-Type: application/vscode-jsonrpc\r\n\r\n{}"
    assert Decoder().feed(wire) == [b"{}"]


def test_a_message_in_the_making_is_told() -> None:
    decoder = Decoder()
    assert decoder.feed(b"Content-Length: 5\r\n\r\n12") == []
    assert decoder.in_message


@pytest.mark.parametrize(
    "garbage",
    [
        b"hello there\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"\0\0\0\0",
        b"{}\r\n",
        b"Content-Length: -1\r\n\r\n",
        b"Content-Length: 1e3\r\n\r\n",
        b"Content-Length: 99999999999999999999999\r\n\r\n",
        b"Content-Length: 999999999999\r\n\r\n",
        b"Content-Type: text/plain\r\n\r\n",
        b"\r\n\r\n",
        b"x" * (MAX_HEADER + 1),
    ],
)
def test_garbage_is_refused_as_soon_as_it_is_seen(garbage: bytes) -> None:
    with pytest.raises(FramingError):
        Decoder().feed(garbage)


def test_a_body_beyond_the_limit_is_refused_before_it_is_read() -> None:
    with pytest.raises(FramingError, match="limit is 10"):
        Decoder(max_body=10).feed(b"Content-Length: 11\r\n\r\n")


def test_what_came_whole_before_garbage_is_not_lost_with_it() -> None:
    decoder = Decoder()
    assert decoder.feed(b"Content-Length: 2\r\n\r\n{}hello there\n") == [b"{}"]
    with pytest.raises(FramingError):
        decoder.check()
    with pytest.raises(FramingError):
        decoder.feed(b"Content-Length: 2\r\n\r\n{}")
