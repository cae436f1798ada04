from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from sidecar.agent import first
from sidecar.agent.first import MARK
from sidecar.remote.hello import HELLO_LIMIT, NOISE_LIMIT, HelloDecoder, HelloError

HELLO = json.dumps(first.describe(1)).encode()


def of(**changes: Any) -> bytes:
    return json.dumps({**json.loads(HELLO), **changes}).encode()


@given(st.binary(max_size=60), st.binary(max_size=60), st.integers(1, 40))
def test_noise_before_and_frames_behind_are_kept_apart(
    noise: bytes, rest: bytes, size: int
) -> None:
    assume(MARK not in noise + MARK[:-1])
    wire = noise + MARK + HELLO + b"\n" + rest
    decoder = HelloDecoder()
    hello, at = None, 0
    while hello is None:
        hello = decoder.feed(wire[at : at + size])
        at += size
    assert hello.protocol == (1, 1)
    assert hello.uid == json.loads(HELLO)["uid"]
    assert decoder.noise == noise
    assert decoder.rest + wire[at:] == rest


@given(st.binary(max_size=300))
def test_garbage_behind_the_mark_gives_our_error(garbage: bytes) -> None:
    decoder = HelloDecoder()
    with pytest.raises(HelloError):
        decoder.feed(MARK + garbage.replace(b"\n", b"") + b"\n")


@pytest.mark.parametrize(
    "line",
    [
        of(uid="0"), of(pid=True), of(machine=None), of(protocol=[1]), of(protocol=1),
        of(protocol=["a", "b"]), b"{}", b"[]", b"null", b"[" * 10_000,
    ],
)  # fmt: skip
def test_a_damaged_hello_is_refused(line: bytes) -> None:
    with pytest.raises(HelloError):
        HelloDecoder().feed(MARK + line + b"\n")


def test_what_a_newer_agent_says_besides_is_left_aside() -> None:
    assert HelloDecoder().feed(MARK + of(mood="good") + b"\n") is not None


def test_noise_without_end_is_not_listened_to_for_ever() -> None:
    decoder = HelloDecoder()
    assert decoder.feed(b"x" * NOISE_LIMIT) is None
    with pytest.raises(HelloError, match="bytes came before"):
        decoder.feed(b"x")


def test_a_hello_without_end_is_not_listened_to_for_ever() -> None:
    decoder = HelloDecoder()
    decoder.feed(MARK)
    with pytest.raises(HelloError, match="too long"):
        decoder.feed(b"x" * (HELLO_LIMIT + 1))
