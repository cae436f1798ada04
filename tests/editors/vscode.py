"""A real VS Code, as code-server has it, with the packaged extension, in a real browser without a
screen.

CONTRIBUTING.md says how it gets here. SIDECAR_CODE_SERVER names the `lib/vscode` of code-server,
SIDECAR_NODE the Node that runs it; SIDECAR_SCREENSHOTS a folder for pictures of what is seen.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

EXTENSION = Path(__file__).parents[2] / "sidecar" / "editors" / "vscode" / "sidecar.vsix"
PATIENCE = 30_000
"""Milliseconds."""

SETTINGS = {
    "security.workspace.trust.enabled": False,
    "workbench.startupEditor": "none",
    "workbench.secondarySideBar.defaultVisibility": "hidden",
    "telemetry.telemetryLevel": "off",
    "update.mode": "none",
    "extensions.autoUpdate": False,
    "chat.disableAIFeatures": True,
    "window.dialogStyle": "custom",
    # A browser has no extensions of its own; on a desktop ours runs where the screen is.
    "remote.extensionKind": {"sidecar.sidecar": ["workspace"]},
    "sidecar.path": str(Path(sys.executable).with_name("sidecar")),
}

BROWSER = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
]  # fmt: skip


def server() -> Path:
    return Path(os.environ.get("SIDECAR_CODE_SERVER", "/nowhere")) / "out" / "server-main.js"


def node() -> str:
    return os.environ.get("SIDECAR_NODE") or shutil.which("node") or ""


def browser() -> str:
    return shutil.which("chromium") or shutil.which("google-chrome") or ""


def is_here() -> bool:
    try:
        import playwright  # noqa: F401
    except ImportError:
        return False
    return server().is_file() and bool(node() and browser()) and EXTENSION.is_file()


class VsCode:
    """One window on a folder."""

    def __init__(self, page: Any) -> None:
        self.page = page

    def see(self, selector: str, text: str = "") -> Any:
        """Waits until something is on the screen; returns it."""
        found = self.page.locator(f"{selector} >> visible=true")
        if text:
            found = found.filter(has_text=text)
        found.first.wait_for(timeout=PATIENCE)
        return found.first

    def open(self, name: str) -> None:
        self.see(".explorer-folders-view .monaco-list-row", name).dblclick()
        self.see(f'.tab[data-resource-name="{name}"]')
        self.see(".monaco-editor .view-lines")

    def press(self, keys: str) -> None:
        self.page.keyboard.press(keys)

    def type(self, text: str) -> None:
        self.page.keyboard.type(text)

    def command(self, title: str) -> None:
        self.press("F1")
        self.see(".quick-input-widget input")
        self.type(title)
        self.see(".quick-input-list .monaco-list-row", title).click()

    def pick(self, text: str) -> None:
        self.see(".quick-input-list .monaco-list-row", text).click()

    def status(self, text: str) -> None:
        self.see('.statusbar-item[id*="sidecar"]', text)

    def line(self, number: int) -> None:
        """Puts the cursor there."""
        self.see(".editor-instance .view-lines").click()
        self.press("Control+G")
        self.see(".quick-input-widget input").fill(f":{number}")
        self.press("Enter")
        self.page.locator(".quick-input-widget").wait_for(state="hidden", timeout=PATIENCE)

    def terminal(self, text: str) -> str:
        """Waits until the terminal in front shows that text; returns all of it."""
        self.see(".terminal-wrapper.active .xterm-rows", text)
        return str(self.page.locator(".terminal-wrapper.active .xterm-rows").inner_text())

    def picture(self, name: str) -> None:
        if folder := os.environ.get("SIDECAR_SCREENSHOTS"):
            self.page.screenshot(path=os.path.join(folder, f"{name}.png"))


@contextmanager
def vscode(folder: Path, **settings: Any) -> Iterator[VsCode]:
    from playwright.sync_api import sync_playwright

    data = Path(tempfile.mkdtemp(prefix="sidecar-vscode-"))
    (data / "User").mkdir()
    # The DOM renderer, so that a terminal's text can be read.
    chosen = {**SETTINGS, "terminal.integrated.gpuAcceleration": "off", **settings}
    (data / "User" / "settings.json").write_text(json.dumps(chosen))
    common = [
        node(), str(server()), "--accept-server-license-terms", "--telemetry-level", "off",
        "--user-data-dir", str(data), "--server-data-dir", str(data),
        "--extensions-dir", str(data / "exts"),
    ]  # fmt: skip
    done = subprocess.run(
        [*common, "--install-extension", str(EXTENSION)], capture_output=True, check=False
    )
    assert b"successfully installed" in done.stdout, done.stdout + done.stderr
    process = subprocess.Popen(
        [
            *common, "--host", "127.0.0.1", "--port", "0", "--without-connection-token",
            "--reconnection-grace-time", "1", "--default-folder", str(folder),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        port = ""
        for line in process.stdout:
            if found := re.search(rb"127\.0\.0\.1:(\d+)|listening on (\d+)", line):
                port = (found[1] or found[2]).decode()
                break
        with sync_playwright() as playwright:
            chromium = playwright.chromium.launch(
                executable_path=browser(), headless=True, args=BROWSER
            )
            page = chromium.new_page(viewport={"width": 1280, "height": 800})
            page.goto(f"http://127.0.0.1:{port}/?folder={folder}")
            window = VsCode(page)
            window.see(".explorer-folders-view .monaco-list-row")
            try:
                yield window
            except BaseException:
                window.picture("failed")
                raise
            finally:
                chromium.close()
    finally:
        process.terminate()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()
        shutil.rmtree(data, ignore_errors=True)
