"""The real TensorBoard and the real Jupyter, through a forward; and who else gets at them."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import shutil
import subprocess
import sys
import time
import urllib.parse
import urllib.request
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sidecar.agent import machine, sockets
from tests.hub.laptop import PATIENCE, Laptop
from tests.servers.box import Box

pytest.importorskip("tensorboard")
pytest.importorskip("jupyter_server")
websocket: Any = pytest.importorskip("websocket")

STRANGER = 65534

pytestmark = [
    pytest.mark.real,
    pytest.mark.timeout(180),
    pytest.mark.skipif(sys.platform != "linux", reason="only on Linux: it tells who connects"),
]


def until(what: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + 3 * PATIENCE
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            if found := what():
                return found
        time.sleep(0.2)
    raise AssertionError(f"{what} came to nothing")


def fetched(url: str, method: str = "GET") -> Any:
    request = urllib.request.Request(url, method=method, data=b"" if method == "POST" else None)
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
        return json.loads(answer.read())


def url_of(process: subprocess.Popen[bytes]) -> str:
    assert process.stdout is not None
    assert process.stderr is not None
    url = process.stdout.readline().decode().strip()
    assert url.startswith("http://127.0.0.1:"), process.stderr.read().decode()
    return url


def as_a_stranger(program: str) -> str:
    """What a second user of the machine prints."""
    python = shutil.which("python3", path="/usr/bin:/bin") or sys.executable
    become = f"import os, socket; os.setgid({STRANGER}); os.setuid({STRANGER})\n"
    done = subprocess.run(
        [python, "-c", become + program],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
        cwd="/",
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


TRY_PORTS = """\
heard = []
for port in {ports}:
    with socket.create_connection(('127.0.0.1', port), 30) as client:
        try:
            client.sendall(b'GET / HTTP/1.0\\r\\n\\r\\n')
            if client.recv(100):
                heard.append(port)
        except OSError:
            pass
