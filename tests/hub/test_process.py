"""The hub as a real process: started once, found by all, ended in order, and after a kill."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest

from sidecar import api
from sidecar.config import places
from sidecar.hub import framing, process
from sidecar.hub.process import HubError
from tests.hub.laptop import Laptop, until_gone
from tests.servers.programs import need_program


def meet() -> tuple[socket.socket, api.Welcome]:
    return process.meet("rpc", "test")


def test_two_faces_that_start_at_once_get_one_hub(laptop: Laptop) -> None:
    with ThreadPoolExecutor(4) as pool:
        met = list(pool.map(lambda _: meet(), range(4)))
    assert len({welcome.pid for _, welcome in met}) == 1
    for connection, _ in met:
        connection.close()
    until_gone(met[0][1].pid)


def test_the_hub_ends_with_its_last_client_and_leaves_no_socket(laptop: Laptop) -> None:
    first, welcome = meet()
    second, _ = meet()
    first.close()
    assert laptop.hub_pid() == welcome.pid
    second.close()
    until_gone(welcome.pid)
    assert not places.socket_path().exists()


def test_the_hub_is_nobodys_child_and_has_no_terminal(laptop: Laptop) -> None:
    ps = need_program("ps")
    connection, welcome = meet()
    assert os.getsid(welcome.pid) != os.getsid(0)
    parent = subprocess.run(
        [ps, "-o", "ppid=", "-p", str(welcome.pid)], capture_output=True, text=True, check=True
    )
    assert int(parent.stdout) != os.getpid()
    connection.close()


def test_what_the_hub_keeps_is_for_its_owner_alone(laptop: Laptop) -> None:
    connection, _ = meet()
    for path in (places.socket_path(), process.log_path(), process.stderr_path()):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    connection.close()


def test_after_a_kill_the_next_face_starts_a_new_hub(laptop: Laptop) -> None:
    connection, welcome = meet()
    os.kill(welcome.pid, signal.SIGKILL)
    until_gone(welcome.pid)
    assert connection.recv(1) == b""
    connection.close()
    assert places.socket_path().exists()
    connection, again = meet()
    assert again.pid != welcome.pid
    connection.close()


def test_a_hub_with_clients_ends_in_order_on_sigterm(laptop: Laptop) -> None:
    connection, welcome = meet()
    os.kill(welcome.pid, signal.SIGTERM)
    assert connection.recv(1) == b""
    until_gone(welcome.pid)
    assert not places.socket_path().exists()
    connection.close()
    assert "the hub ends" in laptop.log


def test_garbage_on_the_socket_harms_nobody(laptop: Laptop) -> None:
    good, welcome = meet()
    for garbage in (b"\xff\xfe\n", b"GET / HTTP/1.0\r\n\r\n", b"{}\n"):
        with socket.socket(socket.AF_UNIX) as bad:
            bad.connect(str(places.socket_path()))
            bad.sendall(garbage)
            answer = msgspec.json.decode(bad.makefile("rb").readline(), type=api.Welcome)
            assert answer.problem
    # Garbage behind the hello: one answer, then the end of that connection alone.
    bad, _ = meet()
    bad.sendall(b"hello there\r\n\r\n")
    data = b"".join(iter(lambda: bad.recv(4096), b""))
    assert b'"code":-32700' in data
    bad.close()
    good.sendall(framing.encode(b'{"jsonrpc":"2.0","id":1,"method":"sidecar/status","params":{}}'))
    assert b'"hubPid"' in good.recv(4096)
    good.close()
    until_gone(welcome.pid)


def test_no_hub_is_started_where_none_is_wanted(laptop: Laptop) -> None:
    with pytest.raises(HubError, match="No hub is running"):
        process.meet("rpc", "test", start=False)


def test_a_hub_that_cannot_start_says_why(laptop: Laptop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(HubError, match="could not be started"):
        meet()


class OlderHub:
    """Listens where the hub would, and speaks an older version of the control socket."""

    def __init__(self, *, stays: bool) -> None:
        self._stays = stays
        self._listener = socket.socket(socket.AF_UNIX)
        self._path = places.socket_path()
        self._listener.bind(str(self._path))
        self._listener.listen()
        self.asked: list[str] = []
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            with connection:
                hello = msgspec.json.decode(connection.makefile("rb").readline())
                self.asked.append(hello["face"])
                problem = "1 program uses it" if self._stays else ""
                welcome = api.Welcome(
                    version=api.VERSION - 1, sidecar="0.0.1", pid=1, problem=problem
                )
                if hello["face"] == "end" and not self._stays:
                    # The name goes first, as a hub does it.
                    self._path.unlink()
                connection.sendall(msgspec.json.encode(welcome) + b"\n")
            if hello["face"] == "end":
                self._listener.close()
                return

    def wait(self) -> None:
        self._thread.join(30)
        assert not self._thread.is_alive()


def test_an_idle_hub_of_an_older_version_is_replaced(laptop: Laptop) -> None:
    older = OlderHub(stays=False)
    connection, welcome = meet()
    older.wait()
    assert older.asked == ["rpc", "end"]
    assert welcome.version == api.VERSION
    connection.close()


def test_an_older_hub_in_use_is_named_with_what_to_do(laptop: Laptop) -> None:
    older = OlderHub(stays=True)
    with pytest.raises(HubError) as caught:
        meet()
    older.wait()
    assert "0.0.1" in str(caught.value)
    assert "1 program uses it" in str(caught.value)
    assert "sidecar hub stop --force" in caught.value.fix
    places.socket_path().unlink()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_nothing_is_told_to_a_listener_of_another_user(isolated: Path) -> None:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(places.socket_path()))
    ready, told = os.pipe()
    child = os.fork()
    if child == 0:  # who listens is the user that the kernel tells
        os.setuid(65534)
        listener.listen()
        os.write(told, b"1")
        heard = listener.accept()[0].recv(1)
        os._exit(len(heard))
    os.close(told)
    os.read(ready, 1)
    os.close(ready)
    with pytest.raises(HubError, match="User 65534 listens"):
        meet()
    listener.close()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
