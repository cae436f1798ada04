"""The examples in protocol/golden are messages of ours; Lua and TypeScript tests read them too."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from protocol import generate
from protocol.generate import NOTIFICATION, Method
from sidecar import api

METHODS = {method.name: method for method in generate.methods()}


def golden(name: str) -> Any:
    return json.loads((generate.GOLDEN / f"{name}.json").read_text("utf-8"))


def assert_is(value: Any, struct: type[api.Message], *, complete: bool) -> None:
    """Decodes as `struct`, without a field that it does not know; `complete`: with every field
    that the hub sends, but for those added since."""
    decoded = msgspec.convert(value, struct)
    encoded = json.loads(msgspec.json.encode(decoded))
    assert_part_of(value, encoded)
    if complete:
        required = {one.encode_name for one in msgspec.structs.fields(struct) if one.required}
        assert required <= set(value)


def assert_part_of(part: Any, whole: Any) -> None:
    if isinstance(part, dict):
        assert set(part) <= set(whole), f"unknown fields {set(part) - set(whole)}"
        for key, value in part.items():
            assert_part_of(value, whole[key])
    elif isinstance(part, list):
        assert len(part) == len(whole)
        for one, other in zip(part, whole, strict=True):
            assert_part_of(one, other)
    else:
        assert part == whole


@pytest.mark.parametrize("method", METHODS.values(), ids=lambda method: method.name)
def test_each_method_has_an_example(method: Method) -> None:
    example = json.loads(method.example.read_text("utf-8"))
    if method.kind == NOTIFICATION:
        assert set(example) == {"notification"}
        message = example["notification"]
        assert "id" not in message
        assert_is(message["params"], method.params, complete=True)
    else:
        assert set(example) == {"request", "response"}
        message = example["request"]
        assert message["id"] == example["response"]["id"]
        assert_is(message["params"], method.params, complete=method.sent is not method.params)
        assert method.result is not None
        result = example["response"]["result"]
        assert_is(result, method.result, complete=method.sent is not method.result)
    assert message["jsonrpc"] == "2.0"
    assert message["method"] == method.name


def test_no_example_is_left_of_a_method_that_has_gone() -> None:
    others = {"hello", "error", "invalid", "frames"}
    examples = {path.stem for path in generate.GOLDEN.glob("*.json")}
    assert examples == others | {method.example.stem for method in METHODS.values()}


def test_the_hello_and_its_answer_are_examples_too() -> None:
    example = golden("hello")
    assert_is(example["hello"], api.Hello, complete=True)
    assert_is(example["welcome"], api.Welcome, complete=True)
    assert example["hello"]["version"] == api.VERSION


def test_an_error_says_what_why_and_what_next() -> None:
    error = golden("error")["response"]["error"]
    assert_is(error["data"], api.Problem, complete=True)
    assert all(error["data"].values())


@pytest.mark.parametrize("case", golden("invalid"), ids=lambda case: case["why"])
def test_an_invalid_message_is_refused_and_its_field_named(case: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.convert(case["value"], getattr(api, case["type"]))
    assert case["names"] in str(caught.value)


def test_an_older_client_may_leave_out_what_has_a_default() -> None:
    params = msgspec.convert({"target": "train.py"}, api.RunParams)
    assert params == api.RunParams(target="train.py")


def test_a_newer_clients_fields_are_left_aside() -> None:
    params = msgspec.convert({"target": "train.py", "fromTheFuture": 1}, api.RunParams)
    assert params.target == "train.py"
