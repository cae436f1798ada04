from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.debug import dap

HELLO = dap.request("initialize", {"adapterID": "x", "locale": "dé"}, seq=1)
STOPPED = dap.event("stopped", {"threadId": 1})
ANSWER = dap.success(1, "initialize", {"supportsLogPoints": True})
REFUSAL = dap.failure(2, "attach", "no {such} host")


def fed(data: bytes, step: int, limit: int = dap.MAX_MESSAGE) -> list[dap.Message]:
    decoder = dap.Decoder(limit)
    messages: list[dap.Message] = []
    for start in range(0, len(data), step):
        messages += decoder.feed(data[start : start + step])
    return messages


@pytest.mark.parametrize("step", [1, 7, 10_000])
def test_messages_are_read_however_they_are_cut(step: int) -> None:
    sent = [HELLO, STOPPED, ANSWER, REFUSAL]
    assert fed(b"".join(map(dap.encode, sent)), step) == sent


def test_other_header_fields_are_allowed_behind_the_first() -> None:
    body = json.dumps(STOPPED).encode()
    head = b"content-length: %d\r\nContent-Type: application/vscode-jsonrpc\r\n\r\n" % len(body)
    assert fed(head + body, 3) == [STOPPED]


def wrapped(body: bytes) -> bytes:
    return b"Content-Length: %d\r\n\r\n%b" % (len(body), body)


POST = b"POST / HTTP/1.1\r\nHost: 127.0.0.1:5678\r\nContent-Type: text/plain\r\n\r\n" + dap.encode(
    HELLO
)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (POST, "begin"),
        (b"\r\n" + dap.encode(HELLO), "begin"),
        (b"C0", "begin"),
        (b"Content-Length: 1\r\nHost: x\x00\r\n\r\n", "malformed"),
        (b"Content-Length: -1\r\n\r\n", "usable"),
        (b"Content-Length: x\r\n\r\n", "usable"),
        (b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n", "usable"),
        (b"Content-Length: 9999999999999\r\n\r\n", "usable"),
        (b"Content-Length: 99999999999\r\n\r\n", "limit"),
        (b"Content-Length: 1" + b" " * 600, "longer"),
        (wrapped(b"{"), "JSON"),
        (wrapped(b"[" * 100_000), "JSON"),
        (wrapped(b"\xff"), "JSON"),
        (wrapped(b"[]"), "object"),
        (wrapped(b"{}"), "type"),
        (wrapped(b'{"type": []}'), "type"),
        (wrapped(b'{"type": "event", "seq": 1}'), "'event'"),
        (wrapped(b'{"type": "event", "seq": true, "event": "x"}'), "'seq'"),
        (wrapped(b'{"type": "event", "seq": 1, "event": "x", "body": 1}'), "body"),
        (wrapped(b'{"type": "request", "seq": 1, "command": "x", "arguments": []}'), "arguments"),
    ],
)
def test_what_is_not_the_protocol_ends_the_stream(data: bytes, words: str) -> None:
    decoder = dap.Decoder()
    with pytest.raises(dap.DapError, match=words):
        decoder.feed(data)
    with pytest.raises(dap.DapError, match=words):
        decoder.feed(dap.encode(HELLO))


def test_a_post_is_refused_at_its_first_byte() -> None:
    with pytest.raises(dap.DapError, match="begin"):
        dap.Decoder().feed(POST[:1])


def test_the_limit_can_be_raised_once_the_client_is_known() -> None:
    decoder = dap.Decoder(limit=20)
    with pytest.raises(dap.DapError, match="limit of 20"):
        decoder.feed(dap.encode(HELLO))
    patient = dap.Decoder(limit=20)
    patient.limit = 1000
    assert patient.feed(dap.encode(HELLO)) == [HELLO]


@given(st.lists(st.binary(max_size=200), max_size=4))
def test_garbage_gives_our_error_or_messages_and_nothing_else(chunks: list[bytes]) -> None:
    decoder = dap.Decoder()
    for chunk in chunks:
        try:
            decoder.feed(chunk)
        except dap.DapError:
            return


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner),
    max_leaves=5,
)


@given(st.dictionaries(st.text(), json_values))
def test_what_is_encoded_is_read_back(body: dict[str, Any]) -> None:
    message = dap.event("output", body)
    assert fed(dap.encode(message), 64) == [message]
