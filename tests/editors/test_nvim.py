"""The Neovim plugin in a real Neovim, with the real server, to a real machine."""

from __future__ import annotations

from collections.abc import Callable

from tests.editors.nvim import Nvim
from tests.hub.laptop import Laptop
from tests.servers.box import Box

Start = Callable[..., Nvim]


def test_a_changed_file_is_saved_sent_and_run_and_its_output_is_shown(
    connected: Laptop, start: Start, box: Box
) -> None:
    connected.write("train.py", "print('old')\n")
    nvim = start("train.py")
    nvim.api.current.buffer[:] = ["import sys", "print('new', sys.argv[1:], flush=True)"]
    nvim.command("RemoteRun % --lr 1")
    text = nvim.shows("[status 0]")
    assert "new ['--lr', '1']" in text
    assert text.startswith("box ")
    assert (box.home / "model/train.py").read_text().startswith("import sys")
    # The person stays where they were.
    assert nvim.api.current.buffer.name.endswith("train.py")
