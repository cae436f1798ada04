"""Interpreters, for editors that know only standard LSP."""

from __future__ import annotations

import os
import sys

import pytest
from pygls.exceptions import JsonRpcException

from tests.hub.laptop import Laptop
from tests.lsp.editor import Editor
from tests.servers.box import Box


async def test_an_editor_lists_and_selects_interpreters(
    nearby: Laptop, editor: Editor, embedded: Box
) -> None:
    prefix = embedded.home / "miniforge3/envs/ml"
    (prefix / "bin").mkdir(parents=True)
    (prefix / "conda-meta").mkdir()
    (prefix / "bin/python").symlink_to(os.path.realpath(sys.executable))
    version = ".".join(map(str, sys.version_info[:3]))
    nearby.write("main.py", "print(1)\n")
    await editor.start()
    listed = await editor.request("sidecar/interpreters")
    (ml,) = [one for one in listed.interpreters if one.name == "conda:ml"]
    assert (ml.kind, ml.version, ml.inUse) == ("conda", version, False)
    chosen = await editor.command("sidecar.selectInterpreter", {"name": "ml"})
    assert (chosen["python"], chosen["version"]) == ("conda:ml", version)
    assert 'python = "conda:ml"' in (nearby.project / "sidecar.local.toml").read_text()
    listed = await editor.request("sidecar/interpreters")
    assert [one.name for one in listed.interpreters if one.inUse] == ["conda:ml"]


async def test_without_a_name_the_person_is_asked(
    nearby: Laptop, editor: Editor, embedded: Box
) -> None:
    nearby.write("main.py", "print(1)\n")
    await editor.start()
    listed = await editor.request("sidecar/interpreters")
    named = next(one for one in listed.interpreters if one.name == "python3")
    before = (nearby.project / "sidecar.local.toml").read_text()
    with pytest.raises(JsonRpcException, match="No Python was chosen"):
        await editor.command("sidecar.selectInterpreter")  # dismissed
    assert (nearby.project / "sidecar.local.toml").read_text() == before
    editor.answers.append("Not now")
    with pytest.raises(JsonRpcException, match="No Python was chosen"):
        await editor.command("sidecar.selectInterpreter")
    chosen = await editor.request("sidecar/selectInterpreter", name="python3")
    assert chosen.path == named.path
