from __future__ import annotations

import ast
import base64
import json
import re
import shlex
import shutil
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

import sidecar
from sidecar.remote import bundle
from sidecar.remote.bundle import ASKED, FILES, NOW, OTHERS

PACKAGE = Path(sidecar.__file__).parent
TRAVELS = (*NOW, *FILES, *OTHERS, *ASKED)
ALL_THAT_RUNS = ("agent.first", *TRAVELS)

STRANGE = ["/opt/my python/bin/python", "~/it's/$HOME/`x`\\!/p", "/é\udcff/%s", "python3.11", "~/p"]


def source(name: str) -> str:
    return (PACKAGE / (name.replace(".", "/") + ".py")).read_text(encoding="utf-8")


def imported(name: str) -> set[str]:
    """Absolute names of the modules that a module imports, wherever in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source(name))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            assert node.module
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            modules = {
                n for n in names if (PACKAGE.parent / (n.replace(".", "/") + ".py")).exists()
            }
            found.update(modules or {node.module})
    return found


@pytest.mark.parametrize("name", ALL_THAT_RUNS)
def test_what_travels_is_python_3_8(name: str) -> None:
    ast.parse(source(name), feature_version=(3, 8))


@pytest.mark.parametrize("name", ALL_THAT_RUNS)
def test_what_travels_imports_the_standard_library_and_what_came_before_it(name: str) -> None:
    part = next((p for p in (NOW, FILES, OTHERS, ASKED) if name in p), NOW)
    agent = NOW + FILES + OTHERS
    present = {NOW: NOW, FILES: NOW + FILES, OTHERS: agent, ASKED: TRAVELS}[part]
    for module in imported(name):
        if module.startswith("sidecar"):
            late = name in (
                "agent.main",
                "agent.first",
                "agent.changes.landing",
            )  # they wait before they import
            assert module.removeprefix("sidecar.") in (agent if late else present)
        else:
            assert module.partition(".")[0] in sys.stdlib_module_names


def test_the_first_stage_needs_nothing_of_ours_but_what_it_receives() -> None:
    ours = {module for module in imported("agent.first") if module.startswith("sidecar")}
    assert ours == {"sidecar.agent.main"}


def test_everything_of_the_agent_travels() -> None:
    there = {
        ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        for path in (PACKAGE / "agent").rglob("*.py")
        if path.stem != "__init__"
    }
    assert there == {n for n in ALL_THAT_RUNS if n.startswith("agent.")}


def test_no_module_travels_twice() -> None:
    assert len(TRAVELS) == len(set(TRAVELS))


def test_the_parts_fit_their_flights() -> None:
    now, files, _ = bundle.parts()
    assert len(now) <= bundle.FIRST_FLIGHT
    assert len(files) <= bundle.SECOND_FLIGHT


@pytest.mark.parametrize("how", ["exec", "stdin"])
def test_the_command_is_short_and_every_shell_reads_it_the_same(how: str) -> None:
    texts = bundle.bundle(python=STRANGE[1], state="~/s", root="~/c/p", bootstrap=how, careful=True)
    assert len(texts.command) <= bundle.COMMAND_LIMIT
    assert re.fullmatch(r"exec sh -c '[^'\n!]*' sidecar_agent [A-Za-z0-9+/= ]+", texts.command)
    # fish reads \' and \\ within single quotes; csh of the BSDs has a limit for words.
    assert not re.search(r"\\[^0-7]", texts.command)
    assert all(len(word) < 1024 for word in shlex.split(texts.command))


def test_a_tiny_command_carries_no_code_of_the_agent() -> None:
    texts = bundle.bundle(bootstrap="stdin")
    assert len(texts.command) < 1200
    assert len(texts.stdin) > len(bundle.bundle().stdin) + 1000


def test_where_things_are_does_not_stand_in_the_command() -> None:
    texts = bundle.bundle(state="/secret/state", root="/secret/root")
    assert "secret" not in texts.command
    words = texts.command.split("sidecar_agent ")[-1].split()
    first = zlib.decompress(base64.b64decode("".join(words))).decode()
    assert "/secret/state" in first
    assert "/secret/root" in first


def test_a_prefix_stands_in_front_of_the_command() -> None:
    command = bundle.bundle(via="docker exec -i train").command
    assert command.startswith("docker exec -i train sh -c '")


@pytest.mark.parametrize("name", ALL_THAT_RUNS)
def test_a_bare_source_is_the_same_program_on_the_same_lines(name: str) -> None:
    whole, bare = source(name), bundle.bare(source(name))
    assert len(whole.split("\n")) == len(bare.split("\n"))
    assert statements(whole) == statements(bare)
    assert '"""' not in bare or len(bare) < len(whole)


def statements(text: str) -> list[str]:
    """The program without strings that stand alone, each node with its line."""
    tree = ast.parse(text)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [  # type: ignore[attr-defined]
                one
                for one in body
                if not (isinstance(one, ast.Expr) and isinstance(one.value, ast.Constant))
            ]
    return [f"{getattr(node, 'lineno', 0)} {ast.dump(node)}" for node in tree.body]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('def f():\n    """One\n    two."""\n', "def f():\n    0\n\n"),
        (
            'class A:\n    """Doc."""\n    x = 1\n    """Of x."""',
            "class A:\n    0\n    x = 1\n    0",
        ),
        ('x = """\n# no comment\n"""\n# one\n', 'x = """\n# no comment\n"""\n\n'),
        ('x = """one"""  # two\n# three', 'x = """one"""  # two\n'),
        ('# see """\n"""é"""\ny = 1  # kept', "\n0\ny = 1  # kept"),
    ],
)
def test_only_what_nobody_reads_is_taken_out(text: str, expected: str) -> None:
    assert bundle.bare(text) == expected


def test_the_digest_names_the_code() -> None:
    assert re.fullmatch(r"[0-9a-f]{16}", bundle.digest())


@pytest.mark.parametrize(
    "shell", ["sh", "bash", "dash", "busybox", "zsh", "ksh", "csh", "tcsh", "fish"]
)
@pytest.mark.parametrize("path", STRANGE)
def test_a_configured_interpreter_is_tried_first_however_it_is_spelled(
    shell: str, path: str, tmp_path: Path
) -> None:
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"only on machines with {shell}")
    words = [program, "sh"] if shell == "busybox" else [program]
    if "/" in path:
        place = tmp_path / path.removeprefix("~/") if path[0] == "~" else Path(f"{tmp_path}{path}")
        wanted = path if path[0] == "~" else str(place)
    else:
        place, wanted = tmp_path / "bin" / path, path
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text('#!/bin/sh\necho "$0"\necho "${sidecar_agent}"\n')
    place.chmod(0o755)
    command = bundle.bundle(python=wanted).command
    done = subprocess.run(
        [*words, "-c", command],
        capture_output=True,
        env={"HOME": str(tmp_path), "PATH": f"{tmp_path}/bin:/usr/bin:/bin"},
        timeout=30,
    )
    lines = done.stdout.splitlines()
    assert lines[0] == str(place).encode("utf-8", "surrogateescape")
    first = zlib.decompress(base64.b64decode(lines[1])).decode()
    assert json.dumps(1) in first
    assert first.rstrip().endswith(")")
