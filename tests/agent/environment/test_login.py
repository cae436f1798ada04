"""The environment of a login shell: whatever shell, whatever its files do."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from sidecar.agent.environment import login
from sidecar.agent.environment.environments import Environments
from sidecar.core import messages as m
from tests.agent.desk import Recorder

SHELLS = ("bash", "sh", "dash", "zsh", "fish", "tcsh")

FILES = {
    "bash": ".bash_profile",
    "sh": ".profile",
    "dash": ".profile",
    "zsh": ".zprofile",
    "fish": ".config/fish/config.fish",
    "tcsh": ".login",
}
"""What each reads when a person logs in."""


@pytest.fixture(params=SHELLS)
def shell(request: pytest.FixtureRequest, isolated: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The login shell of a user with an empty home."""
    path = shutil.which(request.param)
    if path is None:
        pytest.skip(f"only on machines with {request.param}")
    monkeypatch.setenv("SHELL", path)
    return str(request.param)


def says(shell: str, name: str, value: str) -> str:
    """The line that sets a variable there."""
    if shell == "tcsh":
        return f"setenv {name} '{value}'"
    return f"set -x {name} '{value}'" if shell == "fish" else f"export {name}='{value}'"


def start_up(home: Path, shell: str, text: str) -> Path:
    path = home / FILES[shell]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text + "\n")
    return path


def test_a_login_shells_files_count_and_what_they_print_does_not(
    shell: str, isolated: Path
) -> None:
    noise = "echo Welcome to gpu1\necho PATH=/wrong >&2\n"
    start_up(isolated, shell, noise + says(shell, "TEAM", "a 'b' ü".replace("'", "")))
    captured = login.capture()
    assert captured.variables["TEAM"] == "a b ü"
    assert captured.variables["HOME"] == str(isolated)
    assert "/bin" in captured.variables["PATH"]
    assert (os.path.basename(captured.shell), captured.problem) == (shell, "")
    left = set(captured.variables) & {"_", "SHLVL", "OLDPWD", "sidecar_status"}
    assert not left
    assert captured.variables.get("TERM") == os.environ.get("TERM")


def test_setup_runs_in_it_and_its_variables_are_there(shell: str, isolated: Path) -> None:
    setup = (
        f"# a comment\n\n{says(shell, 'ONE', '1')}\necho noise\n{says(shell, 'TWO', 'two words')}"
    )
    variables = login.capture(setup).variables
    assert (variables["ONE"], variables["TWO"]) == ("1", "two words")


def test_a_line_of_setup_that_fails_is_named_with_its_status_and_what_it_said(
    shell: str, isolated: Path
) -> None:
    start_up(isolated, shell, "echo not of setup")
    setup = "# first\necho before\nsh -c 'echo no such module >&2; exit 3'\necho never"
    with pytest.raises(login.SetupFailed) as caught:
        login.capture(setup)
    assert (caught.value.line, caught.value.status) == (3, 3)
    assert "no such module" in caught.value.output
    assert "never" not in caught.value.output


def test_a_setup_that_the_shell_cannot_read_is_its_fault(shell: str, isolated: Path) -> None:
    with pytest.raises(login.SetupFailed) as caught:
        login.capture("echo 'not closed\n")
    assert caught.value.line in (0, 1)
    assert caught.value.output
    assert "sidecar_status" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "read -r answer",  # a prompt: stdin is empty
        "sleep 60 &",  # something that keeps the pipes open
        "exec 3>/dev/null 4>/dev/null 9>/dev/null",
        "set -x",
        "set -u",
        "alias cat='echo no' sh='echo no'",
        "trap 'echo bye' EXIT",
        "cd /",
    ],
)
def test_what_start_up_files_do_disturbs_nothing(
    text: str, isolated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHELL", "/bin/bash")
    start_up(isolated, "bash", f"{text}\nexport THERE=yes")
    assert login.capture("export MORE=yes").variables["MORE"] == "yes"
    assert login.capture().variables["THERE"] == "yes"


@pytest.mark.parametrize("text", ["exit 1", "exec true", "exec /no/such/shell"])
def test_a_shell_that_does_not_answer_is_said_and_another_one_asked(
    text: str, isolated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHELL", "/bin/bash")
    start_up(isolated, "bash", text)
    captured = login.capture()
    assert captured.shell == "/bin/sh"
    assert captured.problem.startswith("/bin/bash: ")
    assert captured.variables["HOME"] == str(isolated)
    with pytest.raises(login.SetupFailed):
        login.capture("true")


def test_one_that_never_ends_is_given_up(isolated: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHELL", "/bin/bash")
    monkeypatch.setattr(login, "SETUP_PATIENCE", 0.5)
    with pytest.raises(login.SetupFailed) as caught:
        login.capture("echo working; sleep 600")
    assert "did not end" in caught.value.reason
    assert "working" in caught.value.output


def test_a_program_that_is_no_shell_leaves_sh(
    isolated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHELL", "/bin/false")
    assert login.capture().shell == "/bin/sh"
    monkeypatch.setenv("SHELL", str(tmp_path / "gone"))
    assert login.own_shell() != str(tmp_path / "gone")


def test_commands_of_several_lines_stay_together() -> None:
    setup = "a\n# c\nif true; then\n  b\nfi\nfor x in 1 2; do\necho $x; done\nc \\\n  d\n"
    assert [line for line, _ in login.commands(setup, "/bin/sh")] == [1, 3, 6, 8]
    assert login.commands("cat <<E\nx\nE\ny", "/bin/sh") == [(1, "cat <<E\nx\nE\ny")]


def test_no_value_is_in_an_argument_list(
    isolated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHELL", "/bin/bash")
    seen = tmp_path / "seen"
    login.capture(f"export TOKEN=s3cret\ncat /proc/[0-9]*/cmdline 2>/dev/null > {seen} || :")
    assert b"s3cret" not in seen.read_bytes().replace(str(seen).encode(), b"")


def test_an_environment_is_kept_until_a_start_up_file_changes(
    isolated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHELL", "/bin/bash")
    mine = isolated / "env.sh"
    mine.write_text("export FROM=setup\n")
    profile = start_up(isolated, "bash", "echo x >> ~/asked; export V=1")
    environments = Environments(Recorder())
    setup = "source ~/env.sh"

    def asked() -> int:
        return (isolated / "asked").read_text().count("x")

    assert environments.captured(setup).variables["V"] == "1"
    assert environments.captured(setup).variables["FROM"] == "setup"
    assert asked() == 1
    profile.write_text("echo x >> ~/asked; export V=second\n")
    assert environments.captured(setup).variables["V"] == "second"
    mine.write_text("export FROM=changed\n")
    assert environments.captured(setup).variables["FROM"] == "changed"
    assert asked() == 3


def test_the_answer_tells_of_slurm_and_of_no_value(
    isolated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHELL", "/bin/bash")
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    programs = tmp_path / "slurm"
    programs.mkdir()
    (programs / "sbatch").write_text("#!/bin/sh\n")
    (programs / "sbatch").chmod(0o755)
    sent = Recorder()
    environments = Environments(sent)
    environments.handle(m.Environment(1, f"export PATH={programs}:$PATH TOKEN=s3cret"))
    answer = sent.answer(1)
    assert answer == m.EnvironmentReady(1, "/bin/bash", "", str(programs / "sbatch"))
    environments.handle(m.Environment(2, f"export PATH={programs}:$PATH SLURM_JOB_ID=1"))
    assert sent.answer(2).sbatch == ""
    environments.handle(m.Environment(3, "false"))
    assert sent.answer(3) == m.SetupFailed(3, 1, 1, "it ended with status 1", "")
