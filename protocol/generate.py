"""Writes what is generated from `sidecar/api.py`: schema.json, sidecar.d.ts and methods.md.

    python -m protocol.generate           writes them
    python -m protocol.generate --check   exits 1 where one is not as it would be written

README.md is written by people. It holds a fingerprint of the message types, which is not updated
here: whoever changes a type reads the prose again, and then writes the new fingerprint there.
"""

from __future__ import annotations

import argparse
import hashlib
import inspect
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import msgspec
from msgspec import inspect as types

from sidecar import api

HERE = Path(__file__).parent
GOLDEN = HERE / "golden"
SOURCE = "Generated from sidecar/api.py by `make docs`; do not edit."

REQUEST, NOTIFICATION, CLIENT_REQUEST = "request", "notification", "client request"


class Method(msgspec.Struct, frozen=True):
    """A method as clients see it. `sent` comes from the client, `received` from the hub."""

    name: str
    kind: str
    params: type[api.Message]
    result: type[api.Message] | None = None

    @property
    def direction(self) -> str:
        return "client → hub" if self.kind == REQUEST else "hub → client"

    @property
    def sent(self) -> type[api.Message] | None:
        return self.params if self.kind == REQUEST else self.result

    @property
    def example(self) -> Path:
        return GOLDEN / f"{self.name.split('/')[1]}.json"


def methods() -> list[Method]:
    return [
        *(Method(name, REQUEST, *pair) for name, pair in api.REQUESTS.items()),
        *(Method(name, NOTIFICATION, params) for name, params in api.NOTIFICATIONS.items()),
        *(Method(name, CLIENT_REQUEST, *pair) for name, pair in api.CLIENT_REQUESTS.items()),
    ]


def structs() -> list[type[api.Message]]:
    """Every type that goes over the wire, those inside others too, by name."""
    roots: list[type[api.Message]] = [api.Hello, api.Welcome, api.Problem]
    for method in methods():
        roots += [method.params, *([method.result] if method.result else [])]
    return sorted(_reachable(roots), key=lambda struct: struct.__name__)


def fingerprint() -> str:
    """16 hex digits that change with any name, type, default or requirement on the wire."""
    described = json.dumps(_schema(described=False), sort_keys=True)
    return hashlib.sha256(described.encode()).hexdigest()[:16]


# --- schema.json -----------------------------------------------------------------------------


def schema_json() -> str:
    return json.dumps(_schema(described=True), indent=2, ensure_ascii=False) + "\n"


def _schema(*, described: bool) -> dict[str, Any]:
    _, components = msgspec.json.schema_components(structs(), ref_template="#/$defs/{name}")
    for struct in structs():
        components[struct.__name__].pop("description", None)
        if described and _doc(struct):
            components[struct.__name__]["description"] = _doc(struct)
    listed: dict[str, Any] = {}
    for method in methods():
        entry = {
            "kind": method.kind,
            "direction": method.direction,
            "params": {"$ref": f"#/$defs/{method.params.__name__}"},
        }
        if method.result:
            entry["result"] = {"$ref": f"#/$defs/{method.result.__name__}"}
        listed[method.name] = entry
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$comment": SOURCE,
        "title": "sidecar/* methods",
        "version": api.VERSION,
        "methods": listed,
        "$defs": {name: components[name] for name in sorted(components)},
    }


# --- sidecar.d.ts ----------------------------------------------------------------------------


def declarations() -> str:
    lines = [f"// {SOURCE}", "", f"export const VERSION: {api.VERSION};", ""]
    optional = {one for method in methods() if method.sent for one in _reachable([method.sent])}
    optional |= _reachable([api.Hello])
    for struct in structs():
        lines += [*_comment(_doc(struct)), f"export interface {struct.__name__} {{"]
        for field in msgspec.structs.fields(struct):
            # The hub sends every field; a client may leave out what has a default.
            mark = "?" if struct in optional and not field.required else ""
            info = types.type_info(field.type)
            lines.append(f"  {field.encode_name}{mark}: {_typescript(info)};")
        lines += ["}", ""]
    for title, kind in (
        ("Requests", REQUEST), ("Notifications", NOTIFICATION), ("ClientRequests", CLIENT_REQUEST)
    ):  # fmt: skip
        lines.append(f"export interface {title} {{")
        for method in methods():
            if method.kind == kind:
                result = f"; result: {method.result.__name__}" if method.result else ""
                lines.append(f"  '{method.name}': {{ params: {method.params.__name__}{result} }};")
        lines += ["}", ""]
    return "\n".join(lines)


def _comment(text: str) -> list[str]:
    if not text:
        return []
    return ["/**", *(f" * {line}".rstrip() for line in text.splitlines()), " */"]


