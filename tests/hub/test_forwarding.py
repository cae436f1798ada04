"""Forwards as a person has them: by the command line, with jobs, over a cut."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest

from tests.cli.person import TerminalSession
from tests.hub.laptop import PATIENCE, Laptop
from tests.servers.box import Box
from tests.servers.openssh import free_port
from tests.servers.programs import need_program

SERVER = """\
import http.server, os, sys
class Hello(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"from " + os.environ["SIDECAR_JOB"].encode())
    def log_message(self, *words):
        pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Hello).serve_forever()
"""


def until(what: Callable[[], Any]) -> Any:
    """What it says, as soon as that is something; it is asked again and again."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if found := what():
            return found
        time.sleep(0.1)
    raise AssertionError(f"{what} came to nothing")


def chosen_port() -> int:
    """Free, and none that the system would give out: such are not told of by themselves."""
    for number in range(20000 + os.getpid() % 5000, 30000):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", number))
            return number
    raise AssertionError("no port is free")


def ports(laptop: Laptop) -> list[dict[str, Any]]:
    done = laptop.sidecar("ports", "--json")
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def page(port: int) -> str:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=PATIENCE) as answer:
            return str(answer.read().decode())
    except OSError:
        return ""


def line_of(process: subprocess.Popen[bytes]) -> str:
    assert process.stderr is not None
    return process.stderr.readline().decode()


@pytest.mark.real
@pytest.mark.parametrize("box", ["sshd-asyncssh", "sshd-openssh"], indirect=True)
def test_a_jobs_port_is_found_forwarded_and_there_again_after_a_cut(
    connected: Laptop, box: Box
) -> None:
    connected.write("server.py", SERVER)
    number = free_port()
    job = connected.sidecar("run", "-d", "server.py", str(number)).stdout.strip()
    (found,) = until(lambda: [one for one in ports(connected) if one["job"] == job])
    assert (found["state"], found["remote_port"]) == ("offered", number)
    assert found["command"] == f"server.py {number}"
    forward = connected.start("forward", str(number))
    # The remote is this machine, so that number is taken here.
    assert f"port {number} is taken here" in line_of(forward)
    (found,) = [one for one in ports(connected) if one["remote_port"] == number]
    assert found["state"] == "open"
    assert page(found["port"]) == f"from {job}"
    box.cut()
    assert until(lambda: page(found["port"])) == f"from {job}"
    assert connected.sidecar("forward", "--close", str(number)).returncode == 0
    assert "closed" in line_of(forward)
    assert forward.wait(PATIENCE) == 0
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", found["port"])).close()
    assert connected.sidecar("stop", job).returncode == 0


def test_what_a_rule_names_is_forwarded_with_the_job_and_closed_with_it(nearby: Laptop) -> None:
    here, there = free_port(), chosen_port()
    nearby.write("server.py", SERVER)
    local = nearby.project / "sidecar.local.toml"
    local.write_text(local.read_text() + 'ports = "forward"\n')
    run = nearby.start("run", "server.py", str(there))
    (found,) = until(lambda: [one for one in ports(nearby) if one["state"] == "open"])
    assert found["source"] == "job"
    assert page(found["port"]) == f"from {found['job']}"
    assert nearby.sidecar("stop", found["job"]).returncode == 0
    run.wait(PATIENCE)
    assert ports(nearby) == []
    local.write_text(local.read_text() + f'forward = ["{here}:{there}"]\n')
    (known,) = ports(nearby)
    assert (known["state"], known["remote_port"], known["source"]) == ("known", there, "settings")
    run = nearby.start("run", "server.py", str(there))
    assert until(lambda: page(here)).startswith("from ")


def test_gpus_are_given_to_a_run_and_told_of_the_machine(nearby: Laptop, embedded: Box) -> None:
    tools = embedded.home / "bin"
    tools.mkdir()
    (tools / "nvidia-smi").write_text(
        "#!/bin/sh\ncase $1 in --query-gpu=*)\n"
        "echo '0, GPU-a, H100, 0, 4, 81920, 570.1, Disabled'\n"
        "echo '1, GPU-b, H100, 93, 70000, 81920, 570.1, Disabled';;\nesac\n"
    )
    (tools / "nvidia-smi").chmod(0o755)
    nearby.write("cards.py", "import os; print(os.environ['CUDA_VISIBLE_DEVICES'])\n")
    # The agent's own PATH finds it.
    os.symlink(tools / "nvidia-smi", embedded.home / "nvidia-smi")
    local = nearby.project / "sidecar.local.toml"
    local.write_text(local.read_text() + f'via = "env PATH={tools}:$PATH"\n')
    done = nearby.sidecar("run", "--gpus", "1", "cards.py")
    assert (done.returncode, done.stdout) == (0, "GPU-a\n"), done.stderr
    refused = nearby.sidecar("run", "--gpus", "2", "cards.py")
    assert refused.returncode == 125
    assert "1 of 2 GPUs is free, and 2 are wanted: GPU 1: 68 of 80 GB in use" in refused.stderr
    shared = nearby.sidecar("run", "--gpus", "2", "--busy", "cards.py")
    assert shared.stdout == "GPU-a,GPU-b\n"
    found = json.loads(nearby.sidecar("gpus", "--json").stdout)
    assert [(one["uuid"], one["free"]) for one in found["gpus"]] == [
        ("GPU-a", True),
        ("GPU-b", False),
    ]
    assert found["machine"]["cpus"] > 0
    assert "93 %" in nearby.sidecar("gpus").stdout


@pytest.mark.real
def test_a_person_is_told_in_one_line_and_a_local_forward_waits_until_it_is_asked_for(
    nearby: Laptop, embedded: Box
) -> None:
    need_program("ssh")  # asyncssh's own parser knows no LocalForward
    here, there = free_port(), chosen_port()
    config = embedded.ssh_config.read_text()
    embedded.ssh_config.write_text(f"{config}    LocalForward {here} localhost:{there + 1}\n")
    nearby.write("server.py", SERVER)
    person = TerminalSession(nearby, "run", "server.py", str(there))
    person.expect(f"port {there}: `sidecar forward {there}` brings it here")
    known = {one["remote_port"]: one for one in ports(nearby)}
    assert (known[there + 1]["state"], known[there + 1]["source"]) == ("known", "ssh")
    with socket.socket() as free:
        free.bind(("127.0.0.1", here))  # nobody has it
    all_of_them = nearby.start("forward")
    assert f"127.0.0.1:{here}" in line_of(all_of_them)
    known = {one["remote_port"]: one for one in ports(nearby)}
    assert (known[there + 1]["state"], known[there + 1]["port"]) == ("open", here)
    person.type("\x03")
    person.wait()
