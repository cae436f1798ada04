"""A real Neovim without a screen, driven over its RPC, with nobody's configuration but ours."""

from __future__ import annotations

import gc
import json
import os
import shutil
import sys
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

PLUGIN = Path(__file__).parents[2] / "editors" / "nvim"
PATIENCE = 30.0


def program() -> str:
    """Neovim's path, "" where there is none. NVIM names another one, of another version say."""
    if named := os.environ.get("NVIM"):
        return named
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    return shutil.which("nvim", path=path) or ""


class Nvim:
    """One Neovim, with the plugin on its path as a plugin manager would put it.

    Args:
        options: of the plugin, as `vim.g.sidecar` has them.
        extra: more folders on the runtime path, before the plugin.
    """

    def __init__(
        self, options: Mapping[str, Any], cwd: Path, *files: str, extra: tuple[Path, ...] = ()
    ) -> None:
        pynvim = pytest.importorskip("pynvim")
        runtime = ",".join(str(folder) for folder in (*extra, PLUGIN))
        os.environ["NVIM_LOG_FILE"] = os.devnull
        before = Path.cwd()
        os.chdir(cwd)  # the child's working folder; pynvim has no say in it
        try:
            # The plugin is read at the start, so its options stand before that.
            self.api = pynvim.attach(
                "child",
                argv=[
                    program(), "--clean", "--embed", "--headless", "-n",
                    "--cmd", f"set runtimepath^={runtime}",
                    "--cmd", f"lua vim.g.sidecar = vim.json.decode([==[{json.dumps(options)}]==])",
                    "--cmd", "lua notes = {}; vim.notify = function(text, level) "
                             "table.insert(notes, {text, level or 2}) end",
                    *files,
                ],
            )  # fmt: skip
        finally:
            os.chdir(before)
        self.api.command("set columns=100 lines=40")

    def lua(self, code: str, *arguments: Any) -> Any:
        return self.api.exec_lua(code, *arguments)

    def command(self, text: str) -> None:
        self.api.command(text)

    def until(self, found: Callable[[], Any], what: str) -> Any:
        """Waits for what Neovim brings about. It is looked at from outside: a wait of Neovim's own
        would hold up who asks it as long as a prompt is open."""
        end = time.monotonic() + PATIENCE
        while not (result := found()):
            assert time.monotonic() < end, f"{what} did not come"
            time.sleep(0.02)
        return result

    def answer(self, keys: str) -> None:
        """Types into a prompt, once there is one."""
        mode = lambda: self.api.request("nvim_get_mode")["mode"]  # noqa: E731
        self.until(lambda: mode() == "c", "a prompt")
        self.api.input(keys)

    @property
    def notes(self) -> list[Any]:
        """What `vim.notify` was given: text and level."""
        return list(self.lua("return notes"))

    @property
    def messages(self) -> str:
        return str(self.api.command_output("messages"))

    def noted(self, text: str) -> Any:
        return self.until(
            lambda: next((note for note in self.notes if text in note[0]), None), f"note {text!r}"
        )

    def job_text(self) -> str:
        """What the newest job's buffer shows."""
        return str(
            self.lua(
                """
                local found = ''
                for _, buf in ipairs(vim.api.nvim_list_bufs()) do
                  if vim.b[buf].sidecar_job then
                    found = table.concat(vim.api.nvim_buf_get_lines(buf, 0, -1, false), '\\n')
                  end
                end
                return found
                """
            )
        )

    def shows(self, text: str) -> str:
        """Waits until the newest job's buffer shows that text; returns all of it."""
        self.until(lambda: text in self.job_text(), f"output {text!r} in {self.job_text()!r}")
        return self.job_text()

    def quickfix(self) -> dict[str, Any]:
        found: dict[str, Any] = self.lua(
            "local list = vim.fn.getqflist({ title = 1, idx = 0, items = 0 })"
            "for _, item in ipairs(list.items) do"
            " item.filename = item.bufnr > 0 and vim.api.nvim_buf_get_name(item.bufnr) or '' end "
            "return list"
        )
        return found

    def quit(self) -> None:
        with warnings.catch_warnings():
            # pynvim leaves its pipes to the collector, which is to find them here and not while
            # another test runs.
            warnings.simplefilter("ignore", ResourceWarning)
            try:
                self.api.command("silent! wall! | qall!", async_=True)
                self.api.next_message()
            except (EOFError, OSError):
                pass  # it has ended, as it was told to
            self.api.close()
            del self.api
            gc.collect()
