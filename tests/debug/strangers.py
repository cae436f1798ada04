"""A second user of the machine who tries ports, and which ports there are to try."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

STRANGER = 65534

needs_root = pytest.mark.skipif(
    os.geteuid() != 0, reason="only on a machine where the tests are root"
)

PROGRAM = """\
import os, socket, struct, sys
uid = int(sys.argv[1])
os.setgroups([]); os.setgid(uid); os.setuid(uid)
message = b'Content-Length: 75\\r\\n\\r\\n' + (
    b'{"seq": 1, "type": "request", "command": "initialize", "arguments": {}}').ljust(75)
tried = 0
for host, port in zip(sys.argv[2::2], sys.argv[3::2]):
    for way in ('asks', 'closes', 'resets', 'shuts'):
        try:
            client = socket.create_connection((host, int(port)), 30)
        except ConnectionRefusedError:
            continue  # debugpy closes some of its ports when it needs them no more
        with client:
            try:
                client.sendall(message)
                if way == 'resets':
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
                if way == 'shuts':
                    client.shutdown(socket.SHUT_WR)
                if way in ('closes', 'resets'):
                    continue
                got = client.recv(100)
            except OSError:
                got = b''  # closed already, however it shows
            assert got == b'', got
            tried += 1
print(os.getuid(), 'was heard nowhere' if tried else 'found no port')
"""


def try_ports(ports: Iterable[tuple[str, int]]) -> None:
    """The second user connects to each of them, speaks DAP, closes, resets, and is not heard."""
    python = shutil.which("python3", path="/usr/bin:/bin") or sys.executable
    ends = [str(part) for port in ports for part in port]
    argv = [python, "-c", PROGRAM, str(STRANGER), *ends]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=50, check=False)
    assert done.stdout == f"{STRANGER} was heard nowhere\n", done.stderr


def ports_of(pids: Iterable[int]) -> list[tuple[str, int]]:
    """The listening TCP sockets of these processes, from the system's table."""
    inodes = set()
    for pid in pids:
        # What debugpy asks the system about at its start may end meanwhile.
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            for link in Path("/proc", str(pid), "fd").iterdir():
                with contextlib.suppress(FileNotFoundError):
                    target = os.readlink(link)
                    if target.startswith("socket:["):
                        inodes.add(target[8:-1])
    found = []
    for table, host in (("tcp", "127.0.0.1"), ("tcp6", "::1")):
        for line in Path("/proc/net", table).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in inodes:
                found.append((host, int(fields[1].rpartition(":")[2], 16)))
    return found
