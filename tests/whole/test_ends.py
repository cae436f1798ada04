"""How it ends: in order, by a kill, in the middle of work. Nothing is left and nothing is lost."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from sidecar.config import places
from tests.debug.client import DapClient
from tests.hub.laptop import PATIENCE, Laptop, until_gone
from tests.lsp.editor import Editor
from tests.servers.box import Box
from tests.whole import traces
from tests.whole.waiting import eventually, soon

EDITOR = textwrap.dedent(
    """\
    import os, sys, time
    from pathlib import Path
    from sidecar.demo.editor import Editor

    project = Path(sys.argv[1])
    editor = Editor(project, os.environ)
    editor.open()
    for line in sys.stdin:
        if line.startswith("ready"):
            editor.wait_for("sidecar/didChangeStatus", lambda one: one["text"] == "in step")
        else:
            name, _, text = line.partition(" ")
            (project / name).write_text(text)
            editor.save(project / name)
        print("done", flush=True)
    """
)


class OtherEditor:
    """An editor that is a process of its own, with `sidecar serve` as its child."""

    def __init__(self, laptop: Laptop) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", EDITOR, str(laptop.project)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._do("ready")

    def save(self, name: str, text: str) -> None:
        self._do(f"{name} {text}")

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()

    def _do(self, what: str) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{what}\n".encode())
        self.process.stdin.flush()
        assert self.process.stdout.readline() == b"done\n"


def nothing_is_left(box: Box) -> None:
    """No process of ours on either side, no socket, no file that is half there."""
    eventually(lambda: not traces.here(), f"the end of {traces.here()}")
    eventually(lambda: not traces.there(box), f"the end of {traces.there(box)}")
    runtime = Path(os.environ["SIDECAR_RUNTIME_DIR"])
    assert traces.sockets(runtime, Path(os.environ["SIDECAR_STATE_DIR"])) == []
    assert traces.staged(box) == []
    assert list((box.home / "model/.sidecar/tmp").glob("*")) == []


async def test_after_the_last_client_nothing_is_left_on_either_side(
    connected: Laptop, editor: Editor, box: Box
) -> None:
    path = connected.write("main.py", "x = 1\nprint(x)\n")
    await editor.start()
    await editor.ready()
    other = Editor(connected)
    await other.start()
    await other.ready()
    editor.save(path, "x = 2\nprint(x)\n")
    await editor.request("sidecar/run", target=str(path))
    await editor.wait("sidecar/exited")
    debug = await editor.request("sidecar/debug", target=str(path))
    async with DapClient.connected(debug.port) as debugger:
        await debugger.stop_at(str(path), 2)
        # What is looked for below is there while somebody works.
        assert len(traces.here()) >= 3
        assert len(traces.there(box)) >= 3
        assert await editor.quit() == 0
        await debugger.ended()
    assert await other.quit() == 0
    await other.end()
    nothing_is_left(box)
    connection = socket.socket()
    with connection, pytest.raises(ConnectionRefusedError):
        connection.connect(("127.0.0.1", debug.port))


def test_a_job_is_all_that_is_left_and_it_goes_with_its_end(connected: Laptop, box: Box) -> None:
    connected.write(
        "wait.py",
        "import os, time\nwhile not os.path.exists('go'):\n    time.sleep(0.01)\nprint('went')\n",
    )
    job = connected.sidecar("run", "-d", "wait.py").stdout.strip()
    eventually(lambda: not traces.here(), "the end of all here")
    left = eventually(
        lambda: traces.there(box) if len(traces.there(box)) <= 2 else {}, "the agent's end"
    )
    assert any("wait.py" in name for name in left.values()), left
    (box.home / "model/go").touch()
    nothing_is_left(box)
    done = connected.sidecar("logs", job)
    assert done.stdout == "went\n"
    nothing_is_left(box)


def test_an_editor_that_is_killed_takes_all_with_it_and_loses_no_save(
    connected: Laptop, box: Box
) -> None:
    editor = OtherEditor(connected)
    editor.save("a.py", "x = 1")
    editor.kill()
    # No shutdown, no exit: what was saved a moment before goes out all the same.
    eventually(lambda: not traces.here(), "the end of serve and hub")
    assert (box.home / "model/a.py").read_text() == "x = 1\n"
    nothing_is_left(box)
    assert "Traceback" not in connected.log


def test_saves_that_could_not_go_out_before_the_editor_was_killed_are_there_after_the_next_start(
    connected: Laptop, box: Box
) -> None:
    connected.write("a.py", "x = 1\n")
    editor = OtherEditor(connected)
    box.line.stall()
    box.cut()
    for number in range(5):
        editor.save(f"new{number}.py", f"x = {number}")
    editor.save("a.py", "x = 2")
    editor.kill()
    eventually(lambda: not traces.here(), "the end of serve and hub")
    assert (box.home / "model/a.py").read_text() == "x = 1\n"
    box.line.flow()
    again = OtherEditor(connected)
    assert (box.home / "model/a.py").read_text() == "x = 2\n"
    assert sorted(path.name for path in (box.home / "model").glob("new*")) == [
        f"new{number}.py" for number in range(5)
    ]
    again.kill()
    nothing_is_left(box)


async def test_a_hub_that_is_killed_in_the_middle_of_an_upload(
    connected: Laptop, editor: Editor, box: Box
) -> None:
    data = connected.project / "data.bin"
    old, new = os.urandom(3_000_000), os.urandom(30_000_000)
    data.write_bytes(old)
    await editor.start()
    await editor.ready()
    data.write_bytes(new)
    await soon(lambda: traces.staged(box), "an upload under way")
    os.kill(connected.hub_pid(), signal.SIGKILL)
    assert await editor.exited() == 1
    await editor.client.stop()
    said = editor.client.stderr
    assert said.count("\n") == 1, said
    assert "The sidecar hub has gone" in said
    assert "not lost" in said
    assert (box.home / "model/data.bin").read_bytes() in (old, new)
    done = connected.sidecar("sync")
    assert done.returncode == 0, done.stderr
    assert (box.home / "model/data.bin").read_bytes() == new
    await soon(lambda: not traces.there(box), "the end of both agents")
    assert traces.staged(box) == []


async def test_a_hub_that_is_told_to_end_ends_in_order(
    connected: Laptop, editor: Editor, box: Box
) -> None:
    path = connected.write("a.py", "x = 1\n")
    await editor.start()
    await editor.ready()
    editor.save(path, "x = 2\n")
    pid = connected.hub_pid()
    os.kill(pid, signal.SIGTERM)
    assert await editor.exited() == 1
    await editor.client.stop()
    assert editor.client.stderr.count("\n") == 1
    until_gone(pid)
    nothing_is_left(box)
    assert "Traceback" not in connected.log
    assert connected.sidecar("sync").returncode == 0
    assert (box.home / "model/a.py").read_text() == "x = 2\n"


async def test_garbage_on_the_control_socket_is_no_matter_to_who_works(
    nearby: Laptop, editor: Editor, embedded: Box
) -> None:
    path = nearby.write("a.py", "x = 1\n")
    await editor.start()
    await editor.ready()
    hello = b'{"version":1,"face":"lsp","client":"x","pid":1,"cwd":"/","environ":{}}\n'
    for number, garbage in enumerate(
        (
            b"\0" * 100,
            b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
            b"x" * 3_000_000,
            hello + b"\xff" * 1000,
            hello + b"Content-Length: 99999999999999\r\n\r\n",
            hello + b"Content-Length: 2\r\n\r\n[]",
            hello + b"Content-Length: 4\r\n\r\nnull",
            hello + b'Content-Length: 40\r\n\r\n{"jsonrpc":"2.0","id":1,"method":"x/y" }}',
        )
    ):
        with socket.socket(socket.AF_UNIX) as stranger:
            stranger.settimeout(PATIENCE)
            stranger.connect(str(places.socket_path()))
            try:
                stranger.sendall(garbage)
                stranger.shutdown(socket.SHUT_WR)
                while stranger.recv(1 << 16):
                    pass
            except (BrokenPipeError, ConnectionResetError):
                pass
        editor.save(path, f"x = {number} + 1\n")
        text = f"x = {number} + 1\n"
        await soon(
            lambda text=text: (embedded.home / "model/a.py").read_text() == text, "the save there"
        )
    assert await editor.quit() == 0


@pytest.mark.parametrize(
    "garbage",
    [
        b"hello there\r\n\r\n",
        b"\xff\xfe\x00\x01",
        b"Content-Length: 99999999999\r\n\r\n",
        b"Content-Length: -5\r\n\r\n",
    ],
)
async def test_garbage_on_an_editors_line_ends_it_in_order(
    nearby: Laptop, editor: Editor, embedded: Box, garbage: bytes
) -> None:
    path = nearby.write("a.py", "x = 1\n")
    await editor.start()
    await editor.ready()
    editor.save(path, "x = 2\n")
    assert editor.process.stdin is not None
    editor.process.stdin.write(garbage)
    assert await editor.exited() != 0
    await editor.client.stop()
    assert editor.client.stderr.startswith("sidecar: ")
    assert editor.client.stderr.count("\n") == 1
    assert "Traceback" not in editor.client.stderr
    # The save before it went out.
    nothing_is_left(embedded)
    assert (embedded.home / "model/a.py").read_text() == "x = 2\n"
