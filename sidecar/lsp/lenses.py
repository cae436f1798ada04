"""Run and Debug where something can be run: over `if __name__ == "__main__":`, over tests, over
cells, and for a selection. As code lenses, and as code actions for editors that show none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from lsprotocol import types

from sidecar.hub import outline

KIND = "source.sidecar"

MOST_SHOWN = 40
"""Characters of remembered arguments in a title."""


class Document(NamedTuple):
    """What the editor shows of a file. `path`: its name here."""

    path: str
    text: str


def lenses(document: Document, host: str, args: Sequence[str] = ()) -> list[types.CodeLens]:
    """`args`: that the file was last run with."""
    found = []
    for item in outline.items(*document):
        place = types.Position(item.line, 0)
        for command in _commands(document.path, item, host, args):
            found.append(types.CodeLens(types.Range(place, place), command=command))
    return found


def actions(
    document: Document,
    host: str,
    only: Sequence[str] | None,
    selected: types.Range,
    args: Sequence[str] = (),
) -> list[types.CodeAction]:
    """The main block's for anywhere in its file, since who asks for actions has no lens to aim at;
    a test's and a cell's within them."""
    items = outline.items(*document)
    first, last = _lines(selected)
    found = []
    if selected.start != selected.end and document.path.endswith(".py"):
        found.append(_selection(document.path, first, last, host))
    test = outline.test_at(items, document.text.splitlines(), selected.start.line)
    cell = outline.cell_at(items, selected.start.line)
    main = next((item for item in items if item.kind == "main"), None)
    for item in (test, cell, main):
        if item is not None:
            found += _commands(document.path, item, host, args)
    return [
        types.CodeAction(command.title, kind=kind, command=command)
        for command in found
        for kind in [f"{KIND}.{command.command.partition('.')[2]}"]
        if only is None or any(_within(kind, one) for one in only)
    ]


def _commands(path: str, item: outline.Item, host: str, args: Sequence[str]) -> list[types.Command]:
    if item.kind == "cell":
        what = f"Run cell on {host}"
        return [_command("run", what, target=path, first=item.line + 1, last=item.end)]
    if item.kind == "main":
        given = _shown(args)
        return [
            _command("run", f"Run on {host}{given}", target=path, recall=True),
            _command("debug", f"Debug on {host}{given}", target=path, recall=True),
        ]
    noun = "test" if item.kind == "test" else "tests"
    return [
        _command("run", f"Run {noun} on {host}", target=f"{path}::{item.name}"),
        _command("debug", f"Debug {noun} on {host}", target=f"{path}::{item.name}"),
    ]


def _selection(path: str, first: int, last: int, host: str) -> types.Command:
    return _command("run", f"Run selection on {host}", target=path, first=first + 1, last=last + 1)


def _lines(selected: types.Range) -> tuple[int, int]:
    """First and last line, from 0. A selection that ends before a line's first character has
    nothing of that line."""
    first, last = selected.start.line, selected.end.line
    return first, last - 1 if last > first and selected.end.character == 0 else last


def _command(name: str, title: str, **argument: Any) -> types.Command:
    return types.Command(title, f"sidecar.{name}", arguments=[argument])


def _shown(args: Sequence[str]) -> str:
    text = " ".join(args)
    text = text if len(text) <= MOST_SHOWN else text[: MOST_SHOWN - 1] + "…"
    return f" ({text})" if text else ""


def _within(kind: str, group: str) -> bool:
    return not group or kind == group or kind.startswith(f"{group}.")
