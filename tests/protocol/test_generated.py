"""What is committed in protocol/ is what sidecar/api.py says."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import TypeGuard

import msgspec
import pytest

from protocol import generate
from sidecar import api

LOCAL = {"no-folder", "unsafe-folder", "host-exists", "hub-owned", "hub", "over"}
"""Codes of the command line's own failures, and those that the hub handles itself."""


def test_generated_files_are_current() -> None:
    assert list(generate.stale()) == [], "run `make docs`"


def test_the_prose_was_read_again_since_the_types_changed() -> None:
    prose = (generate.HERE / "README.md").read_text("utf-8")
    found = re.search(r"fingerprint `([0-9a-f]{16})`", prose)
    assert found is not None
    assert found[1] == generate.fingerprint(), (
        "the message types changed: read protocol/README.md again, then give it the fingerprint "
        + generate.fingerprint()
    )


def test_the_prose_knows_every_method() -> None:
    prose = (generate.HERE / "README.md").read_text("utf-8")
    for method in generate.methods():
        assert f"`{method.name}`" in prose


def test_every_struct_of_the_methods_is_described() -> None:
    defined = {
        name
        for name, one in vars(api).items()
        if isinstance(one, type) and issubclass(one, api.Message)
    }
    bases = {base.__name__ for name in defined for base in vars(api)[name].__mro__[1:]}
    assert defined - bases <= {struct.__name__ for struct in generate.structs()}


def test_names_on_the_wire_are_camel_case() -> None:
    for struct in generate.structs():
        for field in msgspec.structs.fields(struct):
            assert re.fullmatch(r"[a-z][a-zA-Z0-9]*", field.encode_name)


def test_the_schema_is_json_without_dangling_references() -> None:
    schema = json.loads(generate.schema_json())
    references = re.findall(r'"\$ref": "#/\$defs/(\w+)"', generate.schema_json())
    assert set(references) <= set(schema["$defs"])
    assert set(schema["methods"]) == {method.name for method in generate.methods()}


def test_check_writes_nothing_and_says_what_is_stale(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(generate.FILES, "schema.json", lambda: "other")
    monkeypatch.setattr(sys, "argv", ["generate.py", "--check"])
    before = (generate.HERE / "schema.json").read_text("utf-8")
    assert generate.main() == 1
    assert "schema.json" in capsys.readouterr().err
    assert (generate.HERE / "schema.json").read_text("utf-8") == before


def test_the_generator_runs_as_the_makefile_runs_it() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "protocol.generate", "--check"],
        cwd=generate.HERE.parent, capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def codes_of(path: Path) -> set[str]:
    """Every `code="…"` in a call, which is how an error gets one."""
    calls = (node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if is_call(node))
    return {
        keyword.value.value
        for call in calls
        for keyword in call.keywords
        if keyword.arg == "code" and isinstance(keyword.value, ast.Constant)
    } - {""}


def is_call(node: ast.AST) -> TypeGuard[ast.Call]:
    return isinstance(node, ast.Call)


def test_the_prose_knows_every_code_of_an_error() -> None:
    prose = (generate.HERE / "README.md").read_text("utf-8")
    # What ends before there is a hub never goes over this protocol, nor does the agent's own wire.
    package = Path(api.__file__).parent
    rooms = ("config", "ssh", "remote", "sync", "jobs", "debug", "hub")
    for room in rooms:
        for path in (package / room).rglob("*.py"):
            for code in codes_of(path) - LOCAL:
                assert f"`{code}`" in prose, f"{path.name}: protocol/README.md lacks {code}"
