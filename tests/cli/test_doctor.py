"""`sidecar doctor`: every step of the way, and at a failure what to do; on the real way."""

from __future__ import annotations

import json
import socket
import sys

import pytest

from sidecar.hub import examination
from tests.hub.laptop import Laptop
from tests.servers.box import Box


def findings(laptop: Laptop, status: int) -> dict[str, dict[str, str]]:
    done = laptop.sidecar("doctor", "--json")
    assert done.returncode == status, done
    return {one["step"]: one for one in json.loads(done.stdout)}


def configure(laptop: Laptop, box: Box, more: str) -> None:
    laptop.configure(f'linger = "30 s"\n[hosts.gpu1]\nssh = "{box.alias}"\n{more}')


def test_the_whole_way_is_walked_and_nothing_is_changed(connected: Laptop, box: Box) -> None:
    done = connected.sidecar("doctor")
    assert done.returncode == 0, done
    words = [line.split()[:2] for line in done.stdout.splitlines() if not line.startswith("  ")]
    steps = [second for first, second in words]
    ways = ["configuration", "name", "port", "server", "sign-in", "shell", "agent", "clock"]
    assert steps[: len(ways)] == ways
    assert steps[len(ways) :] == ["folder", "disk", "interpreter", "watching", "line"]
    assert {first for first, second in words} <= {"ok", "note"}
    assert "will be made by the first sync" in done.stdout
    assert not (box.home / "model").exists()


def test_what_is_wrong_is_named_with_the_way_out(nearby: Laptop, embedded: Box) -> None:
    place = embedded.home / "taken"
    place.write_text("a file")
    configure(nearby, embedded, 'path = "~/taken"\npython = "/nowhere/python"\n')
    found = findings(nearby, 1)
    assert found["folder"]["state"] == "failed"
    assert "hosts.gpu1.path" in found["folder"]["fix"]
    assert "/nowhere/python: No such file" in found["interpreter"]["text"]
    assert "sidecar envs" in found["interpreter"]["fix"]
    assert found["line"]["state"] == "ok"  # it goes on as far as it can

    configure(nearby, embedded, f'path = "~/fine"\npython = "{sys.executable}"\n')
    found = findings(nearby, 0)
    assert found["sign-in"]["text"].startswith(("the connection stands", "as "))
    assert found["interpreter"]["text"].startswith("Python 3.")
    assert "debugpy" in found["debugger"]["text"]


@pytest.mark.parametrize("what", ["nothing", "no ssh"])
def test_a_port_that_does_not_answer_as_ssh(laptop: Laptop, what: str) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        if what == "no ssh":
            other.listen()
            other.settimeout(30)
        port = other.getsockname()[1]
        laptop.configure(f'[hosts.gpu1]\nssh = "ssh://me@127.0.0.1:{port}"\n')
        doctor = laptop.start("doctor", "--json")
        if what == "no ssh":
            heard, _ = other.accept()
            heard.sendall(b"220 mail.example.org ESMTP\r\n")
            heard.close()
        said, _ = doctor.communicate(timeout=60)
    found = {one["step"]: one for one in json.loads(said)}
    last = [*found.values()][-1]
    assert doctor.returncode == 1
    assert last["state"] == "failed"
    assert last["step"] == ("port" if what == "nothing" else "key exchange")
    assert last["fix"]


def test_a_wrong_configuration_is_the_first_step(laptop: Laptop) -> None:
    laptop.configure("[hosts.gpu1]\nshs = 1\n")
    found = findings(laptop, 1)
    assert list(found) == ["configuration"]
    assert found["configuration"]["state"] == "failed"


def test_the_longest_mount_point_names_the_file_system() -> None:
    assert examination.file_system("/proc/self") == "proc"
    assert examination.file_system("/nowhere/at/all")


def test_all_that_is_sent_to_a_remote_can_be_read_before(laptop: Laptop) -> None:
    done = laptop.sidecar("agent", "--source")
    assert done.returncode == 0, done
    names = ["sidecar.agent." + name for name in ("first", "main", "supervisor.supervisor")]
    assert all(f"# {'-' * 20} {name}\n" in done.stdout for name in names)
    assert "digest " in done.stderr
    assert laptop.sidecar("agent").returncode == 2
