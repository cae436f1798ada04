"""The house's import rules: a module imports from its own floor or below, never up or across."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import sidecar

PACKAGE = Path(sidecar.__file__).parent

FLOORS: tuple[frozenset[str], ...] = (
    frozenset({"core"}),
    frozenset({"agent"}),
    frozenset({"errors", "questions", "api"}),
    frozenset({"config"}),
    frozenset({"ssh"}),
    frozenset({"remote"}),
    frozenset({"sync", "jobs", "debug", "git", "forward"}),
    frozenset({"hub"}),
    frozenset({"lsp", "cli", "demo"}),
    frozenset({"daemon", "__main__"}),
)
"""From the ground up. What stands on one floor does not import each other, but for the small
modules of the third, which all others read."""

HEIGHT = {name: height for height, floor in enumerate(FLOORS) for name in floor}
NEIGHBOURS_ARE_FINE = frozenset({"errors", "questions", "api"})

SYNC_ROOMS = (
    "disk",
    "rules",
    "delta",
    "trees",
    "watching",
    "guarding",
    "pushing",
    "pulling",
    "steps",
    "decisions",
)
"""The rooms of sync/ from the ground up: each imports from itself and those before it. What stands
in no room (the engine) is above them all."""

AGENT_ROOMS = ("roots", "changes", "environment", "supervisor", "jobs", "git")
"""The rooms of agent/, likewise. What stands in no room is either small and below them all, or the
agent's loop and its streams, above them."""

BELOW_THE_ROOMS = (
    "failure",
    "private",
    "machine",
    "sockets",
    "outbox",
    "backlog",
    "memory",
    "worker",
    "loader",
)

TRAVELLING = ("core", "agent")
FACES = ("lsp", "cli")
BEHIND_THE_HUB = ("agent", "ssh", "remote", "sync", "jobs", "debug", "git", "forward")

# What a command that only asks the hub something must not pay for.
HEAVY = {"asyncssh", "pygls", "lsprotocol", "watchfiles", "numpy", "debugpy"}
LIGHT_MODULES = ("sidecar.cli.main", "sidecar.hub.process", "sidecar.hub.client")


def modules() -> list[str]:
    return sorted(str(path.relative_to(PACKAGE.parent)) for path in PACKAGE.rglob("*.py"))


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Line and absolute name of whatever a module imports, wherever in it; `from a import b` is
    also given as a.b, since b may be a module. What is under TYPE_CHECKING counts too."""
    package = [*path.relative_to(PACKAGE.parent).with_suffix("").parts[:-1]]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            origin = ".".join([*above, *([node.module] if node.module else [])])
            for alias in node.names:
                yield node.lineno, f"{origin}.{alias.name}"


def room_of(name: str) -> str | None:
    """The part of the package that a dotted name belongs to; None for its own `__init__`."""
    parts = name.split(".")
    if parts[0] != "sidecar" or len(parts) == 1:
        return None
    return parts[1] if parts[1] in HEIGHT else None


@pytest.mark.parametrize("module", modules())
def test_a_module_imports_from_its_own_floor_or_below(module: str) -> None:
    path = PACKAGE.parent / module
    room = room_of(".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts))
    if room is None:
        assert path.parent == PACKAGE, f"{module} is in no room that FLOORS knows"
        assert path.name == "__init__.py", f"{module} is on no floor that FLOORS knows"
    for line, name in imports(path):
        target = room_of(name)
        if target is None or target == room:
            continue
        assert room is not None, f"{module}:{line}: the package itself imports {name}"
        assert HEIGHT[target] <= HEIGHT[room], f"{module}:{line}: {room} imports {target}, above it"
        assert HEIGHT[target] < HEIGHT[room] or room in NEIGHBOURS_ARE_FINE, (
            f"{module}:{line}: {room} imports {target}, beside it"
        )


@pytest.mark.parametrize("module", [one for one in modules() if one.split("/")[1] == "sync"])
def test_a_room_of_sync_imports_from_itself_or_those_below(module: str) -> None:
    def height(parts: list[str]) -> int:
        return SYNC_ROOMS.index(parts[0]) if parts[0] in SYNC_ROOMS else len(SYNC_ROOMS)

    own = module.split("/")[2:]
    assert len(own) == 1 or own[0] in SYNC_ROOMS, f"{module} is in no room that SYNC_ROOMS knows"
    for line, name in imports(PACKAGE.parent / module):
        if name.startswith("sidecar.sync."):
            target = name.split(".")[2:]
            assert height(target) <= height(own), f"{module}:{line}: {own[0]} imports {name}"


@pytest.mark.parametrize("module", [one for one in modules() if one.split("/")[1] == "agent"])
def test_a_room_of_the_agent_imports_from_itself_or_those_below(module: str) -> None:
    def height(parts: list[str]) -> int:
        if parts[0] in BELOW_THE_ROOMS:
            return -1
        return AGENT_ROOMS.index(parts[0]) if parts[0] in AGENT_ROOMS else len(AGENT_ROOMS)

    own = module.removesuffix(".py").split("/")[2:]
    assert len(own) == 1 or own[0] in AGENT_ROOMS, f"{module} is in no room that AGENT_ROOMS knows"
    for line, name in imports(PACKAGE.parent / module):
        if name.startswith("sidecar.agent."):
            target = name.split(".")[2:]
            assert height(target) <= height(own), f"{module}:{line}: {own[0]} imports {name}"


@pytest.mark.parametrize("module", [one for one in modules() if one.split("/")[1] in TRAVELLING])
def test_what_travels_imports_the_standard_library_and_core_alone(module: str) -> None:
    path = PACKAGE.parent / module
    room = module.split("/")[1]
    for line, name in imports(path):
        top = name.split(".")[0]
        if top == "sidecar":
            allowed = ("sidecar.core",) if room == "core" else ("sidecar.core", "sidecar.agent")
            assert name.startswith(allowed), f"{module}:{line} imports {name}"
        else:
            assert top in sys.stdlib_module_names, f"{module}:{line} imports {name}"


@pytest.mark.parametrize("module", [one for one in modules() if one.split("/")[1] in TRAVELLING])
def test_what_travels_has_the_syntax_of_python_3_8(module: str) -> None:
    text = (PACKAGE.parent / module).read_text(encoding="utf-8")
    ast.parse(text, module, feature_version=(3, 8))


@pytest.mark.parametrize("module", [one for one in modules() if one.split("/")[1] == "core"])
def test_core_does_no_input_or_output(module: str) -> None:
    forbidden = {"asyncio", "socket", "selectors", "select", "subprocess", "threading", "time"}
    for line, name in imports(PACKAGE.parent / module):
        assert name.split(".")[0] not in forbidden, f"{module}:{line} imports {name}"


@pytest.mark.parametrize("module", [one for one in modules() if one.split("/")[1] in FACES])
def test_a_face_never_talks_to_an_agent_past_the_hub(module: str) -> None:
    for line, name in imports(PACKAGE.parent / module):
        assert room_of(name) not in BEHIND_THE_HUB, f"{module}:{line} imports {name}"


@pytest.mark.parametrize("module", LIGHT_MODULES)
def test_a_light_module_imports_nothing_heavy(module: str) -> None:
    code = f"import sys, {module}; print(*sorted({HEAVY!r} & sys.modules.keys()))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []
