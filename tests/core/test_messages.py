from __future__ import annotations

import json
import typing
from typing import Any, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core import frames, messages
from sidecar.core.identity import Identity
from sidecar.core.messages import Message, MessageError

any_text = st.text(st.characters(), max_size=20)  # lone surrogates too: names that are no UTF-8


def values(hint: Any) -> st.SearchStrategy[Any]:
    """Values that a field with that annotation may have."""
    simple: dict[Any, st.SearchStrategy[Any]] = {
        int: st.integers(-(1 << 63), (1 << 64) - 1),
        str: any_text,
        bool: st.booleans(),
        bytes: st.binary(max_size=100),
        type(None): st.none(),
    }
    if hint in simple:
        return simple[hint]
    if hasattr(hint, "_fields"):
        return st.builds(hint, **{k: values(v) for k, v in get_type_hints(hint).items()})
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is list:
        return st.lists(values(arguments[0]), max_size=3)
    if origin is dict:
        return st.dictionaries(any_text, any_text, max_size=3)
    assert origin is typing.Union
    return st.one_of(*map(values, arguments))


any_message = st.sampled_from(messages.TYPES).flatmap(values)


def test_messages_have_the_bytes_that_were_agreed() -> None:
    headers = {
        messages.Ping(7): b'["Ping",7]',
        messages.Bye(): b'["Bye"]',
        messages.Ack(3, 65536): b'["Ack",3,65536]',
        messages.Data(5, 1, b"\0\xff"): b'["Data",5,1]',
        messages.Fail(9, "spawn", "w"): b'["Fail",9,"spawn","w","",""]',
        messages.Remove(2, 1, "a/\xfc\udcff", messages.Expect(1, None, "")): (
            rb'["Remove",2,1,"a/\u00fc\udcff",[1,null,""]]'
        ),
        messages.Applied(2, 1, "a", Identity("f", 0o644, 5, 6, 7, 8)): (
            b'["Applied",2,1,"a",["f",420,5,6,7,8]]'
        ),
    }
    for message, header in headers.items():
        frame = messages.encode(message)
        assert frame.header == header
        assert messages.decode(frame) == message


@given(any_message, st.sampled_from(frames.LANES))
def test_every_message_comes_out_as_it_went_in(message: Message, lane: int) -> None:
    frame = messages.encode(message, lane)
    assert frame.lane == lane
    decoded = messages.decode(frame)
    assert decoded == message
    assert type(decoded) is type(message)


def test_names_are_different_and_bodies_come_last() -> None:
    names = [kind.__name__ for kind in messages.TYPES]
    assert len(set(names)) == len(names)
    for kind in messages.TYPES:
        assert "body" not in kind._fields[:-1]
        without = [field for field in kind._fields if field not in kind._field_defaults]
        assert tuple(f for f in kind._fields if f in without) == tuple(without)


@given(any_message)
def test_a_field_that_a_newer_end_added_is_left_aside(message: Message) -> None:
    frame = messages.encode(message)
    header = json.loads(frame.header) + ["new", {"more": 1}]
    if len(header) - 3 == len([f for f in type(message)._fields if f != "body"]):
        assert messages.decode(frame._replace(header=json.dumps(header).encode())) == message


def test_a_field_that_an_older_end_does_not_send_has_its_default() -> None:
    frame = frames.Frame(0, b'["Close",4]', b"")
    assert messages.decode(frame) == messages.Close(4, 0, "")


@given(st.binary(max_size=60), st.binary(max_size=5))
def test_garbage_gives_our_error(header: bytes, body: bytes) -> None:
    with pytest.raises(MessageError):
        messages.decode(frames.Frame(0, header, body))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | any_text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(any_text, inner, max_size=2),
    max_leaves=5,
)


@given(st.sampled_from(messages.TYPES), st.lists(json_values, max_size=14))
def test_wrong_fields_give_a_message_or_our_error(kind: type[Any], fields: list[Any]) -> None:
    header = json.dumps([kind.__name__, *fields]).encode()
    try:
        message = messages.decode(frames.Frame(0, header, b""))
    except MessageError:
        return
    assert type(message) is kind
    messages.encode(message)


@pytest.mark.parametrize(
    ("header", "body", "words"),
    [
        (b"{}", b"", "names no message"),
        (b"[]", b"", "names no message"),
        (b"[1]", b"", "names no message"),
        (b'["Nonsense"]', b"", "unknown message 'Nonsense'"),
        (b'["Ping"]', b"", "Ping needs 1 fields, 0 came"),
        (b'["Ping","1"]', b"", "Ping.id has a wrong value"),
        (b'["Ping",true]', b"", "Ping.id has a wrong value"),
        (b'["Ping",1.0]', b"", "Ping.id has a wrong value"),
        (b'["Ping",18446744073709551616]', b"", "Ping.id has a wrong value"),
        (b'["Taken","a",-9223372036854775809]', b"", "Taken.offset has a wrong value"),
        (b'["Ping",1]', b"x", "Ping has no body"),
        (b'["Forget",1,1,["a",2]]', b"", "Forget.paths has a wrong value"),
        (b'["Spawn",1,[],{"a":1},""]', b"", "Spawn.env has a wrong value"),
        (b'["Applied",1,1,"a",["f",1]]', b"", "Applied.identity has a wrong value"),
        (b"\xff", b"", "no JSON"),
        (b"[" * 100_000, b"", "no JSON"),
    ],
)
def test_what_is_wrong_is_named(header: bytes, body: bytes, words: str) -> None:
    with pytest.raises(MessageError, match=words):
        messages.decode(frames.Frame(0, header, body))
