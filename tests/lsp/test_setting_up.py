"""The first remote of a project, set up from an editor."""

from __future__ import annotations

import msgspec
import pytest
from pygls.exceptions import JsonRpcException

from sidecar import api
from tests.hub.laptop import Laptop
from tests.lsp.editor import Editor
from tests.servers.box import Box


async def test_a_folder_becomes_a_project_by_a_host_of_the_persons_configuration(
    laptop: Laptop, editor: Editor, embedded: Box
) -> None:
    await editor.start()
    with pytest.raises(JsonRpcException) as refused:
        await editor.request("sidecar/sync", project=str(laptop.project))
    problem = msgspec.convert(_plain(refused.value.data), api.Problem)
    assert (problem.code, problem.command) == ("no-project", "sidecar.init")

    assert "box" in (await editor.request("sidecar/sshHosts")).hosts
    where = {"project": str(laptop.project), "ssh": "box"}
    proposed = await editor.request("sidecar/init", **where, dryRun=True)
    assert (proposed.host, proposed.path) == ("box", "~/model")
    assert not (laptop.project / "sidecar.local.toml").exists()
    made = await editor.request("sidecar/init", **where, path="~/elsewhere")
    assert 'path = "~/elsewhere"' in (laptop.project / "sidecar.local.toml").read_text()
    assert made.file == str(laptop.project / "sidecar.local.toml")

    laptop.write("a.py", "print(1)\n")
    await editor.request("sidecar/sync", project=made.project, host=made.host)
    assert (embedded.home / "elsewhere/a.py").exists()
    with pytest.raises(JsonRpcException, match="already has a host box"):
        await editor.request("sidecar/init", **where)


async def test_a_plain_editor_is_asked_for_the_host(
    laptop: Laptop, editor: Editor, embedded: Box
) -> None:
    await editor.start(knows_sidecar=False)
    with pytest.raises(JsonRpcException, match="No host was named"):
        await editor.command("sidecar.init")  # dismissed
    assert not (laptop.project / "sidecar.local.toml").exists()
    editor.answers.append("box")
    made = await editor.command("sidecar.init")
    assert made["host"] == "box"
    assert await editor.wait("window/showMessage", lambda one: "will go to box" in one.message)


def _plain(data: object) -> object:
    return data._asdict() if hasattr(data, "_asdict") else data