def _typescript(info: types.Type) -> str:
    """The type as TypeScript writes it; api.py uses no others."""
    simple: dict[type[types.Type], str] = {
        types.StrType: "string",
        types.IntType: "number",
        types.FloatType: "number",
        types.BoolType: "boolean",
        types.NoneType: "null",
        types.AnyType: "unknown",
    }
    if type(info) in simple:
        return simple[type(info)]
    if isinstance(info, types.LiteralType):
        return " | ".join(json.dumps(value) for value in info.values)
    if isinstance(info, types.ListType):
        item = _typescript(info.item_type)
        return f"({item})[]" if " " in item else f"{item}[]"
    if isinstance(info, types.DictType):
        return f"Record<string, {_typescript(info.value_type)}>"
    if isinstance(info, types.UnionType):
        return " | ".join(_typescript(one) for one in info.types)
    if isinstance(info, types.StructType):
        return info.cls.__name__
    raise TypeError(f"no TypeScript for {info}")


# --- methods.md ------------------------------------------------------------------------------


def reference() -> str:
    lines = [f"<!-- {SOURCE} -->", "", "# Methods", ""]
    lines += [
        "Each with its direction, its fields, and an example, which is a file in `golden/` that",
        "tests read too. What they mean together, and how errors look, stands in",
        "[README.md](README.md).",
        "",
    ]
    for method in methods():
        lines += [f"## `{method.name}`", "", f"{method.kind.capitalize()}, {method.direction}.", ""]
        lines += _described("Parameters", method.params)
        if method.result:
            lines += _described("Result", method.result)
        lines += ["Example:", "", "```json", method.example.read_text("utf-8").strip(), "```", ""]
    lines += ["# Types inside others", ""]
    shown = {one for method in methods() for one in (method.params, method.result)}
    for struct in structs():
        if struct not in shown:
            lines += _described("", struct)
    return "\n".join(lines).rstrip() + "\n"


def _described(title: str, struct: type[api.Message]) -> list[str]:
    name = f"`{struct.__name__}`"
    lines = [f"### {title}: {name}" if title else f"### {name}", ""]
    lines += [_doc(struct), ""] if _doc(struct) else []
    fields = msgspec.structs.fields(struct)
    if not fields:
        return lines
    lines += ["| field | type | default |", "| --- | --- | --- |"]
    for field in fields:
        kind = _typescript(types.type_info(field.type)).replace("|", "\\|")
        default = "required" if field.required else f"`{json.dumps(_default(field))}`"
        lines.append(f"| `{field.encode_name}` | `{kind}` | {default} |")
    return [*lines, ""]


def _default(field: msgspec.structs.FieldInfo) -> Any:
    if field.default_factory is not msgspec.NODEFAULT:
        return field.default_factory()
    return field.default


def _doc(struct: type[msgspec.Struct]) -> str:
    """A Struct's docstring, with fields called as they are on the wire."""
    text = inspect.cleandoc(struct.__doc__ or "")
    for one in structs():
        for field in msgspec.structs.fields(one):
            text = text.replace(f"`{field.name}`", f"`{field.encode_name}`")
    return text


# --- all of them -----------------------------------------------------------------------------

FILES: dict[str, Callable[[], str]] = {
    "schema.json": schema_json,
    "sidecar.d.ts": declarations,
    "methods.md": reference,
}


def stale() -> Iterator[str]:
    """Names of the files that are not as they would be written."""
    for name, make in FILES.items():
        path = HERE / name
        if not path.exists() or path.read_text("utf-8") != make():
            yield name


def _reachable(roots: list[type[api.Message]]) -> set[type[api.Message]]:
    found: set[type[api.Message]] = set()

    def visit(info: types.Type) -> None:
        if isinstance(info, types.StructType):
            if info.cls not in found:
                found.add(cast("type[api.Message]", info.cls))
                for field in info.fields:
                    visit(field.type)
        elif isinstance(info, types.ListType):
            visit(info.item_type)
        elif isinstance(info, types.DictType):
            visit(info.value_type)
        elif isinstance(info, types.UnionType):
            for one in info.types:
                visit(one)

    for root in roots:
        visit(types.type_info(root))
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--check", action="store_true", help="write nothing")
    options = parser.parse_args()
    changed = list(stale())
    for name in changed:
        if options.check:
            print(f"protocol/{name} is not current: run `make docs`", file=sys.stderr)
        else:
            (HERE / name).write_text(FILES[name](), encoding="utf-8")
            print(f"wrote protocol/{name}")
    if fingerprint() not in (HERE / "README.md").read_text("utf-8"):
        print(
            "protocol/README.md was written for other message types: read it again, "
            f"then give it the fingerprint {fingerprint()}",
            file=sys.stderr,
        )
        return 1
    return 1 if changed and options.check else 0


if __name__ == "__main__":
    sys.exit(main())
