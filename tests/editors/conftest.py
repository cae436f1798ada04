from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.editors.nvim import Nvim, program
from tests.hub.laptop import COMMAND, Laptop, connected, laptop, nearby

__all__ = ["connected", "laptop", "nearby"]


@pytest.fixture
def start(laptop: Laptop) -> Iterator[Callable[..., Nvim]]:
    """Starts a Neovim in the project, with the real `sidecar serve`."""
    if not program():
        pytest.skip("needs Neovim")
    running: list[Nvim] = []

    def start(*files: str, cwd: Path | None = None, **options: Any) -> Nvim:
        extra = options.pop("extra", ())
        options = {"cmd": COMMAND, **options}
        running.append(Nvim(options, cwd or laptop.project, *files, extra=extra))
        return running[-1]

    yield start
    for nvim in running:
        nvim.quit()