print('heard by', heard)
"""


def ports_of(*pids: int) -> list[int]:
    """On which these processes listen."""
    inodes = set()
    for one in pids:
        with contextlib.suppress(OSError):
            for link in Path(f"/proc/{one}/fd").iterdir():
                with contextlib.suppress(OSError):
                    inodes.add(os.readlink(link))
    return [one.port for one in sockets.listening() if f"socket:[{one.inode}]" in inodes]


def pid_of(laptop: Laptop, port: dict[str, Any]) -> int:
    listed = json.loads(laptop.sidecar("jobs", "--json").stdout)
    return int(next(one["pid"] for one in listed if one["id"] == port["job"]))


def way_to(laptop: Laptop, name: str) -> dict[str, Any]:
    found = json.loads(laptop.sidecar("ports", "--json").stdout)
    return next(dict(one) for one in found if one["name"] == name)


@pytest.fixture
def with_packages(nearby: Laptop, embedded: Box) -> Laptop:
    local = nearby.project / "sidecar.local.toml"
    local.write_text(local.read_text() + f'python = "{sys.executable}"\n')
    return nearby


def test_tensorboard_shows_what_was_written_there_to_its_own_user_alone(
    with_packages: Laptop, embedded: Box
) -> None:
    writers: Any = importlib.import_module("tensorboard.summary.writer.event_file_writer")
    protos: Any = importlib.import_module("tensorboard.compat.proto.summary_pb2")
    events: Any = importlib.import_module("tensorboard.compat.proto.event_pb2")
    logs = embedded.home / "model" / "runs" / "first"
    logs.mkdir(parents=True)
    writer = writers.EventFileWriter(str(logs))
    loss = protos.Summary(value=[protos.Summary.Value(tag="loss", simple_value=0.5)])
    writer.add_event(events.Event(wall_time=1.0, step=1, summary=loss))
    writer.close()
    assert with_packages.sidecar("sync", "--prefer", "local").returncode == 0

    shown = with_packages.start("tensorboard", "runs")
    url = url_of(shown)
    assert until(lambda: fetched(f"{url}data/runs")) == ["first"]
    tags = fetched(f"{url}data/plugin/scalars/tags")
    assert list(tags) == ["first"]
    assert list(tags["first"]) == ["loss"]

    way = way_to(with_packages, "TensorBoard")
    # Its fast loader would listen beside it, without any guard.
    pid = pid_of(with_packages, way)
    assert ports_of(pid, *machine.descendants(pid)) == [way["remote_port"]]
    again = with_packages.start("tensorboard", "runs")
    assert url_of(again) == url
    if os.geteuid() == 0:
        ports = [way["remote_port"], way["port"]]
        assert as_a_stranger(TRY_PORTS.format(ports=ports)) == "heard by []"
        assert fetched(f"{url}data/runs") == ["first"]
    assert with_packages.sidecar("stop", way["job"]).returncode == 0
    shown.wait(PATIENCE)


def test_a_kernel_runs_in_jupyter_which_listens_at_sockets_alone(with_packages: Laptop) -> None:
    shown = with_packages.start("jupyter")
    url = urllib.parse.urlsplit(url_of(shown))
    token = url.query.removeprefix("token=")
    assert len(token) == 48
    base = f"http://{url.netloc}"
    with pytest.raises(urllib.error.HTTPError, match="403"):
        fetched(f"{base}/api/kernels")
    assert fetched(f"{base}/api/status?{url.query}")["kernels"] == 0
    kernel = fetched(f"{base}/api/kernels?{url.query}", "POST")["id"]
    channel = websocket.create_connection(
        f"ws://{url.netloc}/api/kernels/{kernel}/channels?{url.query}", timeout=3 * PATIENCE
    )
    header = {"msg_id": uuid.uuid4().hex, "msg_type": "execute_request", "version": "5.3",
              "username": "", "session": uuid.uuid4().hex, "date": ""}  # fmt: skip
    content = {"code": "import os; print(6 * 7, os.getcwd())", "silent": False,
               "store_history": False, "user_expressions": {}, "allow_stdin": False}  # fmt: skip
    channel.send(json.dumps({"header": header, "parent_header": {}, "metadata": {},
                             "content": content, "channel": "shell"}))  # fmt: skip
    while (said := json.loads(channel.recv()))["msg_type"] != "stream":
        assert said["msg_type"] != "error", said
    assert said["content"]["text"].startswith("42 ")
    assert said["content"]["text"].endswith("/model\n")
    channel.close()

    way = way_to(with_packages, "Jupyter")
    pid = pid_of(with_packages, way)
    assert ports_of(pid) == []
    (kernels,) = Path(way["there"]).parent.glob("kernel-*.json")
    assert json.loads(kernels.read_text())["transport"] == "ipc"
    for one in [pid, *machine.descendants(pid)]:
        assert token.encode() not in Path(f"/proc/{one}/cmdline").read_bytes()
    assert token not in with_packages.log
    if os.geteuid() == 0:
        attempt = (
            "try:\n    socket.socket(socket.AF_UNIX).connect({path!r}); print('in')\n"
            "except OSError as error: print(type(error).__name__)\n"
        )
        assert as_a_stranger(attempt.format(path=way["there"])) == "PermissionError"
        assert as_a_stranger(TRY_PORTS.format(ports=[way["port"]])) == "heard by []"
    assert with_packages.sidecar("stop", way["job"]).returncode == 0
    shown.wait(PATIENCE)
    assert not os.path.exists(os.path.dirname(way["there"]))


def test_a_server_that_is_not_installed_says_how_to_get_it(nearby: Laptop) -> None:
    python = shutil.which("python3", path="/usr/bin:/bin")
    if python is None:
        pytest.skip("only on a machine with a Python of its own")
    local = nearby.project / "sidecar.local.toml"
    local.write_text(local.read_text() + f'python = "{python}"\n')
    done = nearby.sidecar("tensorboard", "runs")
    assert done.returncode == 125
    assert "TensorBoard ended before it could be used" in done.stderr
    job = done.stderr.rpartition("`sidecar logs ")[2].partition("`")[0]
    assert "-m pip install tensorboard" in nearby.sidecar("logs", job).stderr
