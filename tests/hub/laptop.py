"""The laptop of a test: a project, the real command line, the hub that it starts, and its end."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from sidecar.hub import process
from tests.servers.box import Box

PATIENCE = 30.0

COMMAND = [sys.executable, "-m", "sidecar"]


class Laptop:
    """Made by the fixtures below."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.project = home / "model"
        self.project.mkdir()
        self._started: list[subprocess.Popen[bytes]] = []

    def configure(self, text: str) -> None:
        (self.project / "sidecar.local.toml").write_text(text)

    def write(self, path: str, text: str) -> Path:
        target = self.project / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        return target

    def sidecar(
        self,
        *arguments: str,
        stdin: bytes = b"",
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """A command to its end, without a terminal."""
        done = subprocess.run(
            [*COMMAND, *arguments],
            input=stdin,
            capture_output=True,
            cwd=cwd or self.project,
            env={**os.environ, **(env or {})},
            timeout=PATIENCE,
            start_new_session=True,
            check=False,
        )
        return subprocess.CompletedProcess(
            done.args, done.returncode, done.stdout.decode(), done.stderr.decode()
        )

    def start(self, *arguments: str, cwd: Path | None = None) -> subprocess.Popen[bytes]:
        """A command that goes on; ended with the test."""
        process = subprocess.Popen(
            [*COMMAND, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=cwd or self.project,
            start_new_session=True,
        )
        self._started.append(process)
        return process

    def serve(self) -> subprocess.Popen[bytes]:
        """A language server that has answered its `initialize`: the hub knows it from then on. (To
        ask for the hub's pid before that may be the hub's only use so far, and so end it.)"""
        serve = self.start("serve")
        assert serve.stdin is not None
        assert serve.stdout is not None
        parameters = {"processId": None, "rootUri": None, "capabilities": {}}
        request = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": parameters}
        body = json.dumps(request).encode()
        serve.stdin.write(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        serve.stdin.flush()
        assert serve.stdout.readline().startswith(b"Content-")
        return serve

    def hub_pid(self) -> int:
        """Of the running hub; 0 where there is none."""
        try:
            connection, welcome = process.meet("rpc", "test", start=False)
        except process.HubError:
            return 0
        connection.close()
        return welcome.pid

    @property
    def log(self) -> str:
        path = process.log_path()
        return path.read_text() if path.exists() else ""

    def end(self) -> None:
        """Ends what was started and the hub, and waits until all is gone."""
        for started in self._started:
            started.kill()
            started.wait()
            for stream in (started.stdin, started.stdout, started.stderr):
                if stream:
                    stream.close()
        pid = self.hub_pid()
        if pid:
            self.sidecar("hub", "stop", "--force", cwd=self.home)
            until_gone(pid)


def until_gone(pid: int) -> None:
    """Waits for the end of a process that is not ours."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        ended, _, _ = select.select([descriptor], [], [], PATIENCE)
        assert ended, f"process {pid} lives on"
    finally:
        os.close(descriptor)


@pytest.fixture
def laptop(isolated: Path) -> Iterator[Laptop]:
    """A user with a project that has no configuration yet."""
    laptop = Laptop(isolated)
    yield laptop
    laptop.end()
    assert "bug of ours" not in laptop.log, laptop.log


@pytest.fixture
def connected(laptop: Laptop, box: Box) -> Laptop:
    """A user whose project goes to the test's remote machine."""
    return _to(laptop, box)


@pytest.fixture
def nearby(laptop: Laptop, embedded: Box) -> Laptop:
    """The same, over the quickest of them alone: where the way there does not matter."""
    return _to(laptop, embedded)


def _to(laptop: Laptop, box: Box) -> Laptop:
    laptop.configure(
        f'[hosts.{box.alias}]\nssh = "{box.alias}"\npath = "~/model"\n'
        f'transport = "{box.transport}"\n'
    )
    return laptop
