"""A large download through a forward, and many small connections: beside `ssh -L` in the same run,
through the same sshd to the same server."""

from __future__ import annotations

import socket
import subprocess
import sys
import time

from bench import processes
from bench.remote import HOST
from bench.results import OURS, RATE, Result
from bench.run.scene import Scene
from sidecar.demo.editor import Editor

SIZE = {"lan": 1_000_000_000}
SIZE_ON_A_LINE = 48_000_000

CONNECTIONS, CONNECTIONS_ON_A_LINE = 200, 20

CARRIED = "{} through a forward"
MEMORY = "the hub's peak memory in that"
CONNECTED = "a connection, a line and its answer"

PEER = "ssh -L"

# Sends as many bytes as the first line asks for; 0 is the shortest conversation there is.
SERVER = """
import os, socket, threading
listener = socket.create_server(("127.0.0.1", 0), backlog=200)
print(listener.getsockname()[1], flush=True)
block = os.urandom(1 << 20)
def serve(client):
    left = int(client.makefile("rb").readline())
    while left:
        left -= client.send(block[:left])
    client.close()
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
"""


def carry(scene: Scene) -> list[Result]:
    project = scene.project("forward", lambda root: None)
    command = [*scene.ssh, sys.executable, "-u", "-c", f"'{SERVER}'"]
    with subprocess.Popen(command, env=scene.box.environ, stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        there = int(server.stdout.readline())
        try:
            return _measured(scene, project.editor, there)
        finally:
            server.kill()


def _measured(scene: Scene, editor: Editor, there: int) -> list[Result]:
    ours = int(editor.request("sidecar/forward", {"ports": [str(there)]})["ports"][0]["port"])
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        theirs = int(unused.getsockname()[1])
    forward = ["-O", "forward", "-L", f"{theirs}:127.0.0.1:{there}", HOST]
    subprocess.run([*scene.mux.split(), *forward], env=scene.box.environ, check=True)
    size = SIZE.get(scene.link, SIZE_ON_A_LINE)
    many = CONNECTIONS if scene.link == "lan" else CONNECTIONS_ON_A_LINE
    peers = {OURS: ours, PEER: theirs}
    rates: dict[str, list[float]] = {name: [] for name in peers}
    times: dict[str, list[float]] = {name: [] for name in peers}
    hub = scene.hub()
    processes.forget_peak(hub)
    for _ in range(1 if scene.quick else min(scene.rounds, 3)):
        for name, port in peers.items():
            rates[name].append(size / 1e6 / _fetched(port, size))
            began = time.perf_counter()
            for _ in range(many):
                _fetched(port, 0)
            times[name].append((time.perf_counter() - began) * 1000 / many)
    shown = CARRIED.format(f"{size / 1e9:g} GB" if size >= 1_000_000_000 else f"{size / 1e6:g} MB")
    return [
        *(scene.result(shown, name, rate, RATE) for name, rate in rates.items()),
        *(scene.result(CONNECTED, name, took) for name, took in times.items()),
        scene.result(MEMORY, OURS, [processes.peak_mb(hub)], "MB"),
    ]


def _fetched(port: int, size: int) -> float:
    """Seconds until all of it was here."""
    buffer = bytearray(1 << 20)
    began, left = time.perf_counter(), size
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(b"%d\n" % size)
        while count := client.recv_into(buffer):
            left -= count
    if left:
        raise RuntimeError(f"{left} bytes of {size} did not come")
    return time.perf_counter() - began
