"""The packaged extension in a real VS Code, with the real server, to a real machine."""

from __future__ import annotations

import http.server
import threading
from pathlib import Path

import pytest

from tests.editors import vscode
from tests.hub.laptop import Laptop
from tests.servers.box import Box
from tests.servers.embedded import EmbeddedBox
from tests.servers.loop_thread import LoopThread

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
        code.press("F10")
        code.see(".debug-call-stack .monaco-list-row", "7:1")
        code.see(".view-line", "return total").locator("span span").last.hover()
        code.see(".debug-hover-widget", "6")
        code.picture("debug")
        code.press("Shift+F5")
        code.page.locator(".debug-toolbar").wait_for(state="hidden", timeout=vscode.PATIENCE)


def test_a_conflict_is_decided_a_port_opened_and_a_cut_shown(
    nearby: Laptop, embedded: EmbeddedBox
) -> None:
    file = nearby.write("notes.txt", "agreed\n")
    assert nearby.sidecar("sync").returncode == 0
    (embedded.home / "model/notes.txt").write_text("theirs\n")
    file.write_text("mine\n")
    web = http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler)
    threading.Thread(target=web.serve_forever, daemon=True).start()
    try:
        with vscode.vscode(nearby.project) as code:
            code.open("notes.txt")
            code.status("box")
            code.page.get_by_role("tab", name="Sidecar").first.click()
            code.see(".pane-header", "Conflicts")
            code.see(".monaco-list-row", "notes.txt").click()
            code.see(".editor.modified .view-lines", "mine")
            code.see(".editor.original .view-lines", "theirs")
            code.picture("conflict")
            code.see('.editor-actions [aria-label*="Keep Remote"]').click()
            code.see(".editor.modified .view-lines", "theirs")
            assert file.read_text() == "theirs\n"

            code.command("Sidecar: Forward a Port…")
            code.see(".quick-input-widget input").fill(str(web.server_port))
            code.press("Enter")
            code.see(".notification-toast", "Open in Browser")
            code.see(".monaco-list-row", "127.0.0.1:")
            code.picture("ports")

            embedded.line.stall()
            embedded.cut()
            code.see(
                '.statusbar-item[id*="sidecar"] .codicon-sync, '
                '.statusbar-item[id*="sidecar"] .codicon-debug-disconnect'
            )
            code.picture("cut")
            embedded.line.flow()
            embedded.cut()
            code.command("Sidecar: Sync Now")
            code.see('.statusbar-item[id*="sidecar"] .codicon-check')
    finally:
        web.shutdown()
        web.server_close()


def test_from_nothing_to_a_first_run_with_a_password_that_was_wrong_once(
    laptop: Laptop, server_thread: LoopThread, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "server"
    folder.mkdir()
    box = EmbeddedBox(server_thread, folder, password="hunter2", key=False)
    try:
        box.fresh()
        monkeypatch.setenv("SIDECAR_SSH_CONFIG", str(box.ssh_config))
        laptop.write("a.py", "print('let in')\n")
        with vscode.vscode(laptop.project) as code:
            code.open("a.py")
            code.command("Sidecar: Run File on Remote")
            code.see(".notification-toast .monaco-button", "Set Up a Remote").click()
            code.pick(box.alias)
            code.see(".quick-input-widget", "The folder on box")
            code.press("Enter")
            code.see(".quick-input-widget", "assword")
            code.type("wrong")
            code.picture("password")
            code.press("Enter")
            code.see(".quick-input-widget", "Permission denied, please try again")
            code.picture("password again")
            code.type("hunter2")
            code.press("Enter")
            code.see(".quick-input-widget", "The Python on box")
            code.picture("interpreters")
            code.press("Enter")
            code.see(".notification-toast .monaco-button", "Sync Now").click()
            code.see('.statusbar-item[id*="sidecar"] .codicon-check')
            code.command("Sidecar: Run File on Remote")
            code.terminal("let in")
            code.terminal("[status 0]")
        assert "hunter2" not in laptop.log
    finally:
        laptop.end()
        box.close()


def test_a_window_that_is_opened_again_goes_on_showing_its_job(
    nearby: Laptop, embedded: EmbeddedBox
) -> None:
    nearby.write("loop.py", "print('up', flush=True)\nprint('told', input())\ninput()\n")
    with vscode.vscode(nearby.project) as code:
        code.open("loop.py")
        code.see('.statusbar-item[id*="sidecar"] .codicon-check')
        code.command("Sidecar: Run File on Remote")
        code.terminal("up")
        code.page.reload()
        code.see('.statusbar-item[id*="sidecar"] .codicon-check')
        code.terminal("up")
        code.page.locator(".terminal-wrapper.active .xterm-helper-textarea").focus()
        code.type("again")
        code.press("Enter")
        code.terminal("told again")
        code.picture("resumed")
        code.page.get_by_role("tab", name="Sidecar").first.click()
        code.see(".monaco-list-row", "python3 loop.py").hover()
        code.see('.monaco-list-row [aria-label^="Stop Job"]').click()
        code.terminal("KeyboardInterrupt")
        code.see('.monaco-list-row [aria-label^="Run Job Again"]')
        code.picture("jobs")
