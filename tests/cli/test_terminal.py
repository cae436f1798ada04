from __future__ import annotations

import io

import pytest

from sidecar.cli import terminal
from sidecar.cli.init import name_of
from sidecar.cli.main import main
from sidecar.cli.run import variables
from sidecar.cli.sync import size
from sidecar.errors import UsageError


def test_columns_align_and_lines_have_no_space_at_their_end() -> None:
    text = terminal.table(("ID", "STATE"), [("a", "running"), ("longer", "")])
    assert text == "ID      STATE\na       running\nlonger"


def test_what_a_server_says_cannot_steer_the_terminal() -> None:
    assert terminal.printable("a\x1b[2Jb\tc\n") == "a\\x1b[2Jb\tc\n"


def test_no_colour_where_it_is_unwanted(monkeypatch: pytest.MonkeyPatch) -> None:
    class Tty(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert terminal.painted("x", terminal.RED, Tty()) == "\033[31mx\033[0m"
    assert terminal.painted("x", terminal.RED, io.StringIO()) == "x"
    monkeypatch.setenv("NO_COLOR", "1")
    assert terminal.painted("x", terminal.RED, Tty()) == "x"


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (999, "999 B"), (12_345, "12.3 KB"), (5_000_000_000, "5.0 GB")]
)
def test_sizes_are_decimal(count: int, text: str) -> None:
    assert size(count) == text


@pytest.mark.parametrize(
    ("destination", "name"),
    [
        ("gpu1", "gpu1"),
        ("me@gpu1", "gpu1"),
        ("ssh://me@gpu1.example.org:2222", "gpu1.example.org"),
        ("ssh://me@[2001:db8::1]:22", "2001-db8-1"),
    ],
)
def test_a_host_is_named_after_its_destination(destination: str, name: str) -> None:
    assert name_of(destination) == name


def test_a_variable_without_value_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY", "from here")
    monkeypatch.delenv("MISSING", raising=False)
    assert variables(["A=1=2", "KEY", "MISSING"]) == {"A": "1=2", "KEY": "from here"}
    with pytest.raises(UsageError):
        variables(["=x"])


def test_an_unknown_command_is_answered_by_the_one_that_was_meant(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["runn", "train.py"]) == 2
    assert capsys.readouterr().err == (
        "sidecar: There is no command 'runn'. Did you mean `sidecar run`?\n"
    )


def test_a_name_cannot_begin_a_line_of_its_own() -> None:
    text = terminal.table(("PATH",), [("a\nsidecar: all is well\x1b[2J\u202e",)])
    assert text.split("\n") == ["PATH", "a\\nsidecar: all is well\\x1b[2J\\x202e"]
