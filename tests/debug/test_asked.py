"""What an editor's debug configuration means."""

from __future__ import annotations

from typing import Any

import pytest

from sidecar.core.pathmap import PathMap
from sidecar.debug import launch
from sidecar.debug.asked import asked, exactly_one
from sidecar.debug.launch import Launch
from sidecar.errors import UsageError

HERE, THERE = "/home/me/proj", "/gpfs/me/proj"
MAP = PathMap([HERE], [THERE])


def test_a_configuration_for_debugpy_is_read_as_it_is() -> None:
    wanted = asked(
        {
            "type": "python",
            "request": "launch",
            "name": "train",
            "program": "/home/me/proj/train.py",
            "args": ["--lr", "3"],
            "env": {"A": "1", "GONE": None},
            "cwd": None,
            "pythonArgs": ["-X", "dev"],
            "justMyCode": False,
            "unknown": [1],
        }
    )
    exactly_one(wanted)
    assert (wanted.program, wanted.arguments) == ("/home/me/proj/train.py", ["--lr", "3"])
    assert (wanted.variables(), wanted.interpreter_arguments) == ({"A": "1"}, ["-X", "dev"])
    assert wanted.folder("/elsewhere") == "/home/me/proj"


def test_arguments_may_be_one_line_and_an_interpreter_a_list() -> None:
    wanted = asked({"module": "m", "args": "a 'b c'", "python": ["/py", "-O"]})
    assert wanted.arguments == ["a", "b c"]
    assert (wanted.interpreter, wanted.interpreter_arguments) == ("/py", ["-O"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"args": 3}, "args"),
        ({"env": {"A": 1}}, "env"),
        ({"console": "window"}, "console"),
        ({"connect": {"port": "x"}}, "port"),
    ],
)
def test_a_value_of_a_wrong_type_is_named(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        asked(arguments)


@pytest.mark.parametrize("arguments", [{}, {"program": "a.py", "module": "b"}])
def test_there_is_exactly_one_thing_to_launch(arguments: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="exactly one"):
        exactly_one(asked(arguments))


def test_the_editor_chooses_taste_and_nothing_about_the_machine() -> None:
    chosen = {"justMyCode": False, "subProcess": False, "python": "/laptop/python", "port": 5678}
    told = Launch("/there/python", "a.py").arguments(MAP, chosen)
    assert (told["justMyCode"], told["subProcess"]) == (False, False)
    assert told["python"] == ["/there/python"]
    assert told["program"] == "/gpfs/me/proj/a.py"
    assert "port" not in told


def test_code_and_interpreter_arguments_go_along() -> None:
    told = Launch("/py", "print(1)", code=True, interpreter_args=["-O"]).arguments(MAP, {})
    assert (told["code"], told["python"]) == ("print(1)", ["/py", "-O"])
    assert "program" not in told


def test_output_is_redirected_unless_there_is_a_terminal_for_it() -> None:
    inside = Launch("/py", "a.py").arguments(MAP, {})
    assert (inside["console"], inside["redirectOutput"]) == ("internalConsole", True)
    terminal = Launch("/py", "a.py").arguments(MAP, {"console": "integratedTerminal"})
    assert (terminal["console"], terminal["redirectOutput"]) == ("integratedTerminal", False)


def test_an_attach_names_where_and_no_machine_of_the_editor() -> None:
    told = launch.attach(MAP, {"host": "x", "justMyCode": False}, processId=4)
    assert (told["processId"], told["justMyCode"]) == (4, False)
    assert "host" not in told


# --- what debugpy is told -------------------------------------------------------------------

PYTHON = "/opt/py/bin/python"


def test_a_launch_is_about_the_remote_whatever_the_client_says() -> None:
    launch = Launch(PYTHON, "train.py", ["--lr", "1"], cwd=f"{HERE}/exp", env={"A": "b"})
    asked = {
        "justMyCode": False,
        "program": "/etc/passwd",
        "python": ["/usr/bin/evil"],
        "connect": {"host": "10.0.0.1", "port": 1},
        "pathMappings": [{"localRoot": "/x", "remoteRoot": "/y"}],
        "subProcess": True,
        "sudo": True,
    }
    assert launch.arguments(PathMap([HERE], [THERE, "/link/proj"]), asked) == {
        "name": "sidecar",
        "type": "debugpy",
        "request": "launch",
        "program": f"{THERE}/exp/train.py",
        "python": [PYTHON],
        "args": ["--lr", "1"],
        "cwd": f"{THERE}/exp",
        "env": {"A": "b"},
        "console": "internalConsole",
        "redirectOutput": True,
        "subProcess": True,
        "justMyCode": False,
        "stopOnEntry": False,
        "pathMappings": [
            {"localRoot": THERE, "remoteRoot": THERE},
            {"localRoot": "/link/proj", "remoteRoot": "/link/proj"},
        ],
    }


@pytest.mark.parametrize("target", ["pkg/a.py", f"{HERE}/pkg/a.py", "./pkg/../pkg/a.py"])
def test_a_file_is_found_from_the_root_where_no_folder_is_given(target: str) -> None:
    arguments = Launch(PYTHON, target).arguments(MAP, {})
    assert (arguments["program"], arguments["cwd"]) == (f"{THERE}/pkg/a.py", THERE)


def test_a_module_is_given_by_name() -> None:
    arguments = Launch(PYTHON, "pkg.train", module=True).arguments(MAP, {})
    assert arguments["module"] == "pkg.train"
    assert "program" not in arguments


@pytest.mark.parametrize(
    "launch",
    [
        Launch(PYTHON, "/etc/passwd"),
        Launch(PYTHON, "../other/a.py"),
        Launch(PYTHON, "a.py", cwd="/tmp"),
        Launch(PYTHON, "pkg", module=True, cwd="/tmp"),
    ],
)
def test_what_is_not_in_the_project_is_refused_by_name(launch: Launch) -> None:
    with pytest.raises(UsageError, match=r"is not in the project.*is not under /home/me/proj"):
        launch.arguments(MAP, {})
