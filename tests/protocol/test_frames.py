"""The vectors of the agent's wire hold for our codec."""

from __future__ import annotations

import json
from typing import Any

import pytest

from protocol.generate import GOLDEN
from sidecar.core import frames, messages

VECTORS = json.loads((GOLDEN / "frames.json").read_text("utf-8"))


def what(vector: dict[str, Any]) -> str:
    return str(vector["what"])


def test_the_vectors_are_of_this_version() -> None:
    assert VECTORS["version"] == frames.VERSION


@pytest.mark.parametrize("vector", VECTORS["frames"], ids=what)
def test_a_frame_is_read_and_written_as_in_the_vector(vector: dict[str, Any]) -> None:
    wire = bytes.fromhex(vector["wire"])
    (frame,) = frames.FrameDecoder().feed(wire)
    assert frame.lane == vector["lane"]
    assert json.loads(frame.header) == vector["header"]
    assert frame.body == bytes.fromhex(vector["body"])
    assert frames.encode(frame) == wire
    message = messages.decode(frame)
    written = json.loads(messages.encode(message, frame.lane).header)
    # Fields that were added since have their defaults behind what the vector has.
    expected = vector.get("message", vector["header"])
    assert written[: len(expected)] == expected


@pytest.mark.parametrize("vector", VECTORS["refused"], ids=what)
def test_what_is_no_message_is_refused_by_an_error_of_ours(vector: dict[str, Any]) -> None:
    wire = bytes.fromhex(vector["wire"])
    decoder = frames.FrameDecoder()
    if vector["error"] == "frame":
        with pytest.raises(frames.FrameError):
            decoder.feed(wire)
        return
    (frame,) = decoder.feed(wire)
    with pytest.raises(messages.MessageError):
        messages.decode(frame)
