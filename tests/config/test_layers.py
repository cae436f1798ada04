"""Laws of layers: whatever a file holds, there is a configuration or an error of ours."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.config import layers, lines, project
from sidecar.config.model import Config
from sidecar.config.write import toml
from sidecar.errors import ConfigError
from tests.config.conftest import Desk

NAMES = st.sampled_from(
    sorted({part for key, _ in layers.fields() for part in key} | {"gpu1", "typo", ""})
)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8) | st.sampled_from(
    ["push", "asyncssh", "1 GB", "~/x", "gpu1", "-x", "6006", ">=0.1"]
)
LEAVES = TEXTS | st.booleans() | st.integers(-1, 1 << 40) | st.floats() | st.dates()
TABLES = st.dictionaries(
    NAMES,
    st.recursive(
        LEAVES,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
        max_leaves=8,
    ),
    max_size=5,
)
HOSTS = st.fixed_dictionaries(
    {},
    optional={
        "path": st.sampled_from(["/a", "~/b"]),
        "env": st.sampled_from([{}, {"A": "1"}, ["B"]]),
        "git": st.booleans(),
        "forward": st.lists(st.integers(1, 9), max_size=2),
    },
)
VALID = st.fixed_dictionaries(
    {},
    optional={
        "host": st.sampled_from(["a", "b"]),
        "hosts": st.dictionaries(st.sampled_from(["a", "b"]), HOSTS),
        "sync": st.fixed_dictionaries({}, optional={"mode": st.sampled_from(["push", "mirror"])}),
    },
)


def place(key: layers.Key) -> str:
    return "here"


def outcome(work: Callable[[], Any]) -> Any:
    """What it returns, or the error of ours that it raises."""
    try:
        return work()
    except ConfigError as error:
        return error


@given(TABLES)
def test_a_table_is_a_configuration_or_an_error_that_says_what_to_do(table: Any) -> None:
    found = outcome(lambda: layers.build(layers.flatten(table, place)))
    if isinstance(found, ConfigError):
        assert found.what.startswith("here: ")
        assert found.fix
        assert str(found).isprintable()
    else:
        assert isinstance(found, Config)


@given(VALID, VALID)
def test_merged_layers_hold_what_each_says_and_the_later_one_wins(one: Any, other: Any) -> None:
    first, second = layers.flatten(one, place), layers.flatten(other, place)
    merged = first | second
    assert all(merged[key] == setting for key, setting in second.items())
    assert all(merged[key] == first[key] for key in first.keys() - second.keys())
    layers.build(merged)


@given(st.text())
def test_any_text_is_toml_or_an_error_with_its_line(text: str) -> None:
    found = outcome(lambda: layers.parse(text, "file"))
    assert isinstance(found, dict) or found.what.startswith("file:")


@given(st.text(st.sampled_from("[]{}=.#'\" \nab\\"), max_size=60))
def test_the_reader_of_lines_never_fails(text: str) -> None:
    assert 0 <= lines.line_of(text, ("a", "b")) <= text.count("\n") + 1


@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), st.integers(0, 9)))
def test_a_key_as_we_show_it_is_the_key(table: dict[str, int]) -> None:
    for key, value in table.items():
        shown = layers.dotted(("hosts", key))
        assert shown.isprintable()
        text = f"{shown} = {toml(value)}\n"
        assert layers.parse(text, "file") == {"hosts": {key: value}}


@pytest.mark.parametrize(
    "text",
    [
        ".".join("a" * 20_000) + " = 1",
        f"[{'.'.join('a' * 20_000)}]",
        "a = { " + ".".join("a" * 20_000) + " = 1 }",
        '"x" . ' * 20_000 + "y = 1",
        "a = " + "[" * 100_000,
        "a = " + "{b=" * 60_000,
        "a = " + "9" * 100_000,
        'a = "' + '\\"' * 100_000,
        "\n" * 200_000 + "= sidecar",
    ],
    ids=["key", "table", "inline", "quoted", "arrays", "tables", "number", "quotes", "newlines"],
)
def test_a_strangers_file_keeps_nobody_waiting(desk: Desk, text: str) -> None:
    desk.write("pyproject.toml", f"#sidecar\n{text}\n")
    began = time.process_time()
    assert not project.is_project(desk.root)
    with pytest.raises(ConfigError):
        layers.read_file(desk.root / "pyproject.toml", "pyproject.toml")
    assert time.process_time() - began < 2


def test_a_thousand_hosts_are_read_at_once(desk: Desk) -> None:
    tables = "".join(f"[hosts.a{number}]\npath = '~/x'\n" for number in range(1000))
    file = desk.write("sidecar.toml", tables)
    began = time.process_time()
    layer = layers.read_file(file, "sidecar.toml")
    assert layer is not None
    assert layer["hosts", "a999", "path"].origin == "sidecar.toml:2000"
    assert time.process_time() - began < 2


def test_dots_in_texts_and_comments_are_no_keys(desk: Desk) -> None:
    dots = "a." * 100
    text = f'x = "{dots}" # {dots}\ny = \'{dots}\'\nz = """\n{dots}\n"""\n'
    assert layers.parse(text, "x")["y"] == dots
