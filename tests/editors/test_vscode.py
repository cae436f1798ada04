"""The packaged extension in a real VS Code, with the real server, to a real machine."""

from __future__ import annotations

import pytest

from tests.editors import vscode
from tests.hub.laptop import Laptop
from tests.servers.box import Box

pytestmark = [
    pytest.mark.timeout(240),
    pytest.mark.skipif(
        not vscode.is_here(), reason="only on machines with code-server: see CONTRIBUTING.md"
    ),
]

TRAIN = """\
import os
import sys


def score(row):
    total = sum(row)
    return total


if __name__ == "__main__":
    print("\\033[32mtrained\\033[0m", score([1, 2, 3]), os.get_terminal_size().columns > 20)
    if sys.stdin.isatty():
        print("hello", input("who? "))
"""


def test_a_save_a_run_with_input_and_a_breakpoint(nearby: Laptop, embedded: Box) -> None:
    nearby.write("train.py", TRAIN)
    with vscode.vscode(nearby.project) as code:
        code.open("train.py")
        code.status("box")
        code.see(".codelens-decoration", "Run on box")

        code.see(".editor-instance .view-lines").click()
        code.press("Control+End")
        code.type("# edited")
        code.press("Control+S")
        code.command("Sidecar: Run File on Remote")
        code.terminal("who?")
        assert (embedded.home / "model/train.py").read_text().endswith("# edited")
        code.page.locator(".terminal-wrapper.active .xterm-helper-textarea").focus()
        code.type("Eve")
        code.press("Enter")
        text = code.terminal("[status 0]")
        code.picture("run")
        assert "trained 6 True" in text
        assert "hello Eve" in text

        code.line(6)
        code.press("F9")
        code.see(".codicon-debug-breakpoint")
        code.press("F5")
        code.see(".debug-toolbar")
        code.see(".debug-call-stack .monaco-list-row", "score")
        code.picture("debug")
