"""Fixtures of the tests of the whole: the real processes, from an editor to a file there."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.hub.laptop import Laptop, connected, laptop, nearby
from tests.lsp.editor import Editor

__all__ = ["connected", "editor", "laptop", "nearby"]


@pytest.fixture
async def editor(laptop: Laptop) -> AsyncIterator[Editor]:
    editor = Editor(laptop)
    yield editor
    await editor.end()
