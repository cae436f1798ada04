"""A second user of the remote tries every port of everything that a debug session consists of.

The adapter is spoken to as debugpy's own clients do it, without our proxy between: what listens
there is the same, and a client of many sessions is needed for a program of many processes.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import sys
import tarfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sidecar.debug import bundle
from tests.debug.client import DapClient
from tests.debug.conftest import gone, processes_of
from tests.debug.strangers import needs_root, ports_of, try_ports

CHILDREN = """\
import multiprocessing, subprocess, sys

def work(number):
    print("work", number)

if __name__ == "__main__":
    subprocess.run([sys.executable, "child.py"])
    for way in ("fork", "spawn"):
        child = multiprocessing.get_context(way).Process(target=work, args=(way,))
        child.start()
        child.join()
"""

CHILD = "print('child')\n"

ATTACHED = """\
import sys
sys.path.insert(0, sys.argv[1])
import debugpy
debugpy.connect((sys.argv[2], int(sys.argv[3])))
debugpy.wait_for_client()
print("attached")
"""


class Adapter:
    """debugpy's adapter behind our guard, and its client."""

    def __init__(self, folder: Path, client: DapClient, mark: str) -> None:
        self.folder, self.client, self._mark = folder, client, mark

    def ports(self) -> list[tuple[str, int]]:
        return ports_of({*processes_of(self._mark), *processes_of(str(self.folder))})


@pytest.fixture
async def adapter(tmp_path: Path) -> AsyncIterator[Adapter]:
    folder = tmp_path / "debugpy-there"
    with tarfile.open(fileobj=io.BytesIO(bundle.bundle().archive)) as archive:
        archive.extractall(folder)
    for name, text in (("main.py", CHILDREN), ("child.py", CHILD), ("attached.py", ATTACHED)):
        (tmp_path / name).write_text(text)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-I",
        str(folder / bundle.GUARD),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={"PYDEVD_DISABLE_FILE_VALIDATION": "1", "PYDEVD_LOAD_NATIVE_LIB": "0"},
        cwd=folder,
    )
    assert process.stdout is not None
    assert process.stdin is not None
    client = DapClient(process.stdout, process.stdin)
    mark = f"SIDECAR_TEST_MARK={tmp_path}"
    try:
        yield Adapter(folder, client, mark)
    finally:
        await client.close()
        await process.wait()
        await gone(mark)


async def breakpoint_set(client: DapClient, path: Path, line: int, number: int) -> None:
    """Goes on with a breakpoint there."""
    await client.ask("setBreakpoints", source={"path": str(path)}, breakpoints=[{"line": line}])
    await client.ask("configurationDone")
    await client.answer(number)


@pytest.mark.timeout(180)  # five processes, one after the other, each started with a debugger
@needs_root
async def test_a_second_user_gets_nowhere_at_any_port_of_a_program_and_its_children(
    adapter: Adapter, tmp_path: Path
) -> None:
    main, child = tmp_path / "main.py", tmp_path / "child.py"
    name, _, value = f"SIDECAR_TEST_MARK={tmp_path}".partition("=")
    number = await adapter.client.begin(
        "launch",
        program=str(main),
        python=[sys.executable],
        cwd=str(tmp_path),
        console="internalConsole",
        subProcess=True,
        env={name: value},
    )
    await breakpoint_set(adapter.client, main, 7, number)
    await adapter.client.event("stopped")
    await asyncio.to_thread(try_ports, adapter.ports())
    await adapter.client.ask("continue", threadId=1)
    # One after the other: by a command, by fork, by spawn, which has a helper beside the child.
    count = 0
    async with contextlib.AsyncExitStack() as children:
        for path, line, processes in [(child, 1, 1), (main, 4, 1), (main, 4, 2)]:
            started = []
            for _ in range(processes):
                count += 1
                attach = await adapter.client.event("debugpyAttach", count)
                port = attach["connect"]["port"]
                one = await children.enter_async_context(DapClient.connected(port))
                number = await one.begin("attach", **attach)
                await breakpoint_set(one, path, line, number)
                started.append(one)
            stopped = await first_stopped(started)
            ports = adapter.ports()
            assert {host for host, _ in ports} == {"127.0.0.1"}
            assert port in {port for _, port in ports}
            await asyncio.to_thread(try_ports, ports)
            await stopped.ask("continue", threadId=(await stopped.event("stopped"))["threadId"])
            await stopped.event("terminated")
        await adapter.client.event("terminated")


async def first_stopped(clients: list[DapClient]) -> DapClient:
    waiting = {asyncio.create_task(client.event("stopped")): client for client in clients}
    done, others = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    return waiting[done.pop()]


@needs_root
async def test_nor_at_the_port_that_a_program_is_attached_by(
    adapter: Adapter, tmp_path: Path
) -> None:
    await adapter.client.ask("initialize", adapterID="python", pathFormat="path")
    number = adapter.client.send("attach", listen={"host": "127.0.0.1", "port": 0})
    waits = await adapter.client.event("debugpyWaitingForServer")
    await asyncio.to_thread(try_ports, adapter.ports())
    program = await asyncio.create_subprocess_exec(
        sys.executable,
        str(tmp_path / "attached.py"),
        str(adapter.folder),
        waits["host"],
        str(waits["port"]),
        env={"SIDECAR_TEST_MARK": str(tmp_path), "PYDEVD_DISABLE_FILE_VALIDATION": "1"},
    )
    try:
        await adapter.client.event("initialized")
        await breakpoint_set(adapter.client, tmp_path / "attached.py", 6, number)
        await adapter.client.event("stopped")
        await asyncio.to_thread(try_ports, adapter.ports())
        await adapter.client.ask("continue", threadId=1)
        assert await asyncio.wait_for(program.wait(), 30) == 0
    finally:
        if program.returncode is None:
            program.kill()
            await program.wait()
